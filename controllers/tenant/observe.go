package tenant

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

// observed is everything that a decision needs, read once.
type observed struct {
	// Namespace of the tenant. nil: it is gone, or going, or no tenant.
	Namespace *corev1.Namespace
	// Ours are the objects in it that have our label.
	Ours []client.Object
	// Now is the time of the observation.
	Now time.Time
}

// observe reads from the cache. A mistake that comes from its being late is a write that
// changes nothing, or is made good with the next event; nothing here is beyond that.
func (r *Reconciler) observe(ctx context.Context, name string) (observed, error) {
	o := observed{Now: r.clock.Now()}
	namespace := &corev1.Namespace{}
	err := r.client.Get(ctx, client.ObjectKey{Name: name}, namespace)
	if apierrors.IsNotFound(err) {
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("read namespace %s: %w", name, err)
	}
	if !v1alpha1.IsTenant(namespace.Labels) || !namespace.DeletionTimestamp.IsZero() {
		return o, nil
	}
	for _, list := range []client.ObjectList{
		&corev1.ResourceQuotaList{}, &corev1.LimitRangeList{}, &corev1.ServiceAccountList{},
		&networkingv1.NetworkPolicyList{}, &rbacv1.RoleBindingList{},
	} {
		err := r.client.List(ctx, list, client.InNamespace(name), client.MatchingLabels{resources.LabelManagedBy: resources.ManagedBy})
		if err != nil {
			return o, fmt.Errorf("list %T of namespace %s: %w", list, name, err)
		}
		if err := eachObject(list, func(object client.Object) { o.Ours = append(o.Ours, object) }); err != nil {
			return o, err
		}
	}
	o.Namespace = namespace
	return o, nil
}

func eachObject(list client.ObjectList, visit func(client.Object)) error {
	err := apimeta.EachListItem(list, func(item runtime.Object) error {
		if object, ok := item.(client.Object); ok {
			visit(object)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("go through %T: %w", list, err)
	}
	return nil
}
