package trainingrun

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// wishes changes a run's spec as its user does.
func (s *stage) wishes(name string, change func(*v1alpha1.TrainingRun)) {
	s.t.Helper()
	run := s.run(name)
	before := run.DeepCopy()
	change(run)
	s.must(s.client.Patch(s.t.Context(), run, client.MergeFrom(before)))
}

func TestStoryARunIsSuspendedAndGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	s.must(s.client.Create(t.Context(), s.newRun("r")))
	job := s.starts("r")
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodRunning, training)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)

	s.wishes("r", suspends)
	s.isGone(job)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonSuspending)
	s.goes(pod, trainerExits(143))
	run := s.becomes("r", v1alpha1.RunSuspended, v1alpha1.ReasonSuspended)
	if got := run.Status.Attempts[0]; got.Result != v1alpha1.AttemptSuspended || got.GPUSeconds != 1200 || run.Status.Usage.GPUSeconds != 1200 {
		t.Errorf("the attempt is %+v, usage %+v; want it suspended, with 1200 GPU-seconds", got, run.Status.Usage)
	}

	s.wishes("r", func(r *v1alpha1.TrainingRun) { r.Spec.Suspend = false })
	second := s.startsAs("r", resources.JobName(run, 2))
	s.kubelet(s.podOf(second), corev1.PodSucceeded, succeededPod)
	s.ended(second, batchv1.JobComplete)
	run = s.becomes("r", v1alpha1.RunSucceeded, v1alpha1.ReasonPublished)
	if run.Status.Attempt != 2 || run.Status.ChargedAttempts != 0 || run.Status.Usage.GPUSeconds != 2400 {
		t.Errorf("attempt %d, %d charged, usage %+v", run.Status.Attempt, run.Status.ChargedAttempts, run.Status.Usage)
	}
}

func TestStoryAFailureIsRepeatedAndThenNot(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	run := s.newRun("r")
	run.Spec.Retry = v1alpha1.RetryPolicy{Limit: ptr.To[int32](2), NonRetriableExitCodes: []int32{42}}
	s.must(s.client.Create(t.Context(), run))
	job := s.starts("r")
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodFailed, trainerExits(1))
	s.ended(job, batchv1.JobFailed)

	second := s.startsAs("r", resources.JobName(run, 2))
	s.isGone(job)
	s.kubelet(s.podOf(second), corev1.PodFailed, trainerExits(42))
	s.ended(second, batchv1.JobFailed)
	run = s.becomes("r", v1alpha1.RunFailed, v1alpha1.ReasonNonZeroExit)
	if got := ptr.Deref(run.Status.Failure.ExitCode, 0); got != 42 || run.Status.Failure.Blame != v1alpha1.BlameUser || run.Status.ChargedAttempts != 2 {
		t.Errorf("failure %+v, %d charged", run.Status.Failure, run.Status.ChargedAttempts)
	}
	s.eventsOf(run, v1alpha1.ReasonRetrying, v1alpha1.ReasonNonZeroExit)
}

