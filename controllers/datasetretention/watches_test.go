package datasetretention

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestUseChanges(t *testing.T) {
	t.Parallel()
	in := func(state v1alpha1.RunState, bound bool, message string) *v1alpha1.TrainingRun {
		r := &v1alpha1.TrainingRun{Status: v1alpha1.TrainingRunStatus{State: state, Message: message}}
		if bound {
			r.Status.Dataset = &v1alpha1.BoundDataset{UID: testUID}
		}
		return r
	}
	cases := map[string]struct {
		before, after *v1alpha1.TrainingRun
		want          bool
	}{
		"a run that ends wakes its dataset":        {in(v1alpha1.RunRunning, true, ""), in(v1alpha1.RunSucceeded, true, ""), true},
		"a run that fails while it waits too":      {in(v1alpha1.RunPending, false, ""), in(v1alpha1.RunFailed, false, ""), true},
		"a run that gets bound too":                {in(v1alpha1.RunPending, false, ""), in(v1alpha1.RunStarting, true, ""), true},
		"a run that starts to train does not":      {in(v1alpha1.RunStarting, true, ""), in(v1alpha1.RunRunning, true, ""), false},
		"a run that reports progress does not":     {in(v1alpha1.RunRunning, true, "10%"), in(v1alpha1.RunRunning, true, "20%"), false},
		"a run that is gone through again doesn't": {in(v1alpha1.RunFailed, true, ""), in(v1alpha1.RunFailed, true, ""), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := useChanges().Update(event.UpdateEvent{ObjectOld: c.before, ObjectNew: c.after}); got != c.want {
				t.Errorf("passes: %v, want %v", got, c.want)
			}
		})
	}
	if !useChanges().Create(event.CreateEvent{}) || !useChanges().Delete(event.DeleteEvent{}) {
		t.Error("a run that comes or goes must wake its dataset")
	}
}

func TestCopyEnds(t *testing.T) {
	t.Parallel()
	pod := func(phase corev1.PodPhase, label string) *corev1.Pod {
		p := &corev1.Pod{Status: corev1.PodStatus{Phase: phase}}
		if label != "" {
			p.Labels = map[string]string{v1alpha1.LabelDatasetUID: label}
		}
		return p
	}
	job := func(kind batchv1.JobConditionType) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelDatasetUID: "x"}}}
		j.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue}}
		return j
	}
	cases := map[string]struct {
		before, after client.Object
		want          bool
	}{
		"a pod that ends":               {pod(corev1.PodRunning, "x"), pod(corev1.PodSucceeded, "x"), true},
		"a pod that fails":              {pod(corev1.PodPending, "x"), pod(corev1.PodFailed, "x"), true},
		"a pod that starts":             {pod(corev1.PodPending, "x"), pod(corev1.PodRunning, "x"), false},
		"a pod that had ended":          {pod(corev1.PodFailed, "x"), pod(corev1.PodFailed, "x"), false},
		"a pod that is none of ours":    {pod(corev1.PodRunning, ""), pod(corev1.PodSucceeded, ""), false},
		"a pod that loses its label":    {pod(corev1.PodRunning, "x"), pod(corev1.PodRunning, ""), true},
		"a job that completes":          {job(batchv1.JobSuspended), job(batchv1.JobComplete), true},
		"a job that fails":              {job(batchv1.JobSuspended), job(batchv1.JobFailed), true},
		"a job that is about to fail":   {job(batchv1.JobSuspended), job(batchv1.JobFailureTarget), false},
		"a job that is only touched":    {job(batchv1.JobSuspended), job(batchv1.JobSuspended), false},
		"a job that completed long ago": {job(batchv1.JobComplete), job(batchv1.JobComplete), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := copyEnds().Update(event.UpdateEvent{ObjectOld: c.before, ObjectNew: c.after}); got != c.want {
				t.Errorf("passes: %v, want %v", got, c.want)
			}
		})
	}
	if !copyEnds().Delete(event.DeleteEvent{Object: pod(corev1.PodRunning, "x")}) || copyEnds().Create(event.CreateEvent{}) {
		t.Error("a copy that goes wakes its dataset, one that comes does not")
	}
}

func TestWaitingForCopy(t *testing.T) {
	t.Parallel()
	going := newDataset(usable, deleted)
	staying := newDataset(usable, func(d *v1alpha1.DatasetRetention) { d.Name, d.UID = "staying", "other" })
	r := &Reconciler{client: fake.NewClientBuilder().WithScheme(testScheme(t)).WithObjects(going, staying).Build()}
	using := func(uid types.UID) client.Object {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: testNamespace, Labels: map[string]string{v1alpha1.LabelDatasetUID: string(uid)},
		}}
	}
	cases := map[string]struct {
		uid  types.UID
		want []reconcile.Request
	}{
		"a deleted dataset is woken":      {going.UID, []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(going)}}},
		"a dataset that stays is not":     {staying.UID, nil},
		"a dataset that is not there too": {"unknown", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, r.waitingForCopy(context.Background(), using(c.uid))); diff != "" {
				t.Errorf("woken (-want +got):\n%s", diff)
			}
		})
	}
}
