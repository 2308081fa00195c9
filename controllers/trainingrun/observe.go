package trainingrun

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// podGrace is how long a Job may be without a Pod before the operator asks for
// the reason. The Job controller needs far less when nothing is wrong.
const podGrace = 10 * time.Second

// observed is everything that a decision needs, read once.
type observed struct {
	// Run as it was read. nil: it does not exist, and of the rest only Orphans is set.
	Run *v1alpha1.TrainingRun
	// Dataset that the run refers to. nil: not found, or not looked at because
	// the attempt has its Job, and the status the dataset that it was made with.
	Dataset *v1alpha1.DatasetRetention
	// From is the run whose checkpoint the first attempt begins with. nil: not found, or
	// not looked at because it does not matter.
	From *v1alpha1.TrainingRun
	// Job of the attempt's name, whoever owns it. nil: not found.
	Job *batchv1.Job
	// Previous is the run's own Job of the attempt before. nil: it is gone, or was not
	// looked at because the attempt has its Job.
	Previous *batchv1.Job
	// Pods of the run's own Job, oldest first.
	Pods []corev1.Pod
	// Strays are the other Pods of the run: of older attempts, or cut off from their Job.
	Strays []corev1.Pod
	// Orphans are Pods of a run of the same name that is gone, which our finalizer holds.
	Orphans []corev1.Pod
	// Queue is what the queue says of the Job, if it waits in one.
	Queue queueState
	// Tenant whose Namespace the run is in. nil: it is no tenant's.
	Tenant *tenant
	// Service of the run's name, whoever owns it. nil: not found, or not asked for.
	Service      *corev1.Service
	ServiceAsked bool
	// Pruned is what this process remembers of the run's old checkpoints. nil: nothing.
	Pruned *prunedUpTo
	// Refusal is the API server's last answer to the Job controller's attempts to
	// make a Pod. "": it refused nothing, or it was not asked because none is missing.
	Refusal string
	// Identity of the store that artifacts would go to. "": not asked for.
	Identity string
	// Account is what the ledger knows of the run. nil: not asked for.
	Account *ledger.Account
	// NamespaceGoing says that the run's namespace is being deleted, or is gone. It is
	// known together with the account.
	NamespaceGoing bool
	// Inventory is what an erase of the artifacts would remove. nil: not asked for.
	Inventory *erasure.Inventory
	// StoreErr is why the store did not give what was asked for; errBusy: it was not
	// asked, because too many others are at it.
	StoreErr error
	// Now is the time of the observation.
	Now time.Time
}

// observe reads through the given reader: the cache, or the API server itself
// before a decision that can not be taken back.
func (r *Reconciler) observe(ctx context.Context, from source, key client.ObjectKey) (observed, error) {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	o := observed{Now: r.clock.Now()}
	run, err := get(ctx, from, key, &v1alpha1.TrainingRun{})
	if err != nil {
		return o, err
	}
	if run == nil {
		return o, o.readPods(ctx, from, key)
	}
	o.Run = run
	o.Pruned = r.pruned.of(key, run.UID)
	if o.settled() {
		return o, o.readPods(ctx, from, key)
	}
	if err := r.readTenant(ctx, from, &o); err != nil {
		return o, err
	}
	if err := o.readJobs(ctx, from); err != nil {
		return o, err
	}
	if err := o.readPods(ctx, from, key); err != nil {
		return o, err
	}
	if job := o.ownJob(); job != nil && suspendedJob(job) && run.Spec.QueueName != "" && !jobEnded(job) {
		if o.Queue, err = r.queueReason(ctx, job); err != nil {
			return o, err
		}
	}
	o.Refusal, err = r.refusal(ctx, o)
	return o, err
}

