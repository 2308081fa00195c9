package trainingrun

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// whole is a life with the real engine, ledger and book of receipts, on a store in
// memory.
type whole struct {
	*life
	store *objectstoretest.Store
	key   ed25519.PrivateKey
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	w := &whole{
		life: newLife(t, v1alpha1.ReclaimDelete, true), store: objectstoretest.NewStore(),
		key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)),
	}
	w.store.AddBucket("artifacts", objectstoretest.Versioned)
	w.store.AddBucket("receipts", objectstoretest.Locked)
	w.store.AddBucket("ledger", objectstoretest.Versioned)
	raw, err := hex.DecodeString(testStore)
	w.must(err)
	_, err = erasure.EnsureIdentity(t.Context(), w.store, "artifacts", "", bytes.NewReader(raw))
	w.must(err)
	w.parts = func() (Eraser, Ledger, Receipts) {
		w.store.SetDown(false)
		engine, err1 := erasure.New(erasure.Options{
			Store: w.store, Auditor: auditor{w.store}, ReceiptsBucket: "receipts", LedgerBucket: "ledger",
		})
		accounts, err2 := ledger.New(w.store, "ledger")
		book, err3 := receipts.New(receipts.Options{Store: w.store, Bucket: "receipts", Signer: w.key})
		w.must(errors.Join(err1, err2, err3))
		return engine, accounts, book
	}
	w.restart()
	for _, prefix := range []string{ownPrefix, neighbourPrefix} {
		for _, path := range []string{"model", "model", "a/curve"} {
			key := objectkey.Data(prefix, path)
			w.must(w.store.Put(t.Context(), "artifacts", key, strings.NewReader("12345"), 5, objectstore.PutOptions{}))
		}
		w.store.Delete("artifacts", objectkey.Data(prefix, "a/curve"))
		w.store.BeginUpload("artifacts", objectkey.Data(prefix, "half"))
	}
	return w
}

// auditor is the word of somebody else than the engine's store.
type auditor struct{ store *objectstoretest.Store }

func (a auditor) Empty(ctx context.Context, bucket, prefix string) (bool, error) {
	for _, err := range a.store.ListVersions(ctx, bucket, prefix) {
		return false, err
	}
	for _, err := range a.store.ListUploads(ctx, bucket, prefix) {
		return false, err
	}
	return true, nil
}

func (a auditor) Identity(ctx context.Context, bucket string) (string, error) {
	body, err := a.store.Get(ctx, bucket, objectkey.IdentityKey, 0, -1)
	if err != nil {
		return "", err
	}
	var identity objectkey.Identity
	err = json.NewDecoder(body).Decode(&identity)
	return identity.Store, errors.Join(err, body.Close())
}

// end plays the deletion of the run, restarting after every error.
func (w *whole) end() {
	w.t.Helper()
	w.remove(makeRun())
	w.drive(func() { w.podGoes() })
}

// drive reconciles until nothing changes any more, and again after the event.
func (w *whole) drive(event func()) {
	w.t.Helper()
	quiet := 0
	for range 30 {
		writes := len(w.calls.writes)
		_, err := w.reconcile()
		switch {
		case err != nil:
			w.restart()
		case writes != len(w.calls.writes):
		case quiet == 0:
			quiet++
			event()
		default:
			return
		}
	}
	w.t.Fatal("does not settle")
}

func (w *whole) checkEnd() {
	w.t.Helper()
	ctx := w.t.Context()
	if w.run() != nil {
		w.t.Fatal("the run is still there")
	}
	gone, err := auditor{w.store}.Empty(ctx, "artifacts", ownPrefix)
	if err != nil || !gone {
		w.t.Errorf("the artifacts are still there (error %v)", err)
	}
	theirs := 0
	for _, err := range w.store.ListVersions(ctx, "artifacts", neighbourPrefix) {
		w.must(err)
		theirs++
	}
	if theirs != 4 {
		w.t.Errorf("of the neighbour's 4 versions %d are left", theirs)
	}
	receipt, digest := w.receipt()
	want := w.life.receipt()
	want.Versions, want.VersionBytes, want.Uploads, want.Sequence = 4, 15, 1, 1
	if diff := cmp.Diff(want, receipt); diff != "" {
		w.t.Errorf("receipt (-want +got):\n%s", diff)
	}
	accounts, err := ledger.New(w.store, "ledger")
	w.must(err)
	account, err := accounts.Read(ctx, "team-a", runUID)
	w.must(err)
	if last, _ := account.Last(objectkey.LedgerErased); last.ReceiptDigest != digest {
		w.t.Errorf("the ledger says %+v, want an erase with the receipt %s", account, digest)
	}
	if account.Record == nil || account.Record.Store != testStore {
		w.t.Errorf("the ledger's record is %+v", account.Record)
	}
}

// receipt gives the one receipt of the chain, verified, and its digest.
func (w *whole) receipt() (objectkey.EraseReceipt, string) {
	w.t.Helper()
	chain := 0
	for _, err := range w.store.ListVersions(w.t.Context(), "receipts", "chain/") {
		w.must(err)
		chain++
	}
	if chain != 1 {
		w.t.Errorf("%d receipts in the chain, want 1", chain)
	}
	body, err := w.store.Get(w.t.Context(), "receipts", objectkey.Receipt("team-a", runUID), 0, -1)
	w.must(err)
	data, err := io.ReadAll(body)
	w.must(errors.Join(err, body.Close()))
	public, ok := w.key.Public().(ed25519.PublicKey)
	if !ok {
		w.t.Fatal("not a public key")
	}
	receipt, err := objectkey.Verify(data, []ed25519.PublicKey{public})
	w.must(err)
	return receipt, objectkey.Digest(data)
}

// TestEveryRequestOfAnErase lets every single request to the store fail in turn, from
// the deletion of a run until the end, before and after its effect, alone and as the
// death of the process.
func TestEveryRequestOfAnErase(t *testing.T) {
	t.Parallel()
	kinds := map[string]objectstoretest.Fault{
		"request fails": {}, "answer is lost": {After: true},
		"process dies before": {Crash: true}, "process dies after": {Crash: true, After: true},
	}
	requests := endWith(t, objectstoretest.Fault{})
	t.Logf("%d crash points, of which one in %d is tried", requests*len(kinds), apitest.Stride)
	for kind, fault := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= requests; n += apitest.Stride {
				fault.Call = n
				endWith(t, fault)
				if t.Failed() {
					t.Fatalf("at request %d", n)
				}
			}
		})
	}
}

// endWith lives a life whose end meets the fault, and gives how many requests that
// end took.
func endWith(t *testing.T, fault objectstoretest.Fault) (requests int) {
	t.Helper()
	// In a bubble the engine's pauses take no time.
	synctest.Test(t, func(t *testing.T) {
		w := newWhole(t)
		w.drive(func() { w.podIs() })
		w.store.SetFault(fault)
		w.end()
		requests = w.store.Calls()
		w.store.SetFault(objectstoretest.Fault{})
		w.checkEnd()
	})
	return requests
}
