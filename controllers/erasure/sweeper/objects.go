package sweeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
)

const (
	// page is how many objects one request lists. Few, because tenants choose how
	// large an object is.
	page = 100
	// wholeRuns is how many runs one request lists where their specs come along.
	wholeRuns = 20
)

// Object is what the API server says of a dataset or a run that is there.
type Object struct {
	Name string
	// Deleting: it has a deletion timestamp, so its finalizer sees to the data.
	Deleting bool
	// State of a dataset; empty for a run.
	State v1alpha1.DatasetState
}

// Census is who is in a namespace.
type Census struct {
	// Gone: there is no such namespace. What etcd may still have of it can neither be
	// changed nor deleted, and counts as gone.
	Gone bool
	// unreadable: see ErrUnreadable. Nothing else is known then.
	unreadable bool
	// Objects by resource (see objectkey's Resource constants) and UID.
	Objects map[string]map[types.UID]Object
}

// object is nil for one that is gone.
func (c Census) object(resource string, uid types.UID) *Object {
	if c.Gone {
		return nil
	}
	if found, there := c.Objects[resource][uid]; there {
		return &found
	}
	return nil
}

// ErrUnreadable is wrapped when the API server answers, and what it has of a namespace
// can not be read, as when an object can not be decoded.
var ErrUnreadable = errors.New("objects can not be read")

// Objects looks objects up at the API server, live. All methods may be repeated and
// change nothing. An error means that nothing is known: of this namespace if it wraps
// ErrUnreadable, otherwise of any.
type Objects interface {
	// Look lists the datasets and runs of a namespace, all of them.
	Look(ctx context.Context, namespace string) (Census, error)
	// Used reports whether a run that has not ended is bound to the dataset.
	Used(ctx context.Context, namespace string, dataset types.UID) (bool, error)
	// Elsewhere reports whether any other namespace has a dataset with this UID.
	Elsewhere(ctx context.Context, namespace string, dataset types.UID) (bool, error)
}

// Cluster is the Objects of an API server.
type Cluster struct {
	live client.Reader
}

// NewCluster makes a Cluster. The reader must not be a cache, which would show objects
// that are gone, and none of those that it has not seen yet.
func NewCluster(live client.Reader) *Cluster { return &Cluster{live: live} }

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get
// +kubebuilder:rbac:groups=lethe.dev,resources=datasetretentions;trainingruns,verbs=list
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=datasetretentions.lethe.dev;trainingruns.lethe.dev,verbs=get

// Look implements Objects. There is no index of objects by UID, so they are listed,
// and found as fast as the namespace is small.
func (c *Cluster) Look(ctx context.Context, namespace string) (Census, error) {
	gone, err := c.gone(ctx, corev1.SchemeGroupVersion.WithKind("Namespace"), namespace)
	if err != nil || gone {
		return Census{Gone: gone}, err
	}
	datasets := map[types.UID]Object{}
	err = c.list(ctx, objectkey.ResourceDataset, func(next string) (string, error) {
		var list v1alpha1.DatasetRetentionList
		err := c.live.List(ctx, &list, client.InNamespace(namespace), client.Limit(page), client.Continue(next))
		for i := range list.Items {
			d := &list.Items[i]
			datasets[d.UID] = Object{Name: d.Name, Deleting: d.DeletionTimestamp != nil, State: d.Status.State}
		}
		return list.Continue, err
	})
	if err != nil {
		return Census{}, err
	}
	runs := map[types.UID]Object{}
	err = c.list(ctx, objectkey.ResourceRun, func(next string) (string, error) {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TrainingRunList"))
		err := c.live.List(ctx, &list, client.InNamespace(namespace), client.Limit(page), client.Continue(next))
		for i := range list.Items {
			r := &list.Items[i]
			runs[r.UID] = Object{Name: r.Name, Deleting: r.DeletionTimestamp != nil}
		}
		return list.Continue, err
	})
	if err != nil {
		return Census{}, err
	}
	return Census{Objects: map[string]map[types.UID]Object{
		objectkey.ResourceDataset: datasets, objectkey.ResourceRun: runs,
	}}, nil
}

// Used implements Objects.
func (c *Cluster) Used(ctx context.Context, namespace string, dataset types.UID) (bool, error) {
	used := false
	err := c.list(ctx, objectkey.ResourceRun, func(next string) (string, error) {
		var list v1alpha1.TrainingRunList
		err := c.live.List(ctx, &list, client.InNamespace(namespace), client.Limit(wholeRuns), client.Continue(next))
		for i := range list.Items {
			status := &list.Items[i].Status
			bound := status.Dataset != nil && status.Dataset.UID == dataset
			used = used || bound && !status.State.Finished()
		}
		return list.Continue, err
	})
	return used, err
}

// Elsewhere implements Objects. It reads only the metadata, which nobody can make
// unreadable by what he puts into an object.
func (c *Cluster) Elsewhere(ctx context.Context, namespace string, dataset types.UID) (bool, error) {
	elsewhere := false
	err := c.list(ctx, objectkey.ResourceDataset, func(next string) (string, error) {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("DatasetRetentionList"))
		err := c.live.List(ctx, &list, client.Limit(page), client.Continue(next))
		for i := range list.Items {
			d := &list.Items[i]
			elsewhere = elsewhere || d.UID == dataset && d.Namespace != namespace
		}
		return list.Continue, err
	})
	return elsewhere, err
}

// list reads page after page. No error means that the list was complete, or that the
// cluster has no such kind at all.
func (c *Cluster) list(ctx context.Context, resource string, read func(next string) (string, error)) error {
	next := ""
	for {
		after, err := read(next)
		if err != nil {
			return c.unlessNoKind(ctx, resource, err)
		}
		if next = after; next == "" {
			return nil
		}
	}
}

// unlessNoKind drops the error of a list when the CRD itself is gone: a list alone may
// also not be found by an API server that has not read its CRDs yet.
func (c *Cluster) unlessNoKind(ctx context.Context, resource string, err error) error {
	if ctx.Err() == nil && undecodable(err) {
		// What could not be decoded may repeat what a user wrote, so its type is enough.
		return fmt.Errorf("list %s: %w (%T %s)", resource, ErrUnreadable, err, apierrors.ReasonForError(err))
	}
	err = fmt.Errorf("list %s: %w", resource, err)
	if !apierrors.IsNotFound(err) && !apimeta.IsNoMatchError(err) {
		return err
	}
	crd := schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	gone, other := c.gone(ctx, crd, resource+"."+v1alpha1.GroupVersion.Group)
	switch {
	case other != nil:
		return fmt.Errorf("%w; and %w", err, other)
	case gone:
		return nil
	}
	return err
}

// undecodable tells what is wrong with an object in a list from what is wrong with the
// API server or the way to it. A mistake costs nothing: what is taken for unreadable is
// left alone.
func undecodable(err error) bool {
	var discovery *apiutil.ErrResourceDiscoveryFailed
	if errors.As(err, &discovery) || apimeta.IsNoMatchError(err) {
		return false
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		// The server could not read its own storage. Not all versions say it so clearly.
		return apierrors.IsStoreReadError(err) || apierrors.IsInternalError(err)
	}
	var address *url.Error
	var network net.Error
	switch {
	case errors.As(err, &address), errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	}
	return true
}

// gone reports whether there is no cluster-wide object of this kind and name.
func (c *Cluster) gone(ctx context.Context, kind schema.GroupVersionKind, name string) (bool, error) {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(kind)
	err := c.live.Get(ctx, client.ObjectKey{Name: name}, found)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("get %s %s: %w", kind.Kind, name, err)
	}
	return false, nil
}
