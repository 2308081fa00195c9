package trainingrun

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// queueInterval is how often it is asked why a queue has not admitted a run. That it was
// admitted is not found out in this way: Kueue then changes the Job, which is watched.
// The Workload is not, because it is of a kind that need not exist: a watch on it would
// keep the operator from starting in a cluster without Kueue.
const queueInterval = 30 * time.Second

// Kueue's API, as far as it is read. Its own packages are not used: they would bring the
// whole of Kueue along for five fields, which are the same in both versions.
const (
	kueueGroup      = "kueue.x-k8s.io"
	visibilityGroup = "visibility.kueue.x-k8s.io"
	// labelJobUID is on a Workload and holds the UID of the Job that it stands for.
	labelJobUID = "kueue.x-k8s.io/job-uid"

	workloadQuotaReserved = "QuotaReserved"
	workloadAdmitted      = "Admitted"
	workloadEvicted       = "Evicted"
)

// kueueVersions are the versions of Kueue's APIs, the newest first.
var kueueVersions = []string{"v1beta2", "v1beta1"}

// reasonNoKueue is why a run with a queue does not start where there is no Kueue. All
// other reasons of a queue are Kueue's.
const reasonNoKueue = "KueueNotInstalled"

// maxQueueReason is the longest reason that a status takes, and conditionReason what a
// condition takes for one.
const maxQueueReason = 128

var conditionReason = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// maxWorkloads is how many Workloads are looked at for one Job. There is one, unless
// somebody plays with labels.
const maxWorkloads = 10

// queueState is what a queue says of a run's Job.
type queueState struct {
	// Admitted says that the Job may start.
	Admitted bool
	// Reason and Message say why, in Kueue's words. They are fit for a condition.
	Reason, Message string
	// Position in the LocalQueue, from 0. nil: it is not known, because Kueue's API for it
	// is not there, or the Job is not in the queue at the moment.
	Position *int32
}

// told is the message with the place in the queue, if that is known. People count from 1.
func (s queueState) told() string {
	if s.Position == nil {
		return s.Message
	}
	return clip(fmt.Sprintf("number %d in its queue; %s", *s.Position+1, s.Message))
}

// +kubebuilder:rbac:groups=kueue.x-k8s.io,resources=workloads,verbs=list
// +kubebuilder:rbac:groups=visibility.kueue.x-k8s.io,resources=localqueues/pendingworkloads,verbs=get

// queueReason asks Kueue, live, what it says of a Job. Ask for suspended Jobs with a
// queue only: of one that is not suspended it says Admitted without asking. An error is
// one of the API server's; that there is no Kueue, or that it has not seen the Job yet,
// is an answer.
func (r *Reconciler) queueReason(ctx context.Context, job *batchv1.Job) (queueState, error) {
	if !ptr.Deref(job.Spec.Suspend, false) {
		return admitted(), nil
	}
	queue := job.Labels[v1alpha1.LabelQueue]
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	w, installed, err := r.workloadOf(ctx, job)
	switch {
	case err != nil:
		return queueState{}, err
	case !installed:
		return queueState{Reason: reasonNoKueue, Message: fmt.Sprintf(
			"Kueue is not installed in this cluster, so nobody will admit the run to the queue %q; create the run without spec.queueName, or tell the administrator of the cluster", queue)}, nil
	case w == nil:
		return queueState{Reason: v1alpha1.ReasonQueued, Message: fmt.Sprintf(
			"Kueue has not taken up the run's Job for the queue %q yet; if that stays so, it is not set up for Jobs in this namespace", queue)}, nil
	}
	state := queueStateOf(w, queue)
	if !state.Admitted {
		state.Position = r.queuePosition(ctx, w, queue)
	}
	return state, nil
}

// workload is what is read of Kueue's Workload.
type workload struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Active *bool `json:"active"`
	} `json:"spec"`
	Status struct {
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

// workloadOf finds the Workload that stands for a Job; the newest if there are several.
// It reports false when the API server has no such kind.
func (r *Reconciler) workloadOf(ctx context.Context, job *batchv1.Job) (found *workload, installed bool, err error) {
	for _, version := range kueueVersions {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: kueueGroup, Version: version, Kind: "WorkloadList"})
		err := r.live.List(ctx, list, client.InNamespace(job.Namespace), client.MatchingLabels{labelJobUID: string(job.UID)}, client.Limit(maxWorkloads))
		if apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) { // never there, or not any more
			continue
		}
		if err != nil {
			return nil, false, fmt.Errorf("list workloads of job %s/%s: %w", job.Namespace, job.Name, err)
		}
		return newestWorkload(list.Items, job), true, nil
	}
	return nil, false, nil
}

