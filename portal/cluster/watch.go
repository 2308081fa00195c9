package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// Sink takes what is seen. It is called for one object at a time, and for several objects
// at once; what it can't take it has to ask for again itself. A state may come twice.
type Sink interface {
	// TenantSeen tells whether a tenant's Namespace is ready for runs, and if not why.
	TenantSeen(ctx context.Context, namespace string, ready bool, why string)
	// DatasetSeen tells the newest state of a dataset; gone: of one that is not there any
	// more, with its data.
	DatasetSeen(ctx context.Context, namespace, object, uid string, s portal.DatasetSeen, deleting, gone bool)
	// RunSeen tells the newest state of a run; gone: of one that is not there any more.
	RunSeen(ctx context.Context, namespace, object, uid string, s portal.RunSeen, gone bool)
	// Synced follows once all that was there at first has been told.
	Synced(ctx context.Context)
}

// tellers is how many objects are told of at once.
const tellers = 4

// tenants chooses the Namespaces that are tenants.
func tenants() labels.Selector {
	exists, err := labels.NewRequirement(v1alpha1.LabelTenant, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant
	}
	return labels.NewSelector().Add(*exists)
}

// cached is what of each kind is kept.
func cached() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&corev1.Namespace{}:          {Label: tenants(), Transform: slimNamespace},
		&corev1.Node{}:               {Transform: slimNode},
		&v1alpha1.DatasetRetention{}: {},
		&v1alpha1.TrainingRun{}:      {},
	}
}

// key names an object for ever. A Namespace has no namespace.
type key struct {
	kind                 string
	namespace, name, uid string
}

const (
	kindTenant  = "Namespace"
	kindDataset = "DatasetRetention"
	kindRun     = "TrainingRun"
)

// watch is one Watch under way.
type watch struct {
	*Client
	sink  Sink
	queue workqueue.TypedInterface[key]

	mu sync.Mutex
	// told are the versions that the sink was told last, last the final states of objects
	// that it is not told the end of yet.
	told map[key]string
	last map[key]client.Object
}

// Watch tells the sink what is in the cluster, and what changes, until the context ends.
// While the API server is away it waits, and goes on by itself. It is called once.
func (c *Client) Watch(ctx context.Context, sink Sink) error {
	w := &watch{
		Client: c, sink: sink, queue: workqueue.NewTyped[key](),
		told: map[key]string{}, last: map[key]client.Object{},
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running, err := w.listen(ctx)
	if err != nil {
		return err
	}
	stopped := make(chan error, 1)
	go func() { stopped <- c.cache.Start(ctx) }()
	context.AfterFunc(ctx, w.queue.ShutDown)
	if toolscache.WaitForCacheSync(ctx.Done(), running...) {
		c.synced.Store(true)
		w.tellAll(ctx)
	}
	err = <-stopped
	c.synced.Store(false)
	if err != nil {
		return fmt.Errorf("watch the cluster: %w", err)
	}
	return nil
}

// listen asks to be called for what changes. Nodes are cached and told to nobody.
func (w *watch) listen(ctx context.Context) ([]toolscache.InformerSynced, error) {
	var running []toolscache.InformerSynced
	for kind, object := range map[string]client.Object{
		kindTenant: &corev1.Namespace{}, kindDataset: &v1alpha1.DatasetRetention{}, kindRun: &v1alpha1.TrainingRun{}, "": &corev1.Node{},
	} {
		informer, err := w.cache.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", object, err)
		}
		if kind == "" {
			running = append(running, informer.HasSynced)
			continue
		}
		registered, err := informer.AddEventHandler(w.handler(kind))
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", object, err)
		}
		running = append(running, registered.HasSynced)
	}
	return running, nil
}

func (w *watch) handler(kind string) toolscache.ResourceEventHandler {
	changed := func(object any) {
		if o, is := object.(client.Object); is {
			w.queue.Add(keyOf(kind, o))
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, object any) { changed(object) },
		DeleteFunc: func(object any) {
			if unseen, is := object.(toolscache.DeletedFinalStateUnknown); is {
				object = unseen.Obj
			}
			if o, is := object.(client.Object); is {
				w.mu.Lock()
				w.last[keyOf(kind, o)] = o
				w.mu.Unlock()
				changed(o)
			}
		},
	}
}

func keyOf(kind string, o metav1.Object) key {
	return key{kind: kind, namespace: o.GetNamespace(), name: o.GetName(), uid: string(o.GetUID())}
}