// readJobs reads the attempt's Job and, while there is none, what the next attempt
// depends on. The dataset is also what a Job's word is held against until it is in the
// status.
func (o *observed) readJobs(ctx context.Context, from source) (err error) {
	run, n := o.Run, o.number()
	at := func(name string) client.ObjectKey { return client.ObjectKey{Namespace: run.Namespace, Name: name} }
	if o.Job, err = get(ctx, from, at(resources.JobName(run, n)), &batchv1.Job{}); err != nil {
		return err
	}
	if o.ownJob() != nil && run.Status.Dataset != nil {
		return nil
	}
	if o.Dataset, err = get(ctx, from, at(run.Spec.DatasetRef.Name), &v1alpha1.DatasetRetention{}); err != nil || o.ownJob() != nil {
		return err
	}
	if n > 1 {
		previous, err := get(ctx, from, at(resources.JobName(run, n-1)), &batchv1.Job{})
		if err != nil {
			return err
		}
		if previous != nil && owns(run, previous) {
			o.Previous = previous
		}
	}
	if c := run.Spec.Checkpoint; n == 1 && c.Resume == v1alpha1.ResumeFrom && c.From != nil {
		o.From, err = get(ctx, from, at(c.From.RunName), &v1alpha1.TrainingRun{})
	}
	return err
}

// owns says that the run made the object: it can not be told from a name, or a label.
func owns(run *v1alpha1.TrainingRun, child client.Object) bool {
	return metav1.IsControlledBy(child, run)
}

// settled says that the run has ended and is not being deleted: nothing is left
// to find out about it, but whether a Pod still waits to be let go.
func (o observed) settled() bool {
	return o.Run.Status.State.Finished() && o.Run.DeletionTimestamp.IsZero()
}

// ownJob is the Job when it is the run's own. A tenant can make a Job of any
// name, so the name alone proves nothing.
func (o observed) ownJob() *batchv1.Job {
	if o.Job == nil || !owns(o.Run, o.Job) {
		return nil
	}
	return o.Job
}

// readPods sorts the Pods that carry the run's label by whom they belong to. The
// label only finds them; the UIDs say whose they are. A tenant can make any number of
// Pods with that label, so those of nobody are let go page by page.
func (o *observed) readPods(ctx context.Context, from source, run client.ObjectKey) error {
	err := eachPage(ctx, from, podList, func(list *corev1.PodList) {
		for i := range list.Items {
			o.sort(&list.Items[i])
		}
	}, client.InNamespace(run.Namespace), from.podsOf(run.Name))
	if err != nil {
		return fmt.Errorf("list pods of training run %s: %w", run, err)
	}
	for _, pods := range [][]corev1.Pod{o.Pods, o.Strays} {
		slices.SortFunc(pods, func(a, b corev1.Pod) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
	}
	return nil
}

func (o *observed) sort(pod *corev1.Pod) {
	switch {
	case o.Run != nil && o.ownJob() != nil && metav1.IsControlledBy(pod, o.Job):
		o.Pods = append(o.Pods, slim(pod))
	case o.Run != nil && pod.Labels[v1alpha1.LabelRunUID] == string(o.Run.UID):
		o.Strays = append(o.Strays, slim(pod))
	case accountable(pod) && len(o.Orphans) < settleAtOnce:
		o.Orphans = append(o.Orphans, slim(pod))
	}
}

// refusal asks why a Job has no Pod. The Job controller tells it in an event only
// (reason FailedCreate), and events are read, not watched: there are too many of
// them in a cluster to keep them for this one question.
func (r *Reconciler) refusal(ctx context.Context, o observed) (string, error) {
	job := o.ownJob()
	if job == nil || jobEnded(job) || suspendedJob(job) || !missing(o) || o.Now.Sub(job.CreationTimestamp.Time) < podGrace {
		return "", nil
	}
	return r.refusals.of(ctx, r.straight(), job, o.Now)
}

func lastSeen(event *corev1.Event) time.Time {
	latest := event.LastTimestamp.Time
	if event.Series != nil && event.Series.LastObservedTime.After(latest) {
		latest = event.Series.LastObservedTime.Time
	}
	if event.EventTime.After(latest) {
		latest = event.EventTime.Time
	}
	return latest
}

// get reads an object into a new value. Not found is nil, because it is a fact
// that decisions are made on, not an error.
func get[T client.Object](ctx context.Context, from client.Reader, key client.ObjectKey, into T) (found T, err error) {
	var none T
	err = from.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("read %T %s: %w", into, key, err)
	}
	return into, nil
}