// newestWorkload takes those only that the Job controls: anybody can write a label. One
// that can not be read is passed over.
func newestWorkload(items []unstructured.Unstructured, job *batchv1.Job) *workload {
	var newest *workload
	for i := range items {
		if !metav1.IsControlledBy(&items[i], job) {
			continue
		}
		w := &workload{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(items[i].Object, w); err != nil {
			continue
		}
		if newest == nil || newest.CreationTimestamp.Before(&w.CreationTimestamp) {
			newest = w
		}
	}
	return newest
}

// queueStateOf copies what Kueue says. Of a Workload that was evicted and waits again,
// the eviction is the reason until Kueue has another.
func queueStateOf(w *workload, queue string) queueState {
	if apimeta.IsStatusConditionTrue(w.Status.Conditions, workloadAdmitted) {
		return admitted()
	}
	if w.Spec.Active != nil && !*w.Spec.Active {
		return queueState{Reason: "Deactivated", Message: kueueSays(
			w.Status.Conditions, workloadEvicted, "the run's Workload is not active (spec.active), so its queue passes it over")}
	}
	reserved := apimeta.FindStatusCondition(w.Status.Conditions, workloadQuotaReserved)
	evicted := apimeta.FindStatusCondition(w.Status.Conditions, workloadEvicted)
	switch {
	case reserved != nil && reserved.Status == metav1.ConditionTrue:
		return queueState{Reason: v1alpha1.ReasonQueued, Message: kueueSays(
			w.Status.Conditions, workloadAdmitted, "the queue has reserved the quota and waits for its admission checks")}
	case evicted != nil && evicted.Status == metav1.ConditionTrue && (reserved == nil || !reserved.LastTransitionTime.After(evicted.LastTransitionTime.Time)):
		return inWords(*evicted)
	case reserved != nil:
		return inWords(*reserved)
	}
	return queueState{Reason: v1alpha1.ReasonQueued, Message: fmt.Sprintf("the run waits in the queue %q", queue)}
}

func admitted() queueState {
	return queueState{Admitted: true, Reason: v1alpha1.ReasonAdmitted, Message: "the queue has admitted the run"}
}

// kueueSays is the message of a condition that holds the Workload up, if it has one.
func kueueSays(conditions []metav1.Condition, kind, otherwise string) string {
	if c := apimeta.FindStatusCondition(conditions, kind); c != nil {
		return cmp.Or(plainLine(c.Message), otherwise)
	}
	return otherwise
}

// inWords copies a condition of Kueue's. Its reason must pass as one of ours.
func inWords(c metav1.Condition) queueState {
	reason := v1alpha1.ReasonQueued
	if len(c.Reason) <= maxQueueReason && conditionReason.MatchString(c.Reason) {
		reason = c.Reason
	}
	return queueState{Reason: reason, Message: cmp.Or(plainLine(c.Message), "Kueue does not say more")}
}

// pendingWorkloads is what is read of Kueue's PendingWorkloadsSummary. It lists the
// first thousand.
type pendingWorkloads struct {
	Items []struct {
		Metadata             metav1.ObjectMeta `json:"metadata"`
		PositionInLocalQueue int32             `json:"positionInLocalQueue"`
	} `json:"items"`
}

// queuePosition asks Kueue's visibility API. It is an API server of its own that often
// is not there, and what it says is only good to know, so an error is no more than that
// the position is not known.
func (r *Reconciler) queuePosition(ctx context.Context, w *workload, queue string) *int32 {
	for _, version := range kueueVersions {
		at := &unstructured.Unstructured{}
		at.SetGroupVersionKind(schema.GroupVersionKind{Group: visibilityGroup, Version: version, Kind: "LocalQueue"})
		at.SetNamespace(w.Namespace)
		at.SetName(queue)
		answer := &unstructured.Unstructured{}
		answer.SetGroupVersionKind(schema.GroupVersionKind{Group: visibilityGroup, Version: version, Kind: "PendingWorkloadsSummary"})
		err := r.client.SubResource("pendingworkloads").Get(ctx, at, answer)
		if apimeta.IsNoMatchError(err) {
			continue // there may be an older version
		}
		var pending pendingWorkloads
		if err == nil {
			err = runtime.DefaultUnstructuredConverter.FromUnstructured(answer.Object, &pending)
		}
		if err != nil {
			ctrl.LoggerFrom(ctx).V(1).Info("Could not ask for the place in a queue", "queue", queue, "error", err.Error())
			return nil
		}
		return placeOf(pending, w.Name)
	}
	return nil
}

func placeOf(pending pendingWorkloads, name string) *int32 {
	for _, item := range pending.Items {
		if item.Metadata.Name == name && item.PositionInLocalQueue >= 0 {
			return ptr.To(item.PositionInLocalQueue)
		}
	}
	return nil
}
