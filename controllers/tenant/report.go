package tenant

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// actionSetUp is what the operator is about in its events.
const actionSetUp = "SetUp"

// normalReasons come along on the way of every good tenant.
var normalReasons = map[string]bool{
	v1alpha1.ReasonTenantReady:      true,
	v1alpha1.ReasonQuotaPending:     true,
	v1alpha1.ReasonAllowanceMissing: true,
	v1alpha1.ReasonPaymentRequired:  true,
}

// tell writes the condition if it says something new, and sends an event then.
func (r *Reconciler) tell(ctx context.Context, o observed, p plan) error {
	if p.Verdict.Reason == "" {
		return nil
	}
	r.metrics.see(o.Namespace.Name, p.Verdict.Reason)
	next, news := conditionOf(o, p.Verdict)
	if !news {
		return nil
	}
	// A strategic merge patch finds the condition by its type, and leaves the others alone.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": o.Namespace.UID},
		"status":   map[string]any{"conditions": []corev1.NamespaceCondition{next}},
	})
	if err != nil {
		return fmt.Errorf("encode the condition of namespace %s: %w", o.Namespace.Name, err)
	}
	to := o.Namespace.DeepCopy()
	if err := r.client.Status().Patch(ctx, to, client.RawPatch(types.StrategicMergePatchType, patch), fieldOwner); err != nil {
		return fmt.Errorf("patch the status of namespace %s: %w", o.Namespace.Name, err)
	}
	r.metrics.wrote(o.Namespace, actionStatus)
	kind := corev1.EventTypeWarning
	if normalReasons[next.Reason] {
		kind = corev1.EventTypeNormal
	}
	r.recorder.Eventf(o.Namespace, nil, kind, next.Reason, actionSetUp, "%s", next.Message)
	return nil
}

// conditionOf turns a verdict into the Namespace's condition. It reports false when that
// says the same already.
func conditionOf(o observed, v verdict) (next corev1.NamespaceCondition, news bool) {
	next = corev1.NamespaceCondition{
		Type: v1alpha1.ConditionTenantReady, Status: corev1.ConditionFalse, Reason: v.Reason, Message: v.Message,
		LastTransitionTime: metav1.NewTime(o.Now).Rfc3339Copy(),
	}
	if v.Ready {
		next.Status = corev1.ConditionTrue
	}
	for _, is := range o.Namespace.Status.Conditions {
		if is.Type != next.Type {
			continue
		}
		if is.Status == next.Status {
			next.LastTransitionTime = is.LastTransitionTime
		}
		return next, is.Status != next.Status || is.Reason != next.Reason || is.Message != next.Message
	}
	return next, true
}
