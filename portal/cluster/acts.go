package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// EnsureTenant makes a tenant's Namespace. Of one that is there it mends the label only:
// staff change billing, allowance and tier, and what they set has to stay. It may be
// repeated at any time.
func (c *Client) EnsureTenant(ctx context.Context, o portal.TenantOrder) error {
	const act = "make a tenant's Namespace"
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var found corev1.Namespace
	err := c.live.Get(ctx, client.ObjectKey{Name: o.Namespace}, &found)
	if apierrors.IsNotFound(err) {
		err = c.live.Create(ctx, tenantObject(o), client.FieldOwner(FieldOwner))
		if apierrors.IsAlreadyExists(err) { // another replica was faster
			err = c.live.Get(ctx, client.ObjectKey{Name: o.Namespace}, &found)
		} else {
			return problem(act, err)
		}
	}
	if err != nil || found.Labels[v1alpha1.LabelTenant] == o.Label {
		return problem(act, err)
	}
	// Not applied: that would take back what an earlier apply had set, annotations included.
	label := map[string]any{"metadata": map[string]any{"labels": map[string]string{v1alpha1.LabelTenant: o.Label}}}
	return c.merge(ctx, "mend a tenant's label", &found, label)
}

// CreateDataset makes a dataset's object and gives its UID. One that is there already is
// it. KindUnavailable while the namespace is not there.
func (c *Client) CreateDataset(ctx context.Context, o portal.DatasetOrder) (string, error) {
	return c.create(ctx, "create dataset", datasetObject(o))
}

// SealDataset says that a dataset is complete. It may be repeated. ErrNotFound when there
// is none.
func (c *Client) SealDataset(ctx context.Context, namespace, object string) error {
	return c.patch(ctx, "seal dataset", dataset(namespace, object), spec{"sealed": true}, "")
}

// SetRetention makes both of a dataset's windows at most these: one that is shorter already
// stays so, also when another shortens it at the same time. It may be repeated.
func (c *Client) SetRetention(ctx context.Context, namespace, object string, afterTraining, maxAge time.Duration) error {
	const act, tries = "set the retention of a dataset", 5
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var err error
	for range tries {
		found := dataset(namespace, object)
		if err = c.live.Get(ctx, client.ObjectKeyFromObject(found), found); err != nil {
			return problem(act, err)
		}
		windows := shorter(found.Spec.Retention, afterTraining, maxAge)
		if len(windows) == 0 {
			return nil
		}
		err = c.merge(ctx, act, found, map[string]any{
			"metadata": map[string]any{"resourceVersion": found.ResourceVersion},
			"spec":     spec{"retention": windows},
		})
		if portal.KindOf(err) != portal.KindConflict {
			break
		}
	}
	return err
}

// shorter are those of the windows that are shorter than the policy's.
func shorter(has v1alpha1.RetentionPolicy, afterTraining, maxAge time.Duration) map[string]any {
	windows := map[string]any{}
	if afterTraining < has.Window() {
		windows["afterTraining"] = whole(afterTraining)
	}
	if maxAge != 0 && maxAge < has.Limit() {
		windows["maxAge"] = whole(maxAge)
	}
	return windows
}

// DeleteDataset begins the erase of a dataset. One that is gone, or whose name has another
// object now, is no error.
func (c *Client) DeleteDataset(ctx context.Context, namespace, object, uid string) error {
	return c.delete(ctx, "delete dataset", dataset(namespace, object), uid)
}

// CreateRun starts a run and gives its UID. One that is there already is it. What
// validation or admission refuses is KindInvalid, with the form's field.
func (c *Client) CreateRun(ctx context.Context, o portal.RunOrder) (string, error) {
	run, err := runObject(o)
	if err != nil {
		return "", err
	}
	return c.create(ctx, "create run", run)
}

// CheckRun has the API server look at a run as CreateRun would, without making it.
func (c *Client) CheckRun(ctx context.Context, o portal.RunOrder) error {
	run, err := runObject(o)
	if err != nil {
		return err
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	err = c.live.Create(ctx, run, client.DryRunAll, client.FieldOwner(FieldOwner))
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return problem("check run", err)
}

// SuspendRun stops a run at a checkpoint, or lets it go on. It may be repeated.
func (c *Client) SuspendRun(ctx context.Context, namespace, object string, suspend bool) error {
	return c.patch(ctx, "suspend run", run(namespace, object), spec{"suspend": suspend}, "")
}

// CancelRun ends a run at a checkpoint, for good. It may be repeated. ErrNotFound when
// there is none, KindConflict when the name has another object now.
func (c *Client) CancelRun(ctx context.Context, namespace, object, uid string) error {
	return c.patch(ctx, "cancel run", run(namespace, object), spec{"cancel": true}, uid)
}

// DeleteRun deletes a run, and with it its artifacts. One that is gone, or whose name has
// another object now, is no error.
func (c *Client) DeleteRun(ctx context.Context, namespace, object, uid string) error {
	return c.delete(ctx, "delete run", run(namespace, object), uid)
}

func dataset(namespace, object string) *v1alpha1.DatasetRetention {
	return &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: object}}
}

func run(namespace, object string) *v1alpha1.TrainingRun {
	return &v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: object}}
}

// create makes an object and gives its UID, also when it is there already: names are
// random, so an earlier try made it.
func (c *Client) create(ctx context.Context, act string, object client.Object) (string, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	err := c.live.Create(ctx, object, client.FieldOwner(FieldOwner))
	if apierrors.IsAlreadyExists(err) {
		err = c.live.Get(ctx, client.ObjectKeyFromObject(object), object)
	}
	if err != nil {
		return "", problem(act, err)
	}
	return string(object.GetUID()), nil
}

// spec is a merge patch's part.
type spec map[string]any

// patch changes fields of an object's spec. With a UID it changes no other object.
func (c *Client) patch(ctx context.Context, act string, object client.Object, fields spec, uid string) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	body := map[string]any{"spec": fields}
	if uid != "" {
		body["metadata"] = map[string]any{"uid": uid}
	}
	return c.merge(ctx, act, object, body)
}

// merge sends a merge patch.
func (c *Client) merge(ctx context.Context, act string, object client.Object, body map[string]any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", act, err)
	}
	return problem(act, c.live.Patch(ctx, object, client.RawPatch(types.MergePatchType, data), client.FieldOwner(FieldOwner)))
}

// delete deletes an object, unless it is another one than that of the UID ("" for any).
func (c *Client) delete(ctx context.Context, act string, object client.Object, uid string) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var options []client.DeleteOption
	if uid != "" {
		options = append(options, client.Preconditions{UID: (*types.UID)(&uid)})
	}
	err := problem(act, c.live.Delete(ctx, object, options...))
	var told *portal.Error
	if errors.As(err, &told) && (told.Kind == portal.KindNotFound || told.Kind == portal.KindConflict && uid != "") {
		return nil
	}
	return err
}
