package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// EnsureTenant makes a tenant's Namespace, or sets what somebody changed about it right. It
// may be repeated at any time.
func (c *Client) EnsureTenant(ctx context.Context, o portal.TenantOrder) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	return problem("apply a tenant's Namespace", c.live.Apply(ctx, tenantObject(o), client.FieldOwner(FieldOwner), client.ForceOwnership))
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

// SetRetention changes for how long a dataset stays. It may be repeated.
func (c *Client) SetRetention(ctx context.Context, namespace, object string, afterTraining, maxAge time.Duration) error {
	windows := map[string]any{"afterTraining": whole(afterTraining)}
	if maxAge != 0 {
		windows["maxAge"] = whole(maxAge)
	}
	return c.patch(ctx, "set the retention of a dataset", dataset(namespace, object), spec{"retention": windows}, "")
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
