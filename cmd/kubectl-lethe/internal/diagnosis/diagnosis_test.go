package diagnosis

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) metav1.Time { return metav1.Time{Time: now.Add(d)} }

func run(state v1alpha1.RunState, reason, message string, mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
	r := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits-1", UID: "run", CreationTimestamp: at(-time.Hour)},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"}, Nodes: v1alpha1.Nodes{Count: new(int32(1)), GPUsPerNode: new(int32(1))},
		},
		Status: v1alpha1.TrainingRunStatus{State: state, Reason: reason, Message: message},
	}
	if reason != "" {
		r.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionRunning, Reason: reason, LastTransitionTime: at(-12 * time.Minute)}}
	}
	for _, mod := range mods {
		mod(r)
	}
	return r
}

// unschedulable asks for 16 GPUs of a kind.
func unschedulable() *v1alpha1.TrainingRun {
	return run(v1alpha1.RunStarting, v1alpha1.ReasonUnschedulable, "no node has room", func(r *v1alpha1.TrainingRun) {
		r.Spec.Nodes = v1alpha1.Nodes{Count: new(int32(2)), GPUsPerNode: new(int32(8)), GPUProduct: "NVIDIA-H200"}
		r.Status.Attempt = 1
		r.Status.Attempts = []v1alpha1.Attempt{{Number: 1, JobUID: "job"}}
	})
}

func pod(name string, mods ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: name, UID: types.UID(name), CreationTimestamp: at(-11 * time.Minute),
		Labels: map[string]string{v1alpha1.LabelRun: "digits-1", v1alpha1.LabelRunUID: "run"},
	}}
	for _, mod := range mods {
		mod(p)
	}
	return p
}

func on(node string, gpus int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.NodeName, p.Labels = node, nil
		p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: gpuList(gpus)}}}
	}
}

func gpuList(n int64) corev1.ResourceList {
	return corev1.ResourceList{v1alpha1.ResourceGPU: *resource.NewQuantity(n, resource.DecimalSI)}
}

func node(name, product string, gpus int64, mods ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelGPUProduct: product}},
		Status: corev1.NodeStatus{
			Allocatable: gpuList(gpus), Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, mod := range mods {
		mod(n)
	}
	return n
}

func event(uid, reason, message string, age time.Duration, mods ...func(*corev1.Event)) *corev1.Event {
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "team", Name: uid + "." + reason},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: uid, UID: types.UID(uid)},
		Type:           corev1.EventTypeWarning, Reason: reason, Message: message, LastTimestamp: at(-age), Count: 3,
	}
	for _, mod := range mods {
		mod(e)
	}
	return e
}

// reader is a cluster in which listing some kinds is forbidden.
func reader(t *testing.T, forbidden []string, objects ...client.Object) client.Reader {
	t.Helper()
	scheme, err := cluster.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	list := func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
		options := (&client.ListOptions{}).ApplyOptions(opts)
		for _, name := range forbidden {
			kind, namespaced := strings.CutSuffix(name, "@all")
			gvk, err := c.GroupVersionKindFor(l)
			if err != nil {
				return err
			}
			if gvk.Kind == kind+"List" && (!namespaced || options.Namespace == "") {
				return apierrors.NewForbidden(corev1.Resource(kind), "", errors.New("no right"))
			}
		}
		return c.List(ctx, l, opts...)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithIndex(&corev1.Event{}, eventsOf, func(o client.Object) []string {
			e, ok := o.(*corev1.Event)
			if !ok {
				return nil
			}
			return []string{string(e.InvolvedObject.UID)}
		}).
		WithInterceptorFuncs(interceptor.Funcs{List: list}).Build()
}

