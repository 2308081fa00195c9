package datasetretention

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func TestPlaceIsRecordedBeforeItIsGiven(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		d := l.create()
		record := l.warehouse.account(t, testNamespace, string(testUID)).Record
		want := objectkey.LedgerRecord{
			Kind: objectkey.LedgerKind, Resource: objectkey.ResourceDataset, Namespace: testNamespace, UID: string(testUID),
			Store: testStore, Bucket: testBucket, Prefix: testPrefix,
			CreatedTime: created(), EraseBy: after(v1alpha1.MaxRetention),
		}
		if record == nil || *record != want {
			t.Errorf("record %+v, want %+v", record, want)
		}
		if d.Status.Location.Store != testStore || !l.hasKey(testUID) || len(d.Status.KeyID) != 32 {
			t.Errorf("place %+v, key %q", d.Status.Location, d.Status.KeyID)
		}
	})
}

func TestDatasetWithoutAKeyOfItsOwnGetsNone(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.shape = []datasetMod{func(d *v1alpha1.DatasetRetention) { d.Spec.Encryption = v1alpha1.EncryptionBucket }}
		if d := l.create(); d.Status.KeyID != "" || l.hasKey(testUID) {
			t.Errorf("key %q, there: %v", d.Status.KeyID, l.hasKey(testUID))
		}
		l.upload()
		l.settle()
		l.wantState(v1alpha1.DatasetReady)
	})
}

func TestUnfitBucketGetsNothingUntilItIsMended(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.warehouse.inner.SetFacts(testBucket, func(f *objectstore.BucketFacts) { f.ObjectLock = true })
		d := l.create()
		if d.Status.Reason != v1alpha1.ReasonStoreUnsuitable || d.Status.Location != nil {
			t.Fatalf("status %+v", d.Status)
		}
		if l.warehouse.account(t, testNamespace, string(testUID)).Found() || l.hasKey(testUID) {
			t.Error("something was made for a dataset without a place")
		}
		if again, err := l.reconcile(); err != nil || again.RequeueAfter != time.Minute {
			t.Errorf("looks again in %v (error %v), want a minute", again.RequeueAfter, err)
		}
		l.warehouse.inner.SetFacts(testBucket, func(f *objectstore.BucketFacts) { f.ObjectLock = false })
		l.until(after(time.Minute))
		l.settle()
		d, _ = l.dataset()
		if d.Status.Reason != v1alpha1.ReasonUploadOpen || d.Status.Location == nil {
			t.Errorf("status %+v", d.Status)
		}
	})
}

func TestStoreIsAskedOnceForManyNewDatasets(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		first, err := l.keeper.site(t.Context(), l.clock.Now())
		l.must(err)
		calls := l.faults.calls
		second, err := l.keeper.site(t.Context(), l.clock.Now().Add(siteLife-time.Second))
		if err != nil || second != first || l.faults.calls != calls {
			t.Errorf("%+v after %d calls: %v", second, l.faults.calls-calls, err)
		}
		if _, err := l.keeper.site(t.Context(), l.clock.Now().Add(siteLife)); err != nil || l.faults.calls == calls {
			t.Errorf("not asked again after %v: %v", siteLife, err)
		}
	})
}

func TestDatasetThatCameBackGetsNoPlace(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		accounts, err := ledger.New(l.warehouse.inner, testLedger)
		l.must(err)
		l.must(accounts.Note(t.Context(), testNamespace, string(testUID), objectkey.LedgerEvent{
			Kind: objectkey.LedgerKind, Event: objectkey.LedgerErased, Time: created(), ReceiptDigest: testDigest,
		}))
		if d := l.create(); d.Status.Reason != v1alpha1.ReasonErased || d.Status.Location != nil || l.hasKey(testUID) {
			t.Errorf("status %+v, key there: %v", d.Status, l.hasKey(testUID))
		}
		l.delete()
		l.settle()
		if _, there := l.dataset(); there {
			t.Error("it can not be deleted")
		}
	})
}

func TestKeyThatIsGoneIsSaidOnce(t *testing.T) {
	t.Parallel()
	secret := func(l *life) *corev1.Secret {
		l.t.Helper()
		var s corev1.Secret
		l.must(l.api.Get(l.t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: datasetkey.SecretName(testUID)}, &s))
		return &s
	}
	cases := map[string]struct {
		harm func(*life)
		want string
		says string
	}{
		"the secret is gone": {
			func(l *life) { l.must(l.api.Delete(l.t.Context(), secret(l))) }, v1alpha1.ReasonKeyMissing, "for ever",
		},
		"another key took its place": {
			func(l *life) {
				s := secret(l)
				l.must(l.api.Delete(l.t.Context(), s))
				s.ResourceVersion, s.Data = "", map[string][]byte{"key": []byte("another key of 32 bytes, exactly")}
				l.must(l.api.Create(l.t.Context(), s))
			}, v1alpha1.ReasonKeyMissing, "for ever",
		},
		"the manifest is not under the key": {
			func(l *life) {
				l.warehouse.put(l.t, objectkey.Manifest(testPrefix), manifestOf(l.t, map[string]int64{"a": 5, "b/c": 7}))
			}, v1alpha1.ReasonManifestMalformed, "not stored under the dataset's own key",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive(t, &faults{}, func(l *life) {
				t := l.t
				l.create()
				l.upload()
				c.harm(l)
				for range 4 { // Without the invariants: this key was not taken by us.
					if _, err := l.keeper.Reconcile(t.Context(), requestOf(l.key)); err != nil {
						t.Fatalf("reconcile: %v", err)
					}
				}
				d, _ := l.dataset()
				if d.Status.State != v1alpha1.DatasetInvalid || d.Status.Reason != c.want || !strings.Contains(d.Status.Message, c.says) {
					t.Errorf("%s %s: %s", d.Status.State, d.Status.Reason, d.Status.Message)
				}
				l.delete()
				l.settle()
				l.until(after(time.Hour))
				l.settle()
				if _, there := l.dataset(); there {
					t.Error("a missing key keeps the data from being erased")
				}
			})
		})
	}
}

// blind is a Keys that can not read what is there.
type blind struct{ Keys }

func (blind) Get(context.Context, types.UID) (objectstore.Key, error) {
	return objectstore.Key{}, datasetkey.ErrMalformed
}

func TestKeyThatIsDamagedIsTriedAgain(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.create()
		l.upload()
		sound := l.keeper.opts.Keys
		l.keeper.opts.Keys = blind{sound}
		for range 3 {
			_, _ = l.reconcile()
		}
		d, _ := l.dataset()
		if d.Status.State != v1alpha1.DatasetSealing || d.Status.Reason != v1alpha1.ReasonStoreUnavailable {
			t.Errorf("%s %s: %s", d.Status.State, d.Status.Reason, d.Status.Message)
		}
		l.keeper.opts.Keys = sound
		l.settle()
		l.wantState(v1alpha1.DatasetReady)
	})
}
