package receipts_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
)

// start starts a Publisher, which ends with the test's bubble.
func start(t *testing.T, c client.Client, key *receipts.Key) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	p := &receipts.Publisher{Client: c, Key: key, Clock: clock.RealClock{}, Log: logr.Discard()}
	if !p.NeedLeaderElection() {
		t.Error("every replica publishes")
	}
	go func() { ended <- p.Start(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Start: %v", err)
		}
	}
}

func publishedKeys(t *testing.T, c client.Client) string {
	t.Helper()
	var found corev1.ConfigMap
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: receipts.PublicNamespace, Name: receipts.PublicName}, &found); err != nil {
		t.Fatal(err)
	}
	return found.Data[receipts.PublicKeys]
}

func TestPublisherAddsItsKey(t *testing.T) {
	t.Parallel()
	former := string(objectkey.EncodePublicKey(public(1)))
	for name, c := range map[string]struct {
		before func(own string) *corev1.ConfigMap
		want   func(own string) string
		writes int32
	}{
		"to nothing": {
			func(string) *corev1.ConfigMap { return configMap("") },
			func(own string) string { return own }, 1,
		},
		"to an object without data": {
			func(string) *corev1.ConfigMap {
				return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: receipts.PublicNamespace, Name: receipts.PublicName}}
			},
			func(own string) string { return own }, 1,
		},
		"behind former ones": {
			func(string) *corev1.ConfigMap { return configMap(former) },
			func(own string) string { return former + own }, 1,
		},
		"behind something without a line end": {
			func(string) *corev1.ConfigMap { return configMap("a note") },
			func(own string) string { return "a note\n" + own }, 1,
		},
		"once": {
			func(own string) *corev1.ConfigMap { return configMap(own + former) },
			func(own string) string { return own + former }, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				key := ensure(t, cluster(t))
				own := string(objectkey.EncodePublicKey(publicOf(t, key)))
				var writes atomic.Int32
				api := interceptor.NewClient(cluster(t, c.before(own)), interceptor.Funcs{Patch: func(
					ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption,
				) error {
					writes.Add(1)
					return c.Patch(ctx, o, p, opts...)
				}})
				stop := start(t, api, key)
				<-time.After(time.Hour)
				stop()
				if diff := cmp.Diff(c.want(own), publishedKeys(t, api)); diff != "" {
					t.Errorf("keys (-want +got):\n%s", diff)
				}
				if writes.Load() != c.writes {
					t.Errorf("%d writes, want %d", writes.Load(), c.writes)
				}
			})
		})
	}
}

// TestPublisherGoesOn: it outlives a failure, restores what was deleted, and another's
// key that comes at the same time is not lost.
func TestPublisherGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := ensure(t, cluster(t))
		own, other := string(objectkey.EncodePublicKey(publicOf(t, key))), string(objectkey.EncodePublicKey(public(2)))
		patches := 0
		api := interceptor.NewClient(cluster(t, configMap("")), interceptor.Funcs{Patch: func(
			ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption,
		) error {
			patches++
			switch patches {
			case 1:
				return errors.New("the API server is away")
			case 2:
				if err := c.Update(ctx, configMap(other)); err != nil {
					t.Errorf("update: %v", err)
				}
			}
			return c.Patch(ctx, o, p, opts...)
		}})
		stop := start(t, api, key)
		defer stop()
		if got := publishedKeys(t, api); got != "" {
			t.Errorf("published %q in spite of the failure", got)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(other+own, publishedKeys(t, api)); diff != "" {
			t.Errorf("keys (-want +got):\n%s", diff)
		}
		if err := api.Update(t.Context(), configMap("")); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff(own, publishedKeys(t, api)); diff != "" {
			t.Errorf("keys after they were deleted (-want +got):\n%s", diff)
		}
	})
}
