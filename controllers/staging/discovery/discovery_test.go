package discovery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func configMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: ConfigMapName}, Data: data}
}

func trustBundle(pem string) *certificatesv1.ClusterTrustBundle {
	return &certificatesv1.ClusterTrustBundle{
		ObjectMeta: metav1.ObjectMeta{Name: TrustBundle},
		Spec:       certificatesv1.ClusterTrustBundleSpec{TrustBundle: pem},
	}
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), certificatesv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return scheme
}

// TestPublisherGoesOn: it outlives a failure, and restores what was deleted.
func TestPublisherGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failures := 2
		c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(configMap(nil)).
			WithInterceptorFuncs(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if failures > 0 {
					failures--
					return errors.New("the API server is away")
				}
				return c.Create(ctx, o, opts...)
			}}).Build()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		p := &Publisher{Client: c, URL: "https://broker", CABundle: []byte("new"), Clock: clock.RealClock{}, Log: logr.Discard()}
		go func() { ended <- p.Start(ctx) }()

		published := func() bool {
			synctest.Wait()
			return c.Get(t.Context(), client.ObjectKey{Name: TrustBundle}, &certificatesv1.ClusterTrustBundle{}) == nil
		}
		if published() {
			t.Fatal("published in spite of the failure")
		}
		<-time.After(2*tryAgain + time.Second)
		if !published() {
			t.Fatal("not published after the failures")
		}
		if err := c.Delete(t.Context(), trustBundle("")); err != nil {
			t.Fatal(err)
		}
		<-time.After(lookAgain)
		if !published() {
			t.Error("not restored")
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Start: %v", err)
		}
	})
}

func TestPublisher(t *testing.T) {
	t.Parallel()
	right := map[string]string{KeyURL: "https://broker", KeyCA: "new"}
	tests := map[string]struct {
		objects    []client.Object
		wantWrites bool
		wantErr    bool
	}{
		"makes the bundle and fills the empty ConfigMap": {
			objects: []client.Object{configMap(nil)}, wantWrites: true,
		},
		"replaces what an earlier operator published": {
			objects:    []client.Object{configMap(map[string]string{KeyURL: "https://old", KeyCA: "old"}), trustBundle("old")},
			wantWrites: true,
		},
		"writes nothing when all is right": {
			objects: []client.Object{configMap(right), trustBundle("new")},
		},
		"fails when the installation lacks the ConfigMap": {wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(tc.objects...).Build()
			var before, after corev1.ConfigMap
			key := client.ObjectKey{Namespace: Namespace, Name: ConfigMapName}
			_ = c.Get(t.Context(), key, &before)

			p := &Publisher{Client: c, URL: "https://broker", CABundle: []byte("new")}
			err := p.publish(t.Context())
			if (err != nil) != tc.wantErr {
				t.Fatalf("publish: %v, want an error: %v", err, tc.wantErr)
			}
			if err != nil {
				return
			}
			if err := c.Get(t.Context(), key, &after); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(right, after.Data); diff != "" {
				t.Errorf("ConfigMap (-want +got):\n%s", diff)
			}
			if wrote := before.ResourceVersion != after.ResourceVersion; wrote != tc.wantWrites {
				t.Errorf("wrote the ConfigMap: %v, want %v", wrote, tc.wantWrites)
			}
			var bundle certificatesv1.ClusterTrustBundle
			if err := c.Get(t.Context(), client.ObjectKey{Name: TrustBundle}, &bundle); err != nil {
				t.Fatal(err)
			}
			if got := bundle.Spec.TrustBundle; got != "new" {
				t.Errorf("trust bundle: got %q, want %q", got, "new")
			}
		})
	}
}