func full() []client.Object {
	return []client.Object{
		pod("digits-1-a"), pod("digits-1-b"), pod("namesake", func(p *corev1.Pod) { p.Labels[v1alpha1.LabelRunUID] = "other" }),
		pod("busy", on("h200-a", 5)), pod("over", on("h200-a", 3), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		node("h200-a", "NVIDIA-H200", 8), node("h200-b", "NVIDIA-H200", 8),
		node("h200-c", "NVIDIA-H200", 8, func(n *corev1.Node) { n.Spec.Unschedulable = true }), node("l4", "NVIDIA-L4", 2), node("cpu", "", 0),
		event("digits-1-a", "FailedScheduling", "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.", time.Minute),
		event("digits-1-b", "FailedScheduling", "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.", 2*time.Minute),
		event("digits-1-b", "Pulled", "all is well", time.Minute, func(e *corev1.Event) { e.Type = corev1.EventTypeNormal }),
		event("namesake", "FailedScheduling", "of another run", time.Minute),
		event("job", "FailedCreate", "exceeded quota: gpus", 10*time.Minute, func(e *corev1.Event) {
			e.InvolvedObject.Kind, e.LastTimestamp, e.Count = "Job", metav1.Time{}, 0
			e.Series = &corev1.EventSeries{Count: 7, LastObservedTime: metav1.MicroTime{Time: now.Add(-10 * time.Minute)}}
		}),
	}
}

// quiet trains and says nothing.
func silent() *v1alpha1.TrainingRun {
	return run(v1alpha1.RunRunning, v1alpha1.ReasonTraining, "the trainer runs", func(r *v1alpha1.TrainingRun) {
		activity := at(-20 * time.Minute)
		r.Status.Progress = &v1alpha1.Progress{LastActivityTime: &activity}
	})
}

func crashed() *v1alpha1.TrainingRun {
	return run(v1alpha1.RunFailed, v1alpha1.ReasonOOMKilled, "the trainer used more memory than its limit", func(r *v1alpha1.TrainingRun) {
		end, start := at(-5*time.Minute), at(-time.Hour)
		r.Status.CompletionTime, r.Status.Attempt = &end, 2
		r.Status.Attempts = []v1alpha1.Attempt{
			{Number: 1, StartTime: &start, EndTime: &end, Result: v1alpha1.AttemptDisrupted, Reason: v1alpha1.ReasonDisrupted, GPUSeconds: 600},
			{Number: 2, StartTime: &start, EndTime: &end, Result: v1alpha1.AttemptFailed, Reason: v1alpha1.ReasonOOMKilled, ExitCode: new(int32(137)), ResumedFrom: "0001-000010"},
		}
		r.Status.Checkpoints = []v1alpha1.Checkpoint{{ID: "0001-000010"}}
		r.Status.Failure = &v1alpha1.RunFailure{
			Reason: v1alpha1.ReasonOOMKilled, Blame: v1alpha1.BlameUser, Message: "the trainer used more memory than its limit",
			Hint: "raise spec.trainer.resources.memory", Container: "trainer", ExitCode: new(int32(137)), LogTail: "epoch 3\n\x1b[2Jepoch 4\n",
		}
	})
}

func TestExplanations(t *testing.T) {
	t.Parallel()
	open := &v1alpha1.DatasetRetention{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits"},
		Status:     v1alpha1.DatasetRetentionStatus{State: v1alpha1.DatasetOpen, Reason: v1alpha1.ReasonUploadOpen, Message: "It waits for its data."},
	}
	deleted := at(-time.Minute)
	tests := map[string]struct {
		run       *v1alpha1.TrainingRun
		objects   []client.Object
		forbidden []string
		columns   int
	}{
		"unschedulable":          {run: unschedulable(), objects: full()},
		"unschedulable-narrow":   {run: unschedulable(), objects: full(), columns: 60},
		"unschedulable-to-users": {run: unschedulable(), objects: full(), forbidden: []string{"Node", "Event"}},
		"unschedulable-to-some":  {run: unschedulable(), objects: full(), forbidden: []string{"Pod@all"}},
		"to-viewers":             {run: unschedulable(), objects: full(), forbidden: []string{"Pod", "Node", "Event"}},
		"dataset":                {run: run(v1alpha1.RunPending, v1alpha1.ReasonDatasetNotSealed, "the dataset is still open"), objects: []client.Object{open}},
		"queued": {run: run(v1alpha1.RunQueued, v1alpha1.ReasonQueued, "", func(r *v1alpha1.TrainingRun) {
			r.Spec.QueueName, r.Spec.Nodes.GPUsPerNode = "gold", new(int32(0))
			r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{
				Type: v1alpha1.ConditionQuotaReserved, Status: metav1.ConditionFalse, Reason: "WaitingForQuota", Message: "2 workloads are before it",
			})
		})},
		"silent":    {run: silent()},
		"crashed":   {run: crashed()},
		"suspended": {run: run(v1alpha1.RunSuspended, v1alpha1.ReasonSuspended, "")},
		"succeeded": {run: run(v1alpha1.RunSucceeded, v1alpha1.ReasonPublished, "trained")},
		"unseen":    {run: run("", "", "")},
		"new":       {run: run("", "", "", func(r *v1alpha1.TrainingRun) { r.CreationTimestamp = at(-time.Second) })},
		"deleted": {run: run(v1alpha1.RunRunning, v1alpha1.ReasonEnding, "", func(r *v1alpha1.TrainingRun) {
			r.DeletionTimestamp = &deleted
		})},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			screen := terminal.Screen{Out: &b}
			if tc.columns > 0 {
				screen.Width = func() int { return tc.columns + 1 }
			}
			facts := Gather(t.Context(), reader(t, tc.forbidden, tc.objects...), tc.run)
			if err := Write(screen, facts, now); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", b.String())
			for line := range strings.Lines(b.String()) {
				if got := words.Length(line) - 1; tc.columns > 0 && got > tc.columns {
					t.Errorf("%d columns do not fit: %q", got, line)
				}
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	kinds := func(free int64) []GPUs {
		return []GPUs{{Product: "H200", Nodes: 2, Total: 16, Largest: 8, Free: free, LargestFree: min(free, 8), FreeKnown: true}}
	}
	tests := map[string]struct {
		nodes, gpus int32
		product     string
		kinds       []GPUs
		want        string
	}{
		"all are free":          {nodes: 2, gpus: 8, kinds: kinds(16)},
		"some are in use":       {nodes: 2, gpus: 8, kinds: kinds(15), want: "are in use"},
		"it is not known":       {nodes: 2, gpus: 8, kinds: []GPUs{{Total: 16, Largest: 8}}},
		"there is no such kind": {nodes: 1, gpus: 1, product: "L4", kinds: kinds(16), want: "of the kind that the run asks for"},
		"no node is so large":   {nodes: 1, gpus: 16, kinds: kinds(16), want: "No node has as many"},
		"there are too few":     {nodes: 3, gpus: 8, kinds: kinds(16), want: "fewer GPUs of that kind"},
	}
	for name, tc := range tests {
		r := run(v1alpha1.RunStarting, "", "", func(r *v1alpha1.TrainingRun) {
			r.Spec.Nodes = v1alpha1.Nodes{Count: &tc.nodes, GPUsPerNode: &tc.gpus, GPUProduct: tc.product}
		})
		if got := room(r, tc.kinds); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
