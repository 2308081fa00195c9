package diagnosis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
)

const (
	// maxPods is of how many of a run's Pods, the newest, the events are asked for.
	maxPods = 8
	// maxEvents is how many events are shown, the newest.
	maxEvents = 8
	// eventsOf selects the events of an object.
	eventsOf = "involvedObject.uid"
)

// Facts are what is known of a run.
type Facts struct {
	Run *v1alpha1.TrainingRun
	// Dataset of the run, if the run waits for it and it exists.
	Dataset *v1alpha1.DatasetRetention
	// Pods of the run.
	Pods []corev1.Pod
	// Events that matter, the newest last.
	Events []Event
	// GPUs of the cluster by kind, if the run waits for some.
	GPUs []GPUs
	// Unread says what could not be read, and why.
	Unread []string
}

// Event is what somebody in the cluster told about the run's objects.
type Event struct {
	Time    time.Time
	Count   int32
	Reason  string
	Object  string
	Message string
}

// Gather reads the facts about a run. What can not be read is no error.
func Gather(ctx context.Context, c client.Reader, run *v1alpha1.TrainingRun) Facts {
	g := gatherer{reader: c, facts: Facts{Run: run}}
	g.pods(ctx)
	g.events(ctx)
	if run.Status.State == v1alpha1.RunPending || run.Status.State == "" {
		g.dataset(ctx)
	}
	if waitsForGPUs(run) {
		g.gpus(ctx)
	}
	return g.facts
}

func waitsForGPUs(run *v1alpha1.TrainingRun) bool {
	waits := run.Status.State == v1alpha1.RunQueued || run.Status.State == v1alpha1.RunStarting
	return run.Spec.Nodes.GPUs() > 0 && waits
}

type gatherer struct {
	reader client.Reader
	facts  Facts
}

// unread notes what could not be read.
func (g *gatherer) unread(what string, err error) {
	why := err.Error()
	if apierrors.IsForbidden(err) {
		why = "you have no right to list them"
	}
	g.facts.Unread = append(g.facts.Unread, what+": "+why)
}

func (g *gatherer) pods(ctx context.Context) {
	run := g.facts.Run
	pods, err := cluster.Pods(ctx, g.reader, client.ObjectKeyFromObject(run))
	if err != nil {
		g.unread("the run's Pods", errors.Unwrap(err))
		return
	}
	for _, pod := range pods {
		if uid, labelled := pod.Labels[v1alpha1.LabelRunUID]; !labelled || types.UID(uid) == run.UID {
			g.facts.Pods = append(g.facts.Pods, pod)
		}
	}
	slices.SortStableFunc(g.facts.Pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
}

// events asks for those of the run, of the Job of its newest attempt, and of its newest
// Pods.
func (g *gatherer) events(ctx context.Context) {
	about := []types.UID{g.facts.Run.UID}
	if n := len(g.facts.Run.Status.Attempts); n > 0 && g.facts.Run.Status.Attempts[n-1].JobUID != "" {
		about = append(about, g.facts.Run.Status.Attempts[n-1].JobUID)
	}
	for _, pod := range g.facts.Pods[max(len(g.facts.Pods)-maxPods, 0):] {
		about = append(about, pod.UID)
	}
	for _, uid := range about {
		var list corev1.EventList
		err := g.reader.List(ctx, &list, client.InNamespace(g.facts.Run.Namespace), client.MatchingFields{eventsOf: string(uid)})
		if err != nil {
			g.unread("events", err)
			return
		}
		for _, e := range list.Items {
			if matters(&e) {
				g.facts.Events = append(g.facts.Events, eventOf(&e))
			}
		}
	}
	slices.SortStableFunc(g.facts.Events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	g.facts.Events = newest(g.facts.Events)
}

// matters leaves out what tells that all is well.
func matters(e *corev1.Event) bool {
	switch e.Reason {
	case "Preempted", "NotTriggerScaleUp", "TriggeredScaleUp", "TaintManagerEviction":
		return true
	}
	return e.Type == corev1.EventTypeWarning
}

func eventOf(e *corev1.Event) Event {
	at, count := cmp.Or(e.LastTimestamp.Time, e.EventTime.Time, e.CreationTimestamp.Time), e.Count
	if e.Series != nil {
		at, count = e.Series.LastObservedTime.Time, e.Series.Count
	}
	return Event{
		Time: at, Count: max(count, 1), Reason: e.Reason, Message: e.Message,
		Object: e.InvolvedObject.Kind + " " + e.InvolvedObject.Name,
	}
}

// newest takes the last events; of those that say the same of several objects, the last
// one.
func newest(events []Event) []Event {
	type key struct{ reason, message string }
	seen := map[key]bool{}
	var kept []Event
	for _, e := range slices.Backward(events) {
		k := key{e.Reason, e.Message}
		if seen[k] || len(kept) == maxEvents {
			continue
		}
		seen[k] = true
		kept = append(kept, e)
	}
	slices.Reverse(kept)
	return kept
}

func (g *gatherer) dataset(ctx context.Context) {
	key := client.ObjectKey{Namespace: g.facts.Run.Namespace, Name: g.facts.Run.Spec.DatasetRef.Name}
	ds, err := cluster.GetDataset(ctx, g.reader, key)
	if errors.Is(err, cluster.ErrNotFound) {
		return // The status says so.
	}
	if err != nil {
		g.unread("the dataset", err)
		return
	}
	g.facts.Dataset = ds
}

func (g *gatherer) gpus(ctx context.Context) {
	var nodes corev1.NodeList
	if err := g.reader.List(ctx, &nodes); err != nil {
		g.unread("the cluster's nodes, so which GPUs there are", err)
		return
	}
	var pods corev1.PodList
	err := g.reader.List(ctx, &pods)
	if err != nil {
		g.unread("the Pods of all namespaces, so which GPUs are free", err)
	}
	g.facts.GPUs = countGPUs(nodes.Items, pods.Items, err == nil)
}

// describeEvent is an event's object and message in one.
func describeEvent(e Event) string { return fmt.Sprintf("%s: %s", e.Object, e.Message) }
