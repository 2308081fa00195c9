package trainingrun

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// Everything in the pure tests happens around this time.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var testOptions = Options{
	StagerImage:     "registry.example/lethe/stager:v1",
	BrokerURL:       "https://lethe-broker.lethe-system.svc",
	TrustBundle:     "lethe-broker",
	ArtifactsBucket: "artifacts",
	BillingGrace:    2 * time.Hour,
}

// testStore is the identity of the store.
var testStore = strings.Repeat("5a", 16)

var digest = "sha256:" + strings.Repeat("ab", 32)

const (
	runUID     = "9a1c0f3e-0000-4000-8000-000000000001"
	datasetUID = "1d5be7a2-0000-4000-8000-000000000002"
	jobUID     = "5e2f44c1-0000-4000-8000-000000000003"
)

// uidOfJob is the UID of the Job of an attempt.
func uidOfJob(attempt int32) types.UID {
	return types.UID(fmt.Sprintf("%s%d", strings.TrimSuffix(jobUID, "3"), attempt+2))
}

func at(offset time.Duration) metav1.Time { return metav1.NewTime(noon.Add(offset)) }

// makeRun is run "r" on dataset "d" with 2 GPUs, made a minute before noon.
func makeRun(mods ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
	run := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: "r", Namespace: "team-a", UID: runUID, Generation: 1, CreationTimestamp: at(-time.Minute),
		},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "d"},
			Trainer: v1alpha1.Trainer{
				Image:     "registry.example/digits:v1",
				Resources: v1alpha1.TrainerResources{Memory: ptr.To(resource.MustParse("16Gi"))},
			},
			Nodes: v1alpha1.Nodes{GPUsPerNode: ptr.To[int32](2)},
		},
	}
	for _, mod := range mods {
		mod(run)
	}
	return run
}

func inState(state v1alpha1.RunState) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) { r.Status.State = state }
}

func onceBound(r *v1alpha1.TrainingRun) {
	r.Status.Dataset = &v1alpha1.BoundDataset{UID: datasetUID, ManifestDigest: digest}
}

func guarded(r *v1alpha1.TrainingRun) { r.Finalizers = []string{v1alpha1.FinalizerRun} }

func runDeleting(r *v1alpha1.TrainingRun) { r.DeletionTimestamp = ptr.To(at(0)) }

// makeDataset is dataset "d", ready for runs.
func makeDataset(mods ...func(*v1alpha1.DatasetRetention)) *v1alpha1.DatasetRetention {
	dataset := &v1alpha1.DatasetRetention{
		ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "team-a", UID: datasetUID},
		Spec:       v1alpha1.DatasetRetentionSpec{Sealed: true},
		Status: v1alpha1.DatasetRetentionStatus{
			State:          v1alpha1.DatasetReady,
			ManifestDigest: digest,
			Conditions: []metav1.Condition{{
				Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue,
				Reason: v1alpha1.ReasonVerified, LastTransitionTime: at(-time.Hour),
			}},
		},
	}
	for _, mod := range mods {
		mod(dataset)
	}
	return dataset
}

func unsealed(d *v1alpha1.DatasetRetention) {
	d.Spec.Sealed = false
	d.Status = v1alpha1.DatasetRetentionStatus{State: v1alpha1.DatasetOpen}
}

func unchecked(d *v1alpha1.DatasetRetention) {
	d.Status = v1alpha1.DatasetRetentionStatus{State: v1alpha1.DatasetSealing}
}

// overdue is a dataset whose time is over and that something still keeps.
func overdue(d *v1alpha1.DatasetRetention) {
	apimeta.SetStatusCondition(&d.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonExpired,
	})
}

func invalid(d *v1alpha1.DatasetRetention) {
	d.Status = v1alpha1.DatasetRetentionStatus{State: v1alpha1.DatasetInvalid}
}

func erasing(d *v1alpha1.DatasetRetention) {
	d.DeletionTimestamp = ptr.To(at(0))
	d.Finalizers = []string{v1alpha1.FinalizerErase}
}

// makeJob is the Job of makeRun, made at noon.
func makeJob(mods ...func(*batchv1.Job)) *batchv1.Job {
	return makeJobOf(makeRun(), 1, mods...)
}

