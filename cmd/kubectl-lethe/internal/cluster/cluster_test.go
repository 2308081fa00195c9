package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

var key = client.ObjectKey{Namespace: "team", Name: "digits"}

func dataset(mods ...func(*v1alpha1.DatasetRetention)) *v1alpha1.DatasetRetention {
	ds := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits", UID: "uid-1"}}
	for _, mod := range mods {
		mod(ds)
	}
	return ds
}

func fakeClient(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).
		WithStatusSubresource(&v1alpha1.DatasetRetention{}).Build()
}

func TestOpenDataset(t *testing.T) {
	t.Parallel()
	hour, day, twoDays := time.Hour, 24*time.Hour, 48*time.Hour
	retention := func(after, maxAge time.Duration) func(*v1alpha1.DatasetRetention) {
		return func(ds *v1alpha1.DatasetRetention) {
			ds.Spec.Retention.AfterTraining = &metav1.Duration{Duration: after}
			ds.Spec.Retention.MaxAge = &metav1.Duration{Duration: maxAge}
		}
	}
	tests := map[string]struct {
		objects  []client.Object
		before   *Settings
		want     Settings
		result   v1alpha1.RetentionPolicy
		wantErr  error
		conflict bool
	}{
		"creates a dataset with the times that were asked for": {
			want: Settings{AfterTraining: &hour},
			result: v1alpha1.RetentionPolicy{
				AfterTraining: &metav1.Duration{Duration: time.Hour},
			},
		},
		"keeps the times of an open dataset": {
			objects: []client.Object{dataset(retention(hour, twoDays))},
			result: v1alpha1.RetentionPolicy{
				AfterTraining: &metav1.Duration{Duration: time.Hour}, MaxAge: &metav1.Duration{Duration: 2 * day},
			},
		},
		"refuses to change a time that somebody else manages": {
			objects:  []client.Object{dataset(retention(hour, twoDays))},
			want:     Settings{MaxAge: &day},
			conflict: true,
		},
		"changes only the time that was asked for": {
			before: &Settings{AfterTraining: &hour, MaxAge: &twoDays},
			want:   Settings{MaxAge: &day},
			result: v1alpha1.RetentionPolicy{
				AfterTraining: &metav1.Duration{Duration: time.Hour}, MaxAge: &metav1.Duration{Duration: day},
			},
		},
		"refuses a sealed dataset": {
			objects: []client.Object{dataset(func(ds *v1alpha1.DatasetRetention) { ds.Spec.Sealed = true })},
			wantErr: ErrSealed,
		},
		"refuses a dataset that is being erased": {
			objects: []client.Object{dataset(func(ds *v1alpha1.DatasetRetention) {
				ds.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
				ds.Finalizers = []string{v1alpha1.FinalizerErase}
			})},
			wantErr: ErrErasing,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fakeClient(t, interceptor.Funcs{}, tc.objects...)
			if tc.before != nil {
				if _, err := OpenDataset(t.Context(), c, key, *tc.before); err != nil {
					t.Fatal(err)
				}
			}
			got, err := OpenDataset(t.Context(), c, key, tc.want)
			if tc.conflict {
				if err == nil || !strings.Contains(err.Error(), "managed by somebody else") {
					t.Errorf("error: got %v, want one about the other manager", err)
				}
				return
			}
			if !errors.Is(err, tc.wantErr) {
				t.Fatalf("error: got %v, want %v", err, tc.wantErr)
			}
			if tc.wantErr != nil {
				return
			}
			if diff := cmp.Diff(tc.result, got.Spec.Retention); diff != "" {
				t.Errorf("retention (-want +got):\n%s", diff)
			}
			if got.Spec.Sealed {
				t.Error("the dataset is sealed before its upload")
			}
			if _, err := OpenDataset(t.Context(), c, key, tc.want); err != nil {
				t.Errorf("the same again: %v", err)
			}
		})
	}
}

