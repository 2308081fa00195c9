package datasetretention

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
)

const (
	testNamespace = "team-a"
	testName      = "digits"
	testUID       = types.UID("6a1f8c1e-0c9b-4f5e-9a53-5f6f3f1d2b7c")
	testBucket    = "datasets"
	testDigest    = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	testStore     = "00112233445566778899aabbccddeeff"
	testKeyID     = "ffeeddccbbaa99887766554433221100"
	testMaxAge    = 720 * time.Hour
	testWindow    = 24 * time.Hour
)

// created is when every test dataset was created.
func created() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func after(d time.Duration) time.Time { return created().Add(d) }

func at(t time.Time) *metav1.Time { return apiTime(t) }

type datasetMod func(*v1alpha1.DatasetRetention)

// newDataset is an adopted dataset that is open for upload.
func newDataset(mods ...datasetMod) *v1alpha1.DatasetRetention {
	d := &v1alpha1.DatasetRetention{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: testNamespace, Name: testName, UID: testUID, Generation: 1,
			CreationTimestamp: metav1.NewTime(created()),
			Finalizers:        []string{v1alpha1.FinalizerErase},
		},
		Spec: v1alpha1.DatasetRetentionSpec{Retention: v1alpha1.RetentionPolicy{
			AfterTraining: &metav1.Duration{Duration: testWindow},
			MaxAge:        &metav1.Duration{Duration: testMaxAge},
		}},
	}
	for _, mod := range mods {
		mod(d)
	}
	return d
}

func raw(d *v1alpha1.DatasetRetention) { d.Finalizers = nil }

func sealed(d *v1alpha1.DatasetRetention) { d.Spec.Sealed = true }

func placed(d *v1alpha1.DatasetRetention) {
	d.Status.Location = &v1alpha1.ObjectLocation{
		Bucket: testBucket, Prefix: objectkey.OwnerPrefix(d.Namespace, string(d.UID)), Store: testStore,
	}
	d.Status.KeyID = testKeyID
	d.Status.ObservedGeneration = 1
}

// sealSeen is sealed, and was so for long.
func sealSeen(d *v1alpha1.DatasetRetention) {
	sealed(d)
	d.Status.SealedTime = at(created())
}

// usable is sealed, placed and verified.
func usable(d *v1alpha1.DatasetRetention) {
	sealSeen(d)
	placed(d)
	objects, bytes := int64(3), int64(300)
	d.Status.Objects, d.Status.Bytes, d.Status.ManifestDigest = &objects, &bytes, testDigest
}

func deleted(d *v1alpha1.DatasetRetention) {
	d.DeletionTimestamp = at(after(time.Hour))
	d.Generation++
}

// begins is a dataset whose erase was announced, and whose key may be gone or not.
func begins(d *v1alpha1.DatasetRetention) {
	d.Status.Erasure = &v1alpha1.ErasureStatus{StartTime: *at(after(time.Hour))}
}

// keyless is a dataset whose key is destroyed.
func keyless(d *v1alpha1.DatasetRetention) {
	begins(d)
	d.Status.Erasure.KeyDestroyedTime = at(after(time.Hour))
}

// inventoried is a dataset whose data was counted before it is removed.
func inventoried(d *v1alpha1.DatasetRetention) {
	keyless(d)
	e := d.Status.Erasure
	e.InventoryTime, e.Versions, e.Bytes, e.Uploads = at(after(time.Hour)), 4, 400, 1
}

// underBucketKey is a dataset without a key of its own.
func underBucketKey(d *v1alpha1.DatasetRetention) {
	d.Spec.Encryption, d.Status.KeyID = v1alpha1.EncryptionBucket, ""
}

const testCase = "case 2026-117"

// onHold asks for a hold; knownHold is one that the ledger knows.
func onHold(until time.Time) datasetMod {
	return func(d *v1alpha1.DatasetRetention) {
		d.Spec.Hold = &v1alpha1.Hold{Reason: testCase, Until: metav1.NewTime(until)}
	}
}

