package datasetretention

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// meanwhile lets something happen before each write of a run's status.
func (l *life) meanwhile(happens func(ctx context.Context, o client.Object) error) {
	l.t.Helper()
	l.keeper.client = interceptor.NewClient(l.api, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if _, is := o.(*v1alpha1.TrainingRun); is {
				if err := happens(ctx, o); err != nil {
					return err
				}
			}
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
}

// isErasedUsed erases a dataset that two runs have used.
func (l *life) isErasedUsed() {
	l.t.Helper()
	l.endRun(l.startRun("run-1"))
	l.endRun(l.startRun("run-2"))
	l.until(after(time.Hour))
	l.add(newDataset(usable))
	l.delete()
}

func TestRunIsMarkedAlsoWhileItChanges(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.isErasedUsed()
		changes := 0
		l.meanwhile(func(ctx context.Context, o client.Object) error {
			if changes++; changes > 3 {
				return nil
			}
			var r v1alpha1.TrainingRun
			l.must(l.api.Get(ctx, client.ObjectKeyFromObject(o), &r))
			r.Status.Usage = &v1alpha1.Usage{GPUSeconds: int64(changes)}
			return l.api.Status().Update(ctx, &r)
		})
		l.settle()
		if _, there := l.dataset(); there {
			t.Fatal("the dataset is still there")
		}
		_, digest := l.warehouse.receipt(t, testNamespace+"/"+string(testUID)+".json")
		l.checkMarked("run-1", digest)
		l.checkMarked("run-2", digest)
		var r v1alpha1.TrainingRun
		l.must(l.api.Get(t.Context(), client.ObjectKey{Namespace: testNamespace, Name: "run-1"}, &r))
		if r.Status.Usage.GPUSeconds != 3 {
			t.Errorf("what others wrote was lost: %+v", r.Status.Usage)
		}
	})
}

func TestRunThatGoesNeedsNoMark(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.isErasedUsed()
		l.meanwhile(func(ctx context.Context, o client.Object) error {
			return client.IgnoreNotFound(l.api.Delete(ctx, &v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{
				Namespace: o.GetNamespace(), Name: o.GetName(),
			}}))
		})
		l.settle()
		if _, there := l.dataset(); there {
			t.Error("the dataset is still there")
		}
	})
}

func TestFinalizerStaysUntilEveryRunIsMarked(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.isErasedUsed()
		conflict := apierrors.NewConflict(schema.GroupResource{Resource: "trainingruns"}, "run-2", errors.New("it changes all the time"))
		l.meanwhile(func(_ context.Context, o client.Object) error {
			if o.GetName() == "run-2" {
				return conflict
			}
			return nil
		})
		for range 4 {
			_, err := l.reconcile()
			if err != nil && apierrors.IsConflict(err) {
				t.Fatalf("taken for a change of the dataset: %v", err)
			}
		}
		if _, err := l.reconcile(); err == nil {
			t.Error("not tried again")
		}
		if _, there := l.dataset(); !there {
			t.Fatal("the dataset is gone, and a run does not know")
		}
		l.restart()
		l.settle()
		if _, there := l.dataset(); there {
			t.Error("the dataset is still there")
		}
	})
}
