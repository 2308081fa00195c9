package trainingrun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// paged is an API server that gives its Pods and events in pages, as the real one does
// and the one in memory does not.
type paged struct {
	client.Reader
	pods   []corev1.Pod
	events []corev1.Event
	lists  int
	failAt int
}

func (p *paged) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	var asked client.ListOptions
	asked.ApplyOptions(opts)
	if p.lists++; p.lists == p.failAt {
		return errInjected
	}
	begin := 0
	if asked.Continue != "" {
		begin, _ = strconv.Atoi(asked.Continue)
	}
	all := len(p.pods) + len(p.events) // One of them is empty.
	end := all
	if asked.Limit > 0 {
		end = min(begin+int(asked.Limit), all)
	}
	if end < all {
		into.SetContinue(strconv.Itoa(end))
	}
	switch list := into.(type) {
	case *corev1.PodList:
		list.Items = append(list.Items, p.pods[begin:end]...)
	case *corev1.EventList:
		list.Items = append(list.Items, p.events[begin:end]...)
	}
	return nil
}

var errInjected = errors.New("injected")

// TestPodsArePaged: a tenant's Pods with the run's label fill page after page, and none
// of the run's own is overlooked, nor any of nobody's kept.
func TestPodsArePaged(t *testing.T) {
	t.Parallel()
	server := &paged{}
	for i := range 3*int(page) - 1 {
		server.pods = append(server.pods, corev1.Pod{})
		server.pods[i].Name = fmt.Sprintf("tenant-%d", i)
	}
	own := makePod()
	own.Name, own.CreationTimestamp = "younger", at(2)
	older := makePod()
	older.Name, older.CreationTimestamp = "older", at(1)
	stray := makePod()
	stray.Name, stray.OwnerReferences = "stray", nil
	stray.Labels = map[string]string{v1alpha1.LabelRunUID: string(makeRun().UID)}
	server.pods[0], server.pods[page], server.pods[2*page] = own, older, stray
	for name, c := range map[string]struct {
		page  int64
		lists int
	}{
		"from the API server, in pages": {page: page, lists: 3},
		"from the cache, all at once":   {lists: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := &paged{pods: slices.Clone(server.pods)}
			o := observed{Run: makeRun(), Job: makeJob()}
			if err := o.readPods(t.Context(), source{Reader: from, page: c.page}, client.ObjectKeyFromObject(o.Run)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, pod := range slices.Concat(o.Pods, o.Strays) {
				got = append(got, pod.Name)
			}
			if diff := cmp.Diff([]string{"older", "younger", "stray"}, got); diff != "" {
				t.Errorf("pods (-want +got):\n%s", diff)
			}
			if from.lists != c.lists {
				t.Errorf("%d lists, want %d", from.lists, c.lists)
			}
			if err := o.readPods(t.Context(), source{Reader: &paged{pods: server.pods, failAt: c.lists}, page: c.page}, client.ObjectKeyFromObject(o.Run)); !errors.Is(err, errInjected) {
				t.Errorf("the last page fails, and that gives %v", err)
			}
		})
	}
}

// TestEventsArePaged: the last refusal may be on any page.
func TestEventsArePaged(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]int{"on the first page": 3, "on the last page": 2*int(page) + 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			server := &paged{events: make([]corev1.Event, 3*page)}
			for i := range server.events {
				server.events[i].Message, server.events[i].LastTimestamp = "earlier", at(1)
				server.events[i].InvolvedObject.UID = jobUID
			}
			server.events[last].Message, server.events[last].LastTimestamp = "the last", at(2)
			w.reconciler.live = server
			job := makeJob()
			got, err := w.reconciler.refusal(t.Context(), observed{Run: makeRun(), Job: job, Now: job.CreationTimestamp.Add(podGrace)})
			if err != nil || got != "the last" || server.lists != 3 {
				t.Errorf("refusal %q, %v, after %d lists", got, err, server.lists)
			}
		})
	}
}

// TestJobsAskTogether: however many runs of a namespace have no Pod, its events are read
// once in a while.
func TestJobsAskTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := &paged{events: []corev1.Event{{Message: "no", LastTimestamp: at(1)}}}
	server.events[0].InvolvedObject.UID = jobUID
	w.reconciler.live = server
	late := makeJob().CreationTimestamp.Add(podGrace)
	for i, c := range []struct {
		uid       types.UID
		namespace string
		now       time.Time
		want      string
		lists     int
	}{
		{jobUID, "team-a", late, "no", 1},
		{jobUID, "team-a", late.Add(refusalsAge - 1), "no", 1},
		{"another", "team-a", late, "", 1},
		{jobUID, "team-b", late, "no", 2},
		{jobUID, "team-a", late.Add(refusalsAge), "no", 3},
	} {
		job := makeJob()
		job.UID, job.Namespace = c.uid, c.namespace
		got, err := w.reconciler.refusals.of(t.Context(), w.reconciler.straight(), job, c.now)
		if err != nil || got != c.want || server.lists != c.lists {
			t.Errorf("step %d: refusal %q, %v, after %d lists; want %q after %d", i, got, err, server.lists, c.want, c.lists)
		}
	}
}

// TestSlimPodsLeadToTheSameDecision, and hold nothing that a tenant could make large.
func TestSlimPodsLeadToTheSameDecision(t *testing.T) {
	t.Parallel()
	pod := makePod()
	pod.Annotations = map[string]string{"tenant": strings.Repeat("x", 1<<10)}
	pod.Spec.Containers = []corev1.Container{{Name: "trainer", Image: "image", Command: []string{"x"}, Env: []corev1.EnvVar{{Name: "x"}}}}
	less := slim(&pod)
	if less.Annotations != nil || less.ManagedFields != nil || less.Spec.Containers[0].Command != nil || less.Spec.Containers[0].Env != nil {
		t.Errorf("it keeps more than is needed: %+v", less)
	}
	if imageOf(&less, "trainer") != "image" || less.UID != pod.UID {
		t.Error("it has lost what is needed")
	}
	for name, c := range allCases() {
		slimmed := c.observed
		slimmed.Pods, slimmed.Strays = slimAll(c.observed.Pods), slimAll(c.observed.Strays)
		if diff := cmp.Diff(outcomeOf(decide(c.observed, testOptions)), outcomeOf(decide(slimmed, testOptions))); diff != "" {
			t.Errorf("%s: decision (-full +slim):\n%s", name, diff)
		}
		if c.observed.Run == nil {
			continue
		}
		if diff := cmp.Diff(reportOn(c.observed), reportOn(slimmed)); diff != "" {
			t.Errorf("%s: status (-full +slim):\n%s", name, diff)
		}
	}
}

func slimAll(pods []corev1.Pod) []corev1.Pod {
	var all []corev1.Pod
	for i := range pods {
		all = append(all, slim(&pods[i]))
	}
	return all
}

// TestReceiptsSpeakOfLateWriters: of those that begin after the erase too.
func TestReceiptsSpeakOfLateWriters(t *testing.T) {
	t.Parallel()
	all := strings.Join(notCovered, "\n")
	for _, words := range []string{"new ones with the credentials", "for as long as the broker gave them", "ledger", "restart of a MinIO"} {
		if !strings.Contains(all, words) {
			t.Errorf("NotCovered does not say %q:\n%s", words, all)
		}
	}
}
