package cluster

import (
	"context"
	"errors"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// FieldOwner owns the fields that this program applies.
const FieldOwner = "kubectl-lethe"

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound: no such dataset or run.
	ErrNotFound = errors.New("does not exist")
	// ErrNotInstalled: the API server does not know Lethe's kinds.
	ErrNotInstalled = errors.New("this cluster does not know Lethe's kinds; ask its administrator to install Lethe")
)

// NewScheme registers the kinds that this program reads and writes.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, corev1.AddToScheme, authenticationv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register kinds: %w", err)
		}
	}
	return scheme, nil
}

// The kinds that this program reads or writes.
const (
	KindRun            = "TrainingRun"
	KindDataset        = "DatasetRetention"
	KindPod            = "Pod"
	KindEvent          = "Event"
	KindConfigMap      = "ConfigMap"
	KindServiceAccount = "ServiceAccount"
	KindNode           = "Node"
	KindNamespace      = "Namespace"
)

// kinds says where they live.
var kinds = map[string]struct {
	group schema.GroupVersion
	scope apimeta.RESTScope
}{
	KindRun:            {v1alpha1.GroupVersion, apimeta.RESTScopeNamespace},
	KindDataset:        {v1alpha1.GroupVersion, apimeta.RESTScopeNamespace},
	KindPod:            {corev1.SchemeGroupVersion, apimeta.RESTScopeNamespace},
	KindEvent:          {corev1.SchemeGroupVersion, apimeta.RESTScopeNamespace},
	KindConfigMap:      {corev1.SchemeGroupVersion, apimeta.RESTScopeNamespace},
	KindServiceAccount: {corev1.SchemeGroupVersion, apimeta.RESTScopeNamespace},
	KindNode:           {corev1.SchemeGroupVersion, apimeta.RESTScopeRoot},
	KindNamespace:      {corev1.SchemeGroupVersion, apimeta.RESTScopeRoot},
}

func kindOf(kind string) (schema.GroupVersionKind, error) {
	known, ok := kinds[kind]
	if !ok {
		return schema.GroupVersionKind{}, fmt.Errorf("kind %q is not one of this program's", kind)
	}
	return known.group.WithKind(kind), nil
}

// NewClient connects to the API server. The mapping of kinds to resources is
// written down here, which saves each command the discovery requests.
func NewClient(config *rest.Config) (client.WithWatch, error) {
	scheme, err := NewScheme()
	if err != nil {
		return nil, err
	}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for kind, where := range kinds {
		mapper.Add(where.group.WithKind(kind), where.scope)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return c, nil
}

// GetDataset reads a dataset; the error wraps ErrNotFound if there is none.
func GetDataset(ctx context.Context, c client.Reader, key client.ObjectKey) (*v1alpha1.DatasetRetention, error) {
	var ds v1alpha1.DatasetRetention
	if err := c.Get(ctx, key, &ds); err != nil {
		return nil, describe("dataset", key, err)
	}
	return &ds, nil
}

// GetRun reads a run; the error wraps ErrNotFound if there is none.
func GetRun(ctx context.Context, c client.Reader, key client.ObjectKey) (*v1alpha1.TrainingRun, error) {
	var run v1alpha1.TrainingRun
	if err := c.Get(ctx, key, &run); err != nil {
		return nil, describe("run", key, err)
	}
	return &run, nil
}

// List reads all runs and datasets of a namespace.
func List(ctx context.Context, c client.Reader, namespace string) ([]v1alpha1.TrainingRun, []v1alpha1.DatasetRetention, error) {
	var runs v1alpha1.TrainingRunList
	if err := c.List(ctx, &runs, client.InNamespace(namespace)); err != nil {
		return nil, nil, fmt.Errorf("list runs: %w", translate(err))
	}
	var datasets v1alpha1.DatasetRetentionList
	if err := c.List(ctx, &datasets, client.InNamespace(namespace)); err != nil {
		return nil, nil, fmt.Errorf("list datasets: %w", translate(err))
	}
	return runs.Items, datasets.Items, nil
}

// describe names the object in an error about it.
func describe(kind string, key client.ObjectKey, err error) error {
	if err == nil {
		return nil
	}
	err = translate(err)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s %s %w in namespace %s; see what is there with: kubectl lethe status -n %s",
			kind, key.Name, ErrNotFound, key.Namespace, key.Namespace)
	}
	if errors.Is(err, ErrNotInstalled) {
		return err
	}
	return fmt.Errorf("read %s %s: %w", kind, key.Name, err)
}

// translate tells a kind that is missing from an object that is missing: both are
// answered with 404, but only the second by a handler that knows what it says.
func translate(err error) error {
	if apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return ErrNotInstalled
	}
	return err
}