// makeJobOf is the Job of an attempt of a run, made at noon.
func makeJobOf(run *v1alpha1.TrainingRun, attempt int32, mods ...func(*batchv1.Job)) *batchv1.Job {
	job := resources.Job(run, resources.Attempt{
		Number: attempt, Dataset: v1alpha1.BoundDataset{UID: datasetUID, ManifestDigest: digest},
	}, testOptions.resources(observed{Identity: testStore}))
	job.UID = uidOfJob(attempt)
	job.CreationTimestamp = at(0)
	for _, mod := range mods {
		mod(job)
	}
	return job
}

// after makes a run that has these attempts behind it.
func after(attempts ...v1alpha1.Attempt) func(*v1alpha1.TrainingRun) {
	return func(r *v1alpha1.TrainingRun) {
		for _, a := range attempts {
			a.Number = r.Status.Attempt + 1
			a.JobUID = uidOfJob(a.Number)
			r.Status.Attempt = a.Number
			r.Status.Attempts = append(r.Status.Attempts, a)
			if a.Result == v1alpha1.AttemptFailed {
				r.Status.ChargedAttempts++
			}
		}
	}
}

// Attempts that ended at noon. The last one goes on.
var (
	failedAttempt    = v1alpha1.Attempt{Result: v1alpha1.AttemptFailed, Reason: v1alpha1.ReasonNonZeroExit, EndTime: ptr.To(at(0))}
	disruptedAttempt = v1alpha1.Attempt{Result: v1alpha1.AttemptDisrupted, Reason: v1alpha1.ReasonDisrupted, EndTime: ptr.To(at(0))}
	suspendedAttempt = v1alpha1.Attempt{Result: v1alpha1.AttemptSuspended, Reason: v1alpha1.ReasonSuspended, EndTime: ptr.To(at(0))}
	openAttempt      = v1alpha1.Attempt{}
)

// stoppedFor is an attempt that is being stopped.
func stoppedFor(reason string) v1alpha1.Attempt { return v1alpha1.Attempt{Reason: reason} }

// unplaced is a Pod that no node has room for.
func unplaced(p *corev1.Pod) {
	p.Spec.NodeName = ""
	podCondition(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable)(p)
}

func foreign(j *batchv1.Job) { j.OwnerReferences = nil }

func jobCondition(kind batchv1.JobConditionType) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{
			Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: at(10 * time.Minute),
		})
		if kind == batchv1.JobComplete {
			j.Status.CompletionTime = ptr.To(at(10 * time.Minute))
		}
	}
}

// makePod is the Pod of makeJob, on a node.
func makePod(mods ...func(*corev1.Pod)) corev1.Pod { return makePodOf(makeJob(), mods...) }

// makePodOf is a Pod of a Job, as the Job controller makes it.
func makePodOf(job *batchv1.Job, mods ...func(*corev1.Pod)) corev1.Pod {
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: job.Name + "-abcde", Namespace: job.Namespace, UID: "pod-1", CreationTimestamp: at(time.Second),
			Labels:          job.Spec.Template.Labels,
			Finalizers:      job.Spec.Template.Finalizers,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Spec: job.Spec.Template.Spec,
	}
	pod.Spec.NodeName = "node-1"
	for _, mod := range mods {
		mod(&pod)
	}
	return pod
}

func named(name string, created time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Name, p.UID, p.CreationTimestamp = name, types.UID(name), at(created)
	}
}

func noController(p *corev1.Pod) { p.OwnerReferences = nil }

func podDeleting(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(at(0)) }

func podPhase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

func podCondition(kind corev1.PodConditionType, status corev1.ConditionStatus, reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, Reason: reason})
	}
}

func withContainer(name string, state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		list := &p.Status.ContainerStatuses
		if name == staging.ContainerStageIn {
			list = &p.Status.InitContainerStatuses
		}
		*list = append(*list, corev1.ContainerStatus{Name: name, State: state})
	}
}

func waitsFor(name, reason string) func(*corev1.Pod) {
	return withContainer(name, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}})
}

