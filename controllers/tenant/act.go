package tenant

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// act carries the plan out: the Namespace first, because its labels bound Pods, then what
// is not meant to be there, then what is. It stops at the first error; each step may be
// done again.
func (r *Reconciler) act(ctx context.Context, o observed, p plan) error {
	if len(p.Labels)+len(p.Annotations) > 0 {
		if err := r.patchNamespace(ctx, o, p); err != nil {
			return err
		}
	}
	for _, object := range p.Remove {
		if err := r.remove(ctx, object); err != nil {
			return err
		}
		r.metrics.wrote(object, actionRemove)
	}
	for _, object := range p.Apply {
		if err := r.enforce(ctx, object); err != nil {
			return err
		}
		r.metrics.wrote(object, actionApply)
	}
	return nil
}

// patchNamespace changes labels and annotations. The UID keeps the hands off a Namespace
// that took the place of the one that was looked at.
func (r *Reconciler) patchNamespace(ctx context.Context, o observed, p plan) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": o.Namespace.UID, "labels": p.Labels, "annotations": p.Annotations,
	}})
	if err != nil {
		return fmt.Errorf("encode a patch of namespace %s: %w", o.Namespace.Name, err)
	}
	to := o.Namespace.DeepCopy()
	if err := r.client.Patch(ctx, to, client.RawPatch(types.MergePatchType, patch), fieldOwner); err != nil {
		return fmt.Errorf("patch namespace %s: %w", o.Namespace.Name, err)
	}
	r.metrics.wrote(o.Namespace, actionPatch)
	return nil
}

func (r *Reconciler) remove(ctx context.Context, object client.Object) error {
	err := r.client.Delete(ctx, object, client.Preconditions{UID: ptr.To(object.GetUID())})
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("remove %s of namespace %s: %w", identity(object), object.GetNamespace(), err)
	}
	return nil
}

// enforce applies an object. What somebody made before in its place, and can't be changed
// into it (a quota's scopes, a binding's role), is replaced.
func (r *Reconciler) enforce(ctx context.Context, want client.Object) error {
	got, err := r.apply(ctx, want)
	if err == nil && asWanted(want, got) {
		return nil
	}
	if err != nil && !apierrors.IsInvalid(err) {
		return err
	}
	// What is there is better than nothing: it goes only for what can take its place.
	probe, is := want.DeepCopyObject().(client.Object)
	if !is {
		return fmt.Errorf("copy %s", identity(want))
	}
	probe.SetName(want.GetName() + "-probe")
	if err := r.client.Create(ctx, probe, client.DryRunAll); err != nil {
		return fmt.Errorf("make %s anew for namespace %s: %w", identity(want), want.GetNamespace(), err)
	}
	probe.SetName(want.GetName())
	if err := r.client.Delete(ctx, probe); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("replace %s of namespace %s: %w", identity(want), want.GetNamespace(), err)
	}
	_, err = r.apply(ctx, want)
	return err
}

// apply gives the object as it is then.
func (r *Reconciler) apply(ctx context.Context, want client.Object) (client.Object, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return nil, fmt.Errorf("convert %s: %w", identity(want), err)
	}
	delete(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	u := &unstructured.Unstructured{Object: content}
	kind, err := apiutil.GVKForObject(want, r.client.Scheme())
	if err != nil {
		return nil, fmt.Errorf("find the kind of %s: %w", identity(want), err)
	}
	u.SetGroupVersionKind(kind)
	err = r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), fieldOwner, client.ForceOwnership)
	if err != nil {
		return nil, fmt.Errorf("apply %s of namespace %s: %w", identity(want), want.GetNamespace(), err)
	}
	made, err := r.client.Scheme().New(kind)
	if err != nil {
		return nil, fmt.Errorf("make a %s: %w", kind.Kind, err)
	}
	got, is := made.(client.Object)
	if !is {
		return nil, fmt.Errorf("a %s is no object", kind.Kind)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, got); err != nil {
		return nil, fmt.Errorf("read %s as it was applied: %w", identity(want), err)
	}
	return got, nil
}