func knownHold(until time.Time) datasetMod {
	return func(d *v1alpha1.DatasetRetention) {
		d.Status.Hold = &v1alpha1.HoldStatus{Reason: testCase, Until: metav1.NewTime(until), Since: metav1.NewTime(created())}
	}
}

func keep(window, maxAge time.Duration) datasetMod {
	return func(d *v1alpha1.DatasetRetention) {
		d.Spec.Retention.AfterTraining.Duration, d.Spec.Retention.MaxAge.Duration = window, maxAge
	}
}

func lastUsed(t time.Time) datasetMod {
	return func(d *v1alpha1.DatasetRetention) { d.Status.LastUsedTime = at(t) }
}

func wasActive(names ...string) datasetMod {
	return func(d *v1alpha1.DatasetRetention) { d.Status.ActiveRuns = names }
}

func movedTo(bucket, prefix string) datasetMod {
	return func(d *v1alpha1.DatasetRetention) {
		d.Status.Location = &v1alpha1.ObjectLocation{Bucket: bucket, Prefix: prefix, Store: testStore}
	}
}

func wasReady(status metav1.ConditionStatus, reason string) datasetMod {
	return func(d *v1alpha1.DatasetRetention) {
		d.Status.Conditions = append(d.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: "as found",
			LastTransitionTime: metav1.NewTime(created()), ObservedGeneration: 1,
		})
	}
}

func wasBlocked(reason string) datasetMod {
	return func(d *v1alpha1.DatasetRetention) {
		d.Status.Conditions = append(d.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionErasureBlocked, Status: metav1.ConditionTrue, Reason: reason, Message: "as before",
			LastTransitionTime: metav1.NewTime(created()), ObservedGeneration: 1,
		})
	}
}

type seenMod func(*observed)

// saw is what was observed of a dataset at a time.
func saw(now time.Time, d *v1alpha1.DatasetRetention, mods ...seenMod) observed {
	seen := observed{now: now, dataset: d, store: testStore, home: v1alpha1.ObjectLocation{
		Bucket: testBucket, Prefix: objectkey.OwnerPrefix(d.Namespace, string(d.UID)),
	}}
	for _, mod := range mods {
		mod(&seen)
	}
	return seen
}

func runs(rs ...run) seenMod { return func(o *observed) { o.runs = rs } }

func copies(names ...string) seenMod { return func(o *observed) { o.copies = names } }

func inventory(versions, bytes, uploads int64) seenMod {
	return func(o *observed) {
		o.inventory = &erasure.Inventory{Versions: versions, Bytes: bytes, Uploads: uploads}
	}
}

func found(s sealCheck) seenMod { return func(o *observed) { o.seal = &s } }

func storeFailed(err error) seenMod { return func(o *observed) { o.storeErr = err } }

// recorded is a dataset of which the ledger knows.
func recorded(o *observed) { o.recorded = true }

// gotPlace is a dataset that was given its place just now.
func gotPlace(o *observed) {
	location := o.home
	location.Store = testStore
	o.placing = placing{location: &location, keyID: testKeyID}
}

// gotNone is a dataset that can not have a place.
func gotNone(reason string) seenMod { return func(o *observed) { o.placing.refused = reason } }

// toldLedger is when the ledger took what is new of a hold.
func toldLedger(o *observed) { o.noted = true }

func under(l Limits) seenMod { return func(o *observed) { o.limits = l } }

// closed is a dataset that the ledger says was erased before.
func closed(o *observed) { o.closed = true }

// noTurn is a store that others keep busy.
func noTurn(o *observed) { o.busy = true }

func using(name string) run { return run{name: name, bound: true} }

func suspended(name string) run { return run{name: name, bound: true, suspended: true} }

func waiting(name string) run { return run{name: name} }

func ended(name string, t time.Time) run {
	return run{name: name, bound: true, finished: true, ended: t}
}