// runs makes a container that started a minute after noon.
func runs(name string) func(*corev1.Pod) {
	return withContainer(name, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(time.Minute)}})
}

// ends makes a container that ran from a minute after noon until eleven.
func ends(name string, code int32, reason, message string) func(*corev1.Pod) {
	return withContainer(name, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message,
		StartedAt: at(time.Minute), FinishedAt: at(11 * time.Minute),
	}})
}

func reported(r staging.Report) string {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(data)
}

var publishedReport = reported(staging.Report{
	Step: staging.StepStageOut, Published: true, ManifestDigest: digest, Objects: 3, Bytes: 4096,
})

// staged, trained and published are the steps of a Pod that ends well.
func staged(p *corev1.Pod)    { ends(staging.ContainerStageIn, 0, "Completed", "")(p) }
func trained(p *corev1.Pod)   { ends(staging.ContainerTrainer, 0, "Completed", "")(p) }
func published(p *corev1.Pod) { ends(staging.ContainerStageOut, 0, "Completed", publishedReport)(p) }

// succeededPod is a Pod that has ended well.
func succeededPod(p *corev1.Pod) {
	staged(p)
	trained(p)
	published(p)
	p.Status.Phase = corev1.PodSucceeded
}

func erasesArtifacts(r *v1alpha1.TrainingRun) {
	r.Spec.Artifacts.ReclaimPolicy = v1alpha1.ReclaimDelete
}

// counted makes a run whose artifacts were counted before their erase.
func counted(r *v1alpha1.TrainingRun) {
	r.Status.ArtifactsErasure = &v1alpha1.ErasureStatus{
		StartTime: at(0), InventoryTime: ptr.To(at(0)), Versions: 4, Bytes: 40, Uploads: 1,
	}
}

// accountOf is what the ledger has of makeRun.
func accountOf(events ...string) ledger.Account {
	account := ledger.Account{
		Record: &objectkey.LedgerRecord{
			Kind: objectkey.LedgerKind, Resource: objectkey.ResourceRun, Namespace: "team-a", UID: runUID,
			Store: testStore, Bucket: "artifacts", Prefix: "team-a/" + runUID + "/", CreatedTime: noon,
		},
		Events: map[string][]objectkey.LedgerEvent{},
	}
	for _, event := range events {
		account.Events[event] = []objectkey.LedgerEvent{{Kind: objectkey.LedgerKind, Event: event, Time: noon}}
	}
	return account
}

// namespaceGoing is the fact that the run's namespace is being deleted.
type namespaceGoing struct{}

// stray is a Pod that the run's Job does not control.
type stray struct{ corev1.Pod }

// previous is the Job of the attempt before.
type previous struct{ *batchv1.Job }

// see is an observation at noon plus the given time, with a store that answers.
func see(after time.Duration, run *v1alpha1.TrainingRun, facts ...any) observed {
	o := observed{Run: run, Now: noon.Add(after), Identity: testStore, ServiceAsked: true}
	for _, fact := range facts {
		switch f := fact.(type) {
		case *v1alpha1.DatasetRetention:
			o.Dataset = f
		case *batchv1.Job:
			o.Job = f
		case *corev1.Service:
			o.Service = f
		case *v1alpha1.TrainingRun:
			o.From = f
		case tenant:
			o.Tenant = &f
		case queueState:
			o.Queue = f
		case stray:
			o.Strays = append(o.Strays, f.Pod)
		case previous:
			o.Previous = f.Job
		case corev1.Pod:
			o.Pods = append(o.Pods, f)
		case string:
			o.Refusal = f
		case ledger.Account:
			o.Account = &f
		case erasure.Inventory:
			o.Inventory = &f
		case namespaceGoing:
			o.NamespaceGoing = true
		case error:
			o.StoreErr = f
		default:
			panic("not a fact")
		}
	}
	return o
}

// seeUnasked is an observation before the store was asked.
func seeUnasked(run *v1alpha1.TrainingRun, facts ...any) observed {
	o := see(0, run, facts...)
	o.Identity = ""
	return o
}

func seeStray(run *v1alpha1.TrainingRun, pod corev1.Pod) observed {
	return observed{Run: run, Strays: []corev1.Pod{pod}, Now: noon}
}
