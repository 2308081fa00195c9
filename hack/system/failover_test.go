package system_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// The tests of this file take the leader away from all journeys, so they do not run beside
// any other.

const (
	// takeover is what config/README.md promises of a leader that is lost.
	takeover = 20 * time.Second
	// noticed is how long broker and webhooks may not answer when one of two replicas is
	// gone without a word: until connections to it are broken off, and Services leave it out.
	noticed = 5 * time.Second
)

// TestLeaderIsKilled by SIGKILL, which leaves it no time to say so, while one run trains,
// one has just got its Job, and one is made when nobody leads.
func TestLeaderIsKilled(t *testing.T) {
	twoReplicas(t)
	ns := journey(t)
	create(t, unruly(ns, "training", 50, nil, hardware(1, 1)))
	waitFor(t, ns, "training", "to its fourth step", stepped(4))
	pod := podsOf(t, ns, "training")[0]
	before := leader(t)
	standby := otherThan(t, before)
	begun := time.Now()
	broker, webhooks := watchBroker(t, ns), watchWebhooks(t, ns)
	create(t, unruly(ns, "begun", 4, nil))
	eventually(t, "the Job of the run that is begun", func(ctx context.Context) (bool, string, error) {
		jobs, err := jobsOf(ctx, ns, "begun")
		return len(jobs) > 0, "none", err
	})
	kill(t, before, "manager")
	killed := time.Now()
	create(t, unruly(ns, "waiting", 4, nil))
	after := newLeader(t, before, killed)
	assertWroteAsStandby(t, standby, begun, killed)
	if after.UID == before.UID {
		t.Logf("%s was started again, and leads again", after.Name)
	}
	for _, name := range []string{"begun", "waiting", "training"} {
		run := waitRun(t, ns, name, v1alpha1.RunSucceeded)
		assertAttempts(t, run, v1alpha1.AttemptSucceeded)
		if trail := trailOf(t, run); len(trail) != 1 {
			t.Errorf("the trail of %s is %+v, want one process", name, trail)
		}
	}
	assertNoGap(t, broker(), webhooks())
	assertOnce(t, ns, begun, "training", "begun", "waiting")
	assertUndisturbed(t, ns, pod)
}

// stepped says that a trainer has told of this step.
func stepped(step int64) func(v1alpha1.TrainingRunStatus) bool {
	return func(s v1alpha1.TrainingRunStatus) bool { return hasStep(s) && *s.Progress.Step >= step }
}

// assertUndisturbed wants a run's Pod to be the one that it was, its time to be counted
// once, and its stagers to have missed nobody.
func assertUndisturbed(t *testing.T, ns string, pod corev1.Pod) {
	t.Helper()
	var after corev1.Pod
	if err := lab.kube.Get(t.Context(), client.ObjectKeyFromObject(&pod), &after); err != nil || after.UID != pod.UID {
		t.Fatalf("the pod is another one (%v)", err)
	}
	for _, status := range slices.Concat(after.Status.InitContainerStatuses, after.Status.ContainerStatuses) {
		if status.RestartCount > 0 {
			t.Errorf("%s was started again %d times", status.Name, status.RestartCount)
		}
		if text := kubectl(t, "-n", ns, "logs", pod.Name, "-c", status.Name); strings.Contains(text, "broker does not answer") {
			t.Errorf("%s missed the broker:\n%s", status.Name, text)
		}
	}
	var run v1alpha1.TrainingRun
	if err := lab.kube.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: pod.Labels[v1alpha1.LabelRun]}, &run); err != nil {
		t.Fatal(err)
	}
	want := trainerSeconds(t, after)
	if used := run.Status.Usage; used == nil || used.GPUSeconds < want || used.GPUSeconds > want+1 {
		t.Errorf("usage %+v, want the %d s for which the trainer ran, once", used, want)
	}
}

func jobsOf(ctx context.Context, ns, run string) ([]batchv1.Job, error) {
	var jobs batchv1.JobList
	err := lab.kube.List(ctx, &jobs, client.InNamespace(ns), client.MatchingLabels{v1alpha1.LabelRun: run})
	return jobs.Items, err
}

// Replicas of the operator.

// operators are its Pods that are not on their way out.
func operators(t *testing.T) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	err := lab.kube.List(t.Context(), &pods, client.InNamespace(operatorNamespace), client.MatchingLabels{"app.kubernetes.io/name": "lethe-manager"})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

