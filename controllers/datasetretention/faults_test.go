package datasetretention

import (
	"context"
	"errors"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/internal/index"
)

// fault is what goes wrong at one call.
type fault struct {
	// late lets the call take effect before it fails.
	late bool
	// kill makes all calls after it fail too, until the controller is restarted.
	kill bool
}

// faults counts the calls to the API server and to the store, and lets one fail.
type faults struct {
	mu    sync.Mutex
	calls int
	// at is the number of the call that fails, from 1; 0: none does.
	at    int
	fault fault
	dead  bool
	// writes counts the calls that change something at the API server, and onDatasets
	// those of them that change a dataset.
	writes, onDatasets int
}

var errFault = errors.New("the API server went away")

// next counts one call and says whether it fails before or after its effect.
func (f *faults) next() (before, late bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return true, false
	}
	f.calls++
	if f.calls != f.at {
		return false, false
	}
	f.dead = f.fault.kill
	return !f.fault.late, f.fault.late
}

// restart is a new process.
func (f *faults) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = false
}

func (f *faults) wrote(o client.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	if _, is := o.(*v1alpha1.DatasetRetention); is {
		f.onDatasets++
	}
}

// do makes a call that writes an object, or none.
func (f *faults) do(written client.Object, call func() error) error {
	before, late := f.next()
	if before {
		return errFault
	}
	if written != nil {
		f.wrote(written)
	}
	if err := call(); err != nil {
		return err
	}
	if late {
		return errFault
	}
	return nil
}

// between puts the faults between the controller and the API server.
func (f *faults) between(inner client.WithWatch) client.WithWatch {
	return interceptor.NewClient(inner, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return f.do(nil, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			return f.do(nil, func() error { return c.List(ctx, l, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return f.do(o, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return f.do(o, func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return f.do(o, func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return f.do(o, func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
}

// kinds are made once: thousands of API servers know the same.
var kinds = sync.OnceValues(func() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(corev1.AddToScheme(scheme), batchv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
})

var resources = sync.OnceValue(func() apimeta.RESTMapper {
	scheme, _ := kinds()
	return testrestmapper.TestOnlyStaticRESTMapper(scheme)
})

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme, err := kinds()
	if err != nil {
		t.Fatalf("build scheme: %v", err)
	}
	return scheme
}

func newFakeAPI(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := testScheme(t)
	// Without managed fields, which nobody here looks at, it is twice as fast.
	tracker := clienttesting.NewObjectTracker(scheme, serializer.NewCodecFactory(scheme).UniversalDecoder())
	return fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(resources()).WithObjectTracker(tracker).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.DatasetRetention{}, &v1alpha1.TrainingRun{}, &corev1.Pod{}).
		WithIndex(&v1alpha1.TrainingRun{}, index.RunsByDataset, index.DatasetOfRun).
		Build()
}
