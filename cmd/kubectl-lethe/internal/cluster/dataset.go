package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// ErrSealed says that the dataset is sealed, so nothing can be uploaded to it.
var ErrSealed = errors.New("is sealed and takes no more files; upload under another name")

// ErrErasing says that the dataset is being erased.
var ErrErasing = errors.New("is being erased; wait until it is gone, or upload under another name")

// ErrEncryption says that the dataset is encrypted in another way than asked for.
var ErrEncryption = errors.New("which is chosen once; leave out --encryption, or upload under another name")

// Settings are what the person asks for; nil or empty keeps what the dataset has, and
// for a new dataset the cluster's default.
type Settings struct {
	AfterTraining *time.Duration
	MaxAge        *time.Duration
	Encryption    v1alpha1.Encryption
}

// OpenDataset creates the dataset, or takes it as it is when it exists and is
// still open. Asking for the same again changes nothing. Errors wrap ErrSealed,
// ErrErasing and ErrEncryption.
func OpenDataset(ctx context.Context, c client.Client, key client.ObjectKey, want Settings) (*v1alpha1.DatasetRetention, error) {
	current := &unstructured.Unstructured{}
	current.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("DatasetRetention"))
	err := describe("dataset", key, c.Get(ctx, key, current))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	exists := err == nil
	var ds v1alpha1.DatasetRetention
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(current.Object, &ds); err != nil {
		return nil, fmt.Errorf("decode dataset %s: %w", key.Name, err)
	}
	if err := Uploadable(&ds); err != nil {
		return nil, err
	}
	// As it is written down: "24h" and "24h0m0s" are not the same to an apply.
	have, _, err := unstructured.NestedStringMap(current.Object, "spec", "retention")
	if err != nil {
		return nil, fmt.Errorf("decode dataset %s: %w", key.Name, err)
	}
	if has := Encryption(&ds); exists && want.Encryption != "" && has != want.Encryption {
		return nil, fmt.Errorf("dataset %s has encryption %s, %w", key.Name, has, ErrEncryption)
	}
	spec := map[string]any{"retention": retentionFields(have, want)}
	if encryption := cmp.Or(ds.Spec.Encryption, want.Encryption); encryption != "" {
		spec["encryption"] = string(encryption)
	}
	return apply(ctx, c, key, spec)
}

// Encryption is what the dataset has; nothing stands for the default.
func Encryption(ds *v1alpha1.DatasetRetention) v1alpha1.Encryption {
	return cmp.Or(ds.Spec.Encryption, v1alpha1.EncryptionPerDatasetKey)
}

// Placed says whether the operator has given the dataset its place in the store, and
// its key if it has one of its own.
func Placed(ds *v1alpha1.DatasetRetention) bool {
	return ds.Status.Location != nil && (ds.Status.KeyID != "" || Encryption(ds) == v1alpha1.EncryptionBucket)
}

// Uploadable says why a dataset can not be uploaded to.
func Uploadable(ds *v1alpha1.DatasetRetention) error {
	if ds.DeletionTimestamp != nil {
		return fmt.Errorf("dataset %s %w", ds.Name, ErrErasing)
	}
	if ds.Spec.Sealed {
		return fmt.Errorf("dataset %s %w", ds.Name, ErrSealed)
	}
	return nil
}

// retentionFields are the fields to apply. What exists is repeated: an apply
// that leaves out a field which it owned before would take the field away.
func retentionFields(have map[string]string, want Settings) map[string]any {
	fields := map[string]any{}
	for name, wanted := range map[string]*time.Duration{"afterTraining": want.AfterTraining, "maxAge": want.MaxAge} {
		current, exists := have[name]
		switch {
		case wanted != nil && !sameDuration(current, *wanted):
			fields[name] = shortDuration(*wanted)
		case exists:
			fields[name] = current
		}
	}
	return fields
}

func sameDuration(written string, d time.Duration) bool {
	parsed, err := time.ParseDuration(written)
	return err == nil && parsed == d
}

// shortDuration writes whole seconds in the form that the API accepts: "24h",
// "1h30m", "0s".
func shortDuration(d time.Duration) string {
	s := d.Truncate(time.Second).String()
	if short, cut := strings.CutSuffix(s, "m0s"); cut {
		s = short + "m"
	}
	if short, cut := strings.CutSuffix(s, "h0m"); cut {
		s = short + "h"
	}
	return s
}

func apply(ctx context.Context, c client.Client, key client.ObjectKey, spec map[string]any) (*v1alpha1.DatasetRetention, error) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(),
		"kind":       "DatasetRetention",
		"metadata":   map[string]any{"namespace": key.Namespace, "name": key.Name},
		"spec":       spec,
	}}
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner))
	if apierrors.IsConflict(err) {
		return nil, fmt.Errorf("dataset %s: its retention is managed by somebody else; "+
			"leave out --after-training and --max-age, or use another name: %w", key.Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("create dataset %s: %w", key.Name, translate(err))
	}
	return GetDataset(ctx, c, key)
}

// Seal marks the upload complete. It is idempotent, and it fails if a dataset of
// another UID has taken the name.
func Seal(ctx context.Context, c client.Client, key client.ObjectKey, uid types.UID) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": uid},
		"spec":     map[string]any{"sealed": true},
	})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	var ds v1alpha1.DatasetRetention
	ds.Namespace, ds.Name = key.Namespace, key.Name
	if err := c.Patch(ctx, &ds, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldOwner)); err != nil {
		return fmt.Errorf("seal dataset %s: %w", key.Name, translate(err))
	}
	return nil
}
