package broker

import (
	"context"
	"strconv"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// nodePod is a node's pod that stages its data in.
func nodePod(node int) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: owned("run-a-"+strconv.Itoa(node), "pod-"+strconv.Itoa(node), "batch/v1", "Job", "run-a", jobUID),
		Spec:       corev1.PodSpec{NodeName: "node", Hostname: "run-a-" + strconv.Itoa(node)},
		Status: corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{{
			Name: staging.ContainerStageIn, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}},
	}
	pod.Labels = map[string]string{v1alpha1.LabelRun: "run-a"}
	pod.Annotations = map[string]string{batchv1.JobCompletionIndexAnnotation: strconv.Itoa(node)}
	return pod
}

// ganged makes the pod the first of three that are all there.
func (w *world) ganged() {
	w.nodes(3, 0)
	first := nodePod(0)
	w.pod.Labels, w.pod.Spec, w.pod.Status = first.Labels, first.Spec, first.Status
	w.peers = []*corev1.Pod{nodePod(1), nodePod(2)}
}

type gangAnswer struct {
	status staging.GangStatus
	err    error
}

// gather asks for the gang and returns when the broker has begun to wait.
func (w *world) gather(ctx context.Context, t *testing.T, c *brokerclient.Client) <-chan gangAnswer {
	t.Helper()
	answers := make(chan gangAnswer, 1)
	others := w.clock.Waiters()
	go func() {
		status, err := c.Gang(ctx)
		answers <- gangAnswer{status, err}
	}()
	eventually(t, "the broker waits", func() bool { return w.clock.Waiters() >= others+2 })
	return answers
}

func TestAGangThatIsThereIsToldAtOnce(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*world){
		"all stage in": func(*world) {},
		"one has staged in": func(w *world) {
			w.peers[1].Status.InitContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
		},
		"one trains already": func(w *world) {
			w.peers[1].Status.Phase = corev1.PodRunning
			w.peers[1].Status.InitContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
		},
		"a run of one node": func(w *world) { w.nodes(1, 0); w.peers = nil },
		"a pod of before is beside its replacement": func(w *world) {
			old := nodePod(1)
			old.Name, old.UID, old.Status.Phase = "old", "old", corev1.PodFailed
			w.peers = append(w.peers, old)
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.ganged()
			change(w)
			got, err := w.start(t).Gang(t.Context())
			if err != nil || !got.Ready {
				t.Errorf("gang %+v, %v", got, err)
			}
		})
	}
}

func TestAGangIsWaitedFor(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*world){
		"a pod that there is not":         func(w *world) { w.peers = w.peers[:1] },
		"a pod without a node":            func(w *world) { w.peers[1].Spec.NodeName = "" },
		"a pod whose stage-in waits":      func(w *world) { w.peers[1].Status.InitContainerStatuses[0].State = corev1.ContainerState{} },
		"a pod without a stage-in":        func(w *world) { w.peers[1].Status.InitContainerStatuses = nil },
		"a pod that is being deleted":     func(w *world) { deleted(w.peers[1]) },
		"a pod that failed":               func(w *world) { w.peers[1].Status.Phase = corev1.PodFailed },
		"a pod of another attempt's Job":  func(w *world) { w.peers[1].OwnerReferences[0].UID = "other" },
		"a pod of nobody":                 func(w *world) { w.peers[1].OwnerReferences = nil },
		"a pod that says it is another":   func(w *world) { w.peers[1].Annotations[batchv1.JobCompletionIndexAnnotation] = "0" },
		"a pod with another's hostname":   func(w *world) { w.peers[1].Spec.Hostname = "run-a-1" },
		"a pod of another namespace's":    func(w *world) { w.peers[1].Namespace = "team-b" },
		"a pod whose stage-in ended ill":  func(w *world) { stageInEnds(w.peers[1], 65) },
		"itself, which is not there":      func(w *world) { w.pod.Spec.NodeName = "" },
		"a pod beyond those that are due": func(w *world) { w.peers[1] = nodePod(3) },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.ganged()
			change(w)
			answers := w.gather(t.Context(), t, w.start(t))
			w.clock.Step(staging.TrainerWait)
			if got := <-answers; got.err != nil || got.status.Ready {
				t.Errorf("gang %+v, want one that is not ready", got)
			}
		})
	}
}

func stageInEnds(pod *corev1.Pod, code int32) {
	pod.Status.InitContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}
}

func TestAGangIsToldAsSoonAsTheLastIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.ganged()
	last := w.peers[1]
	w.peers = w.peers[:1]
	answers := w.gather(t.Context(), t, w.start(t))
	if err := w.kube.Create(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	w.clock.Step(gangPoll)
	if got := <-answers; got.err != nil || !got.status.Ready {
		t.Errorf("gang %+v, want one that is ready", got)
	}
}

func TestOneLookServesAllNodes(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	g := newGangs()
	g.put("job", true, now)
	if ready, ok := g.get("job", now.Add(gangPoll-1)); !ready || !ok {
		t.Error("a look is forgotten at once")
	}
	if _, ok := g.get("job", now.Add(gangPoll)); ok {
		t.Error("a look is believed for too long")
	}
	for i := range maxWaiting {
		g.put(types.UID(strconv.Itoa(i)), false, now)
	}
	g.put("later", false, now.Add(gangPoll))
	if len(g.seen) != 1 {
		t.Errorf("%d looks are remembered, want the new one", len(g.seen))
	}
}