func TestPlacedWaitsForTheKeyToo(t *testing.T) {
	t.Parallel()
	at := &v1alpha1.ObjectLocation{Bucket: "datasets", Prefix: "team/uid-1/"}
	for name, tc := range map[string]struct {
		ds   v1alpha1.DatasetRetention
		want bool
	}{
		"nothing yet": {},
		"a place":     {ds: v1alpha1.DatasetRetention{Status: v1alpha1.DatasetRetentionStatus{Location: at}}},
		"a key":       {ds: v1alpha1.DatasetRetention{Status: v1alpha1.DatasetRetentionStatus{KeyID: "k"}}},
		"both":        {ds: v1alpha1.DatasetRetention{Status: v1alpha1.DatasetRetentionStatus{Location: at, KeyID: "k"}}, want: true},
		"a place under the bucket's key": {ds: v1alpha1.DatasetRetention{
			Spec:   v1alpha1.DatasetRetentionSpec{Encryption: v1alpha1.EncryptionBucket},
			Status: v1alpha1.DatasetRetentionStatus{Location: at},
		}, want: true},
	} {
		if got := Placed(&tc.ds); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestRetentionIsWrittenAsTheAPIAcceptsIt(t *testing.T) {
	t.Parallel()
	tests := map[time.Duration]string{
		24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 0: "0s", 10 * time.Second: "10s",
		10*time.Hour + 10*time.Minute: "10h10m", time.Hour + 5*time.Second: "1h0m5s", 10 * time.Minute: "10m",
	}
	for d, want := range tests {
		if got := shortDuration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestRetentionRepeatsWhatIsWrittenDown(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	want := map[string]any{"afterTraining": "24h0m0s", "maxAge": "720h"}
	got := retentionFields(map[string]string{"afterTraining": "24h0m0s", "maxAge": "720h"}, Settings{AfterTraining: &day})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	c := fakeClient(t, interceptor.Funcs{}, dataset())
	for range 2 {
		if err := Seal(t.Context(), c, key, "uid-1"); err != nil {
			t.Fatal(err)
		}
	}
	ds, err := GetDataset(t.Context(), c, key)
	if err != nil || !ds.Spec.Sealed {
		t.Errorf("sealed: %v, %v; want true", ds.Spec.Sealed, err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	c := fakeClient(t, interceptor.Funcs{})
	if _, err := GetRun(t.Context(), c, key); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "kubectl lethe status") {
		t.Errorf("missing run: got %v", err)
	}
	unknown := fakeClient(t, interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return apierrors.NewGenericServerResponse(404, "list", v1alpha1.Resource("trainingruns"), "", "404 page not found", 0, true)
		},
	})
	if _, _, err := List(t.Context(), unknown, "team"); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("missing kind: got %v, want ErrNotInstalled", err)
	}
}

// place makes the operator's part of a dataset's start.
func place(t *testing.T, c client.Client, key client.ObjectKey) {
	t.Helper()
	ds, err := GetDataset(t.Context(), c, key)
	if err != nil {
		t.Error(err)
		return
	}
	ds.Status.Location = &v1alpha1.ObjectLocation{Bucket: "datasets", Prefix: "team/uid-1/"}
	if err := c.Status().Update(t.Context(), ds); err != nil {
		t.Error(err)
	}
}

func placed(ds *v1alpha1.DatasetRetention) (bool, error) { return ds.Status.Location != nil, nil }

// follower waits in the time of the bubble that it runs in.
func follower(c client.WithWatch) Follower { return Follower{Client: c, Clock: clock.RealClock{}} }

func TestFollowSeesAChangeThatComesLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, interceptor.Funcs{}, dataset())
		go func() {
			synctest.Wait() // Until the follower has read the dataset and waits.
			place(t, c, key)
		}()
		if err := follower(c).Dataset(t.Context(), key, placed); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFollowOpensABrokenConnectionAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		c := fakeClient(t, interceptor.Funcs{
			Watch: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
				if opened++; opened < 3 {
					return nil, errors.New("connection refused")
				}
				return c.Watch(ctx, l, opts...)
			},
		}, dataset(func(ds *v1alpha1.DatasetRetention) { ds.Status.Location = &v1alpha1.ObjectLocation{} }))
		if err := follower(c).Dataset(t.Context(), key, placed); err != nil {
			t.Fatal(err)
		}
		if opened != 3 {
			t.Errorf("watches opened: got %d, want 3", opened)
		}
	})
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	refused := errors.New("connection refused")
	tests := map[string]struct {
		objects []client.Object
		funcs   interceptor.Funcs
		cancel  bool
		remove  bool
		visit   error
		wantErr error
	}{
		"when the object does not exist": {wantErr: ErrNotFound},
		"when the object goes away":      {objects: []client.Object{dataset()}, remove: true, wantErr: ErrNotFound},
		"when the person has had enough": {objects: []client.Object{dataset()}, cancel: true, wantErr: context.Canceled},
		"when the visitor fails":         {objects: []client.Object{dataset()}, visit: stop, wantErr: stop},
		"when the API server stays away": {
			funcs: interceptor.Funcs{
				Watch: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
					return nil, refused
				},
			},
			wantErr: refused,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := fakeClient(t, tc.funcs, tc.objects...)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					synctest.Wait()
					if tc.cancel {
						cancel()
					}
					if tc.remove {
						_ = c.Delete(ctx, dataset())
					}
				}()
				err := follower(c).Dataset(ctx, key, func(*v1alpha1.DatasetRetention) (bool, error) { return false, tc.visit })
				if !errors.Is(err, tc.wantErr) {
					t.Errorf("error: got %v, want %v", err, tc.wantErr)
				}
			})
		})
	}
}