// twoReplicas waits until the operator has them, and one of them leads. They are what the
// lab has; they are to be ready again when the test ends, for the next one.
func twoReplicas(t *testing.T) {
	t.Helper()
	rolledOut(t)
	if n := len(operators(t)); n != 2 {
		t.Fatalf("the operator has %d replicas, want the 2 of config/lab", n)
	}
	t.Cleanup(func() {
		out, err := command(context.Background(), tool("kubectl"), "-n", operatorNamespace, "rollout", "status", "deploy/lethe-manager", "--timeout=2m")
		if err != nil {
			t.Errorf("the operator does not come back: %v\n%s", err, out)
		}
	})
	eventually(t, "a replica to lead", func(ctx context.Context) (bool, string, error) {
		name, err := leaderName(ctx)
		return slices.ContainsFunc(operators(t), func(pod corev1.Pod) bool { return pod.Name == name }), name, err
	})
}

func rolledOut(t *testing.T) {
	t.Helper()
	kubectl(t, "-n", operatorNamespace, "rollout", "status", "deploy/lethe-manager", "--timeout=2m")
}

// leaderName is the Pod of the replica that says that it leads; "" for none.
func leaderName(ctx context.Context) (string, error) {
	var lease coordinationv1.Lease
	if err := lab.kube.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: "manager.lethe.dev"}, &lease); err != nil {
		return "", err
	}
	if lease.Spec.HolderIdentity == nil {
		return "", nil
	}
	name, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return name, nil
}

// leader is the Pod of the replica that leads.
func leader(t *testing.T) corev1.Pod {
	t.Helper()
	name, err := leaderName(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := lab.kube.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: name}, &pod); err != nil {
		t.Fatalf("the leader %q: %v", name, err)
	}
	return pod
}

// otherThan is the other replica.
func otherThan(t *testing.T, pod corev1.Pod) corev1.Pod {
	t.Helper()
	for _, other := range operators(t) {
		if other.UID != pod.UID {
			return other
		}
	}
	t.Fatal("there is no other replica")
	return corev1.Pod{}
}

// newLeader waits for the next leader, and wants it to lead in time.
func newLeader(t *testing.T, before corev1.Pod, since time.Time) corev1.Pod {
	t.Helper()
	var lease coordinationv1.Lease
	eventually(t, "another leader", func(ctx context.Context) (bool, string, error) {
		err := lab.kube.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: "manager.lethe.dev"}, &lease)
		took := lease.Spec.AcquireTime
		return err == nil && took != nil && took.After(since), fmt.Sprintf("%s still does", before.Name), err
	})
	took := lease.Spec.AcquireTime.Sub(since)
	t.Logf("nobody led for %s", took.Round(100*time.Millisecond))
	if took > takeover {
		t.Errorf("nobody led for %s, want %s at most", took, takeover)
	}
	return leader(t)
}

// vigil is somebody who asked again and again while something happened.
type vigil struct {
	what  string
	asked int
	// gap is the longest time without an answer, and why was none.
	gap time.Duration
	why error
}

// keepAsking asks until the returned function is called, which gives what came of it.
func keepAsking(t *testing.T, what string, ask func(context.Context) error) (end func() vigil) {
	t.Helper()
	const pause = 200 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	v, answered := vigil{what: what}, time.Now()
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			once, cancel := context.WithTimeout(ctx, 3*time.Second)
			err := ask(once)
			cancel()
			if ctx.Err() != nil {
				return
			}
			v.asked++
			switch gap := time.Since(answered); {
			case err == nil:
				answered = time.Now()
			case gap > v.gap:
				v.gap, v.why = gap, err
			}
			time.Sleep(pause)
		}
	})
	end = func() vigil { stop(); done.Wait(); return v }
	t.Cleanup(func() { end() })
	return end
}

// watchBroker asks for credentials to upload, each time by a connection of its own, so that
// any replica may be asked.
func watchBroker(t *testing.T, ns string) func() vigil {
	t.Helper()
	ds := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "open"}}
	create(t, ds)
	waitDataset(t, ns, ds.Name, "to be open", func(ds v1alpha1.DatasetRetention) bool { return ds.Status.Location != nil })
	ask := brokerOf(t, ns, func(transport *http.Transport) { transport.DisableKeepAlives = true })
	return keepAsking(t, "the broker", func(ctx context.Context) error {
		_, err := ask.Upload(ctx, ns, ds.Name)
		return err
	})
}