// tellAll tells what was there at first, says so, and goes on with what changes until the
// queue is shut down. All that was there is in the queue by now, so the queue is empty once
// it has been told, or holds newer things.
func (w *watch) tellAll(ctx context.Context) {
	for range w.queue.Len() {
		w.next(ctx)
	}
	if ctx.Err() == nil {
		w.sink.Synced(ctx)
	}
	var group sync.WaitGroup
	for range tellers {
		group.Go(func() {
			for w.next(ctx) {
			}
		})
	}
	group.Wait()
}

// next tells of one object. It reports false when there will be no more.
func (w *watch) next(ctx context.Context) bool {
	k, over := w.queue.Get()
	if over {
		return false
	}
	defer w.queue.Done(k)
	if ctx.Err() == nil {
		w.tell(ctx, k)
	}
	return true
}

// tell reads the newest of an object and tells it, unless it was told.
func (w *watch) tell(ctx context.Context, k key) {
	object, gone := w.newest(ctx, k)
	if object == nil {
		return
	}
	w.mu.Lock()
	known := w.told[k]
	w.told[k] = object.GetResourceVersion()
	if gone {
		delete(w.told, k)
		delete(w.last, k)
	}
	w.mu.Unlock()
	if !gone && known == object.GetResourceVersion() {
		return
	}
	switch o := object.(type) {
	case *corev1.Namespace:
		ready, why := tenantReady(o, gone)
		w.sink.TenantSeen(ctx, o.Name, ready, why)
	case *v1alpha1.DatasetRetention:
		w.sink.DatasetSeen(ctx, o.Namespace, o.Name, k.uid, seenDataset(o, w.clock.Now()), !o.DeletionTimestamp.IsZero(), gone)
	case *v1alpha1.TrainingRun:
		w.sink.RunSeen(ctx, o.Namespace, o.Name, k.uid, seenRun(o, w.clock.Now()), gone)
	}
}

// newest gives what is in the cache, or the last state of what is not any more. nil: it was
// told already that it is gone.
func (w *watch) newest(ctx context.Context, k key) (object client.Object, gone bool) {
	switch k.kind {
	case kindTenant:
		object = &corev1.Namespace{}
	case kindDataset:
		object = &v1alpha1.DatasetRetention{}
	default:
		object = &v1alpha1.TrainingRun{}
	}
	err := w.cache.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: k.name}, object)
	if err == nil && string(object.GetUID()) == k.uid {
		return object, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := w.last[k]; last != nil {
		return last, true
	}
	return nil, true
}

// Synced reports whether the cache has all that is in the cluster.
func (c *Client) Synced() bool { return c.synced.Load() }

// tenantReady reads the operator's condition.
func tenantReady(n *corev1.Namespace, gone bool) (ready bool, why string) {
	if gone || !n.DeletionTimestamp.IsZero() {
		return false, "the namespace is being deleted"
	}
	for _, c := range n.Status.Conditions {
		if string(c.Type) == v1alpha1.ConditionTenantReady {
			return c.Status == corev1.ConditionTrue, c.Message
		}
	}
	return false, "the operator has not seen the namespace yet"
}

var errKind = errors.New("object of another kind")

// slimNamespace keeps what tenantReady reads.
func slimNamespace(object any) (any, error) {
	n, is := object.(*corev1.Namespace)
	if !is {
		return nil, fmt.Errorf("%w: %T", errKind, object)
	}
	return &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion, Labels: n.Labels, DeletionTimestamp: n.DeletionTimestamp,
		},
		Status: corev1.NamespaceStatus{Conditions: n.Status.Conditions},
	}, nil
}

// slimNode keeps what offers reads: a Node has kilobytes of images and addresses.
func slimNode(object any) (any, error) {
	n, is := object.(*corev1.Node)
	if !is {
		return nil, fmt.Errorf("%w: %T", errKind, object)
	}
	slim := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion},
		Spec:       corev1.NodeSpec{Unschedulable: n.Spec.Unschedulable},
	}
	if kind, labelled := n.Labels[v1alpha1.LabelGPUProduct]; labelled {
		slim.Labels = map[string]string{v1alpha1.LabelGPUProduct: kind}
	}
	if gpus, has := n.Status.Allocatable[v1alpha1.ResourceGPU]; has {
		slim.Status.Allocatable = corev1.ResourceList{v1alpha1.ResourceGPU: gpus}
	}
	return slim, nil
}