// What is made for several nodes passes a real API server, with the tightest Pod
// Security Standard, and the deadline of the Job follows the trainers.
func TestStoryTwoNodesTrainUntilTheirBudgetIsSpent(t *testing.T) {
	t.Parallel()
	s := newStage(t, (*stage).restrict)
	s.readyDataset()
	run := s.newRun("r")
	run.Spec.Nodes = v1alpha1.Nodes{Count: ptr.To[int32](2), GPUsPerNode: ptr.To[int32](2), GPUProduct: "NVIDIA-H200"}
	run.Spec.Limits = v1alpha1.Limits{MaxGPUSeconds: ptr.To[int64](4000), StartWithin: &metav1.Duration{Duration: time.Hour}}
	s.must(s.client.Create(t.Context(), run))
	job := s.starts("r")
	if got := ptr.Deref(job.Spec.ActiveDeadlineSeconds, 0); got != 3600+1000 {
		t.Errorf("the Job begins with a deadline of %d s, want the hour to start and 1000 s of 4 GPUs", got)
	}
	var service corev1.Service
	s.must(s.client.Get(t.Context(), s.key("lethe-r"), &service))
	if !metav1.IsControlledBy(&service, run) || service.Spec.ClusterIP != corev1.ClusterIPNone || !service.Spec.PublishNotReadyAddresses {
		t.Errorf("the Service is %+v", service.Spec)
	}
	job.Status.StartTime = ptr.To(at(0))
	s.must(s.client.Status().Update(t.Context(), job))
	var pods []*corev1.Pod
	for _, index := range []string{"0", "1"} {
		pod := s.podOf(job)
		pod.Labels[batchv1.JobCompletionIndexAnnotation] = index
		s.must(s.client.Update(t.Context(), pod))
		s.kubelet(pod, corev1.PodRunning, training)
		pods = append(pods, pod)
	}
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)
	s.eventually(func() string {
		job = s.job("r")
		if got := ptr.Deref(job.Spec.ActiveDeadlineSeconds, 0); got != 60+1000 {
			return fmt.Sprintf("the deadline is %d s, want 1000 s from the start of the trainers", got)
		}
		return ""
	})
	for _, pod := range pods {
		s.kubelet(pod, corev1.PodFailed, trainerExits(143))
	}
	s.endedFor(job, batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded)
	run = s.becomes("r", v1alpha1.RunFailed, v1alpha1.ReasonGPUBudgetReached)
	if run.Status.Usage.GPUSeconds != 2400 || run.Status.Failure.Blame != v1alpha1.BlameBudget || run.Status.Attempts[0].Result != v1alpha1.AttemptStopped {
		t.Errorf("usage %+v, failure %+v, attempts %+v", run.Status.Usage, run.Status.Failure, run.Status.Attempts)
	}
}

func TestStoryANameOfTheNodesThatIsTakenIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "lethe-r", Namespace: s.namespace},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{"a": "b"}},
	}
	s.must(s.client.Create(t.Context(), service))
	run := s.newRun("r")
	run.Spec.Nodes.Count = ptr.To[int32](2)
	s.must(s.client.Create(t.Context(), run))
	s.becomes("r", v1alpha1.RunPending, v1alpha1.ReasonServiceNotOwned)
}

func TestStoryARunWaitsInAQueue(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	run := s.newRun("r")
	run.Spec.QueueName = "team"
	s.must(s.client.Create(t.Context(), run))
	job := s.starts("r")
	if job.Labels[v1alpha1.LabelQueue] != "team" || !ptr.Deref(job.Spec.Suspend, false) {
		t.Errorf("the Job has the labels %v and suspend %v", job.Labels, job.Spec.Suspend)
	}
	s.becomes("r", v1alpha1.RunQueued, reasonNoKueue)

	// As Kueue does it, with a node selector of its own.
	before := job.DeepCopy()
	job.Spec.Suspend = ptr.To(false)
	job.Spec.Template.Spec.NodeSelector = map[string]string{"pool": "h200"}
	s.must(s.client.Patch(t.Context(), job, client.MergeFrom(before)))
	s.kubelet(s.podOf(s.job("r")), corev1.PodRunning, training)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)
	if diff := cmp.Diff(map[string]string{"pool": "h200"}, s.job("r").Spec.Template.Spec.NodeSelector); diff != "" {
		t.Errorf("what Kueue owns was written again (-want +got):\n%s", diff)
	}
}

func TestStoryARunIsDeletedAtItsTime(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	run := s.newRun("r")
	run.Spec.TTLAfterFinished = &metav1.Duration{Duration: time.Second}
	s.must(s.client.Create(t.Context(), run))
	job := s.starts("r")
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodSucceeded, succeededPod)
	s.ended(job, batchv1.JobComplete)
	s.isGone(job)
	s.goes(pod)
	s.isGone(run)
}

// The run was forced to go, and with it what its Pod's time would be put into.
func TestStoryAPodWhoseRunWasForcedToGoIsLetGo(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.readyDataset()
	run := s.newRun("r")
	s.must(s.client.Create(t.Context(), run))
	pod := s.podOf(s.starts("r"))
	s.kubelet(pod, corev1.PodRunning, training)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)
	s.must(s.client.Delete(t.Context(), run))
	s.wishes("r", func(r *v1alpha1.TrainingRun) { r.Finalizers = nil })
	s.isGone(run)
	s.eventually(func() string {
		s.must(s.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
		return strings.Join(pod.Finalizers, " ")
	})
}