// watchWebhooks makes runs by --dry-run of which the webhook warns.
func watchWebhooks(t *testing.T, ns string) func() vigil {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	heard := &warnings{}
	cfg.WarningHandlerWithContext = heard
	kube, err := client.New(cfg, client.Options{Scheme: lab.kube.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return keepAsking(t, "the webhooks", func(ctx context.Context) error {
		heard.last = ""
		if err := kube.Create(ctx, aRun(ns, "never", "nowhere"), client.DryRunAll); err != nil {
			return err
		}
		if !strings.Contains(heard.last, "nowhere") {
			return errors.New("nobody warned of a dataset that does not exist")
		}
		return nil
	})
}

// warnings keeps what the API server warned of in the last answer.
type warnings struct{ last string }

func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _ string, text string) {
	w.last += text
}

func assertNoGap(t *testing.T, all ...vigil) {
	t.Helper()
	for _, v := range all {
		t.Logf("%s did not answer for %s at most, of %d questions", v.what, v.gap.Round(10*time.Millisecond), v.asked)
		if v.gap > noticed || v.asked == 0 {
			t.Errorf("%s did not answer for %s: %v", v.what, v.gap, v.why)
		}
	}
}

// What the operator wrote, by the API server's audit log.

// write is a write of the operator that succeeded.
type write struct {
	Verb, URI string
	Resource  struct{ Namespace, Resource, Subresource, Name string }
	From      []string
	At        time.Time
}

func (w write) String() string { return w.Verb + " " + w.URI }

// writesSince lists them, but for those that say who leads.
func writesSince(t *testing.T, since time.Time) []write {
	t.Helper()
	files, err := filepath.Glob(auditLogs)
	if err != nil || len(files) == 0 {
		t.Fatalf("no audit log: %v", err)
	}
	var all []write
	for _, file := range files {
		all = append(all, writesIn(t, file, since)...)
	}
	return all
}

func writesIn(t *testing.T, file string, since time.Time) []write {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	var found []write
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Stage, Verb, RequestURI  string
			User                     struct{ Username string }
			SourceIPs                []string
			ObjectRef                struct{ Namespace, Resource, Subresource, Name string }
			ResponseStatus           struct{ Code int }
			RequestReceivedTimestamp time.Time
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			continue // the last line may be half written
		}
		ofOperator := event.User.Username == "system:serviceaccount:"+operatorNamespace+":lethe-manager"
		reads := slices.Contains([]string{"get", "list", "watch"}, event.Verb)
		if !ofOperator || reads || event.Stage != "ResponseComplete" || event.ResponseStatus.Code >= http.StatusMultipleChoices ||
			event.RequestReceivedTimestamp.Before(since) || event.ObjectRef.Resource == "leases" {
			continue
		}
		found = append(found, write{event.Verb, event.RequestURI, event.ObjectRef, event.SourceIPs, event.RequestReceivedTimestamp})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// assertOnce wants each of these runs to have got one Job, and nothing else a Job.
func assertOnce(t *testing.T, ns string, since time.Time, runs ...string) {
	t.Helper()
	made := map[string]int{}
	for _, w := range writesSince(t, since.Add(-patience)) {
		if w.Verb == "create" && w.Resource.Resource == "jobs" && w.Resource.Namespace == ns {
			made[w.Resource.Name]++
		}
	}
	if len(made) != len(runs) {
		t.Errorf("Jobs were made: %v, want one for each of %v", made, runs)
	}
	for name, times := range made {
		if times != 1 {
			t.Errorf("the Job %s was made %d times", name, times)
		}
	}
}

// assertWroteAsStandby wants a replica that did not lead to have written nothing but what
// the broker writes, or asks by a write.
func assertWroteAsStandby(t *testing.T, pod corev1.Pod, since, until time.Time) {
	t.Helper()
	for _, w := range writesSince(t, since) {
		if w.At.After(until) || !slices.Contains(w.From, pod.Status.PodIP) {
			continue
		}
		tells := w.Resource.Resource == "trainingruns" && w.Resource.Subresource == "status" && strings.Contains(w.URI, "fieldManager=lethe-progress")
		asks := w.Resource.Resource == "tokenreviews" || w.Resource.Resource == "subjectaccessreviews"
		if !tells && !asks {
			t.Errorf("a replica that does not lead writes: %s", w)
		}
	}
}
