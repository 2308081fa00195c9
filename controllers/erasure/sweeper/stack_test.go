package sweeper

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// stack is a sweeper on all that it will really have, but for the API server, which is
// that of a world.
type stack struct {
	*world
	objectstoretest.Harness
	datasets, artifacts, receiptsBucket string

	// restarted processes may have forgotten the names of keys that they destroyed.
	restarted bool

	ring   *datasetkey.Ring
	ledger *ledger.Ledger
	book   *receipts.Book
	engine *erasure.Engine
}

// hasty does not pause.
type hasty struct{ clock.RealClock }

func (hasty) NewTimer(time.Duration) clock.Timer { return clock.RealClock{}.NewTimer(0) }

// witness audits a store in memory, which has no other credentials.
type witness struct{ objectstoretest.Backend }

func (w witness) Empty(ctx context.Context, bucket, prefix string) (bool, error) {
	for _, err := range w.ListVersions(ctx, bucket, prefix) {
		return false, err
	}
	for _, err := range w.ListUploads(ctx, bucket, prefix) {
		return false, err
	}
	return true, nil
}

func (w witness) Identity(ctx context.Context, bucket string) (string, error) {
	body, err := w.Get(ctx, bucket, objectkey.IdentityKey, 0, -1)
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	_, rest, _ := strings.Cut(string(data), `"store":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id, err
}

func newStack(t *testing.T, h objectstoretest.Harness, auditor erasure.Auditor) *stack {
	t.Helper()
	w := newWorld()
	s := &stack{
		world: w, Harness: h,
		datasets: h.Bucket(t, objectstoretest.Versioned), artifacts: h.Bucket(t, objectstoretest.Unversioned),
		receiptsBucket: h.Bucket(t, objectstoretest.Locked),
	}
	ledgerBucket := h.Bucket(t, objectstoretest.Versioned)
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	secrets := fake.NewClientBuilder().WithScheme(scheme).Build()
	var err1, err2, err3, err4 error
	s.ring, err1 = datasetkey.New(datasetkey.Options{Client: secrets, Live: secrets, Namespace: "lethe-system", Random: rand.Reader})
	s.ledger, err2 = ledger.New(h.Backend, ledgerBucket)
	s.book, err3 = receipts.New(receipts.Options{Store: h.Backend, Bucket: s.receiptsBucket, Signer: signer()})
	s.engine, err4 = erasure.New(erasure.Options{
		Store: h.Backend, Auditor: auditor, ReceiptsBucket: s.receiptsBucket, LedgerBucket: ledgerBucket, Clock: hasty{},
	})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{s.datasets, s.artifacts, ledgerBucket} {
		id, err := erasure.EnsureIdentity(t.Context(), h.Backend, bucket, "", rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w.ids[bucket] = id
	}
	w.opts.DatasetsBucket, w.opts.ArtifactsBucket, w.opts.LedgerBucket = s.datasets, s.artifacts, ledgerBucket
	w.opts.Store, w.opts.Ledger, w.opts.Engine, w.opts.Receipts, w.opts.Keys = h.Backend, s.ledger, s.engine, s.book, s.ring
	return s
}

func signer() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

func (s *stack) put(t *testing.T, bucket, key string) {
	t.Helper()
	const text = "somebody's data"
	if err := s.Backend.Put(t.Context(), bucket, key, strings.NewReader(text), int64(len(text)), objectstore.PutOptions{}); err != nil {
		t.Fatalf("put: %v", err)
	}
}

// upload fills a place: two versions, a marker, and an unfinished upload.
func (s *stack) upload(t *testing.T, p place) {
	t.Helper()
	for _, name := range []string{"data/a", "data/a", "data/b", "manifest.jsonl"} {
		s.put(t, p.bucket, p.prefix()+name)
	}
	s.Harness.Delete(t, p.bucket, p.prefix()+"data/b")
	s.Harness.BeginUpload(t, p.bucket, p.prefix()+"data/c")
}

// account opens an account, with a key for a dataset.
func (s *stack) account(t *testing.T, p place) {
	t.Helper()
	record := objectkey.LedgerRecord{
		Resource: objectkey.ResourceRun, Namespace: p.namespace, UID: string(p.uid()),
		Store: s.ids[p.bucket], Bucket: p.bucket, Prefix: p.prefix(), CreatedTime: epoch,
	}
	if p.bucket == s.datasets {
		_, err := s.ring.Ensure(t.Context(), p.uid())
		fatal(t, err)
		record.Resource, record.EraseBy = objectkey.ResourceDataset, epoch.Add(1000*time.Hour)
	}
	if err := s.ledger.Open(t.Context(), record); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) event(t *testing.T, p place, e objectkey.LedgerEvent) {
	t.Helper()
	e.Time = epoch
	if err := s.ledger.Note(t.Context(), p.namespace, string(p.uid()), e); err != nil {
		t.Fatal(err)
	}
}

// cast are the owners of the story.
type cast struct {
	ready, orphan, late, held place // datasets
	unknown                   place // dataset without an account
	retained, left            place // runs; left has lost its namespace
}

// arrange puts everybody into the stack.
func (s *stack) arrange(t *testing.T) cast {
	t.Helper()
	c := cast{
		ready: at(s.datasets, "ns", uid1), orphan: at(s.datasets, "ns", uid2), late: at(s.datasets, "ns", uid3),
		held: at(s.datasets, "ns", uid4), unknown: at(s.datasets, "ns", uid5), retained: at(s.artifacts, "ns", uid6),
		left: at(s.artifacts, "gone", uid7),
	}
	for _, p := range []place{c.ready, c.orphan, c.late, c.held, c.retained, c.left} {
		s.account(t, p)
	}
	for _, p := range []place{c.ready, c.orphan, c.late, c.held, c.unknown, c.retained, c.left} {
		s.upload(t, p)
	}
	s.spaces["ns"][objectkey.ResourceDataset][c.ready.uid()] = Object{Name: "ready", State: v1alpha1.DatasetReady}
	s.event(t, c.late, objectkey.LedgerEvent{Event: objectkey.LedgerErased, ReceiptDigest: objectkey.Digest(nil)})
	s.event(t, c.held, objectkey.LedgerEvent{Event: objectkey.LedgerHeld, Reason: "case 1", Until: epoch.Add(1000 * time.Hour)})
	s.event(t, c.retained, objectkey.LedgerEvent{Event: objectkey.LedgerRetained})
	s.event(t, c.left, objectkey.LedgerEvent{Event: objectkey.LedgerRetained})
	for _, key := range []string{"holidays.zip", "ns/holidays/1.jpg", "ns/" + uid1} {
		s.put(t, s.datasets, key)
	}
	return c
}

// keys are all keys with a version, a marker or an upload.
func (s *stack) keys(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, bucket := range []string{s.datasets, s.artifacts} {
		for v, err := range s.Backend.ListVersions(t.Context(), bucket, "") {
			all = append(all, v.Key)
			fatal(t, err)
		}
		for u, err := range s.Backend.ListUploads(t.Context(), bucket, "") {
			all = append(all, u.Key)
			fatal(t, err)
		}
	}
	slices.Sort(all)
	return all
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantEnd wants the end of the story: what was dead is gone with all its words, and
// nothing else is.
func (s *stack) wantEnd(t *testing.T, c cast, before []string) {
	t.Helper()
	dead := []place{c.orphan, c.late, c.unknown, c.left}
	want := slices.DeleteFunc(slices.Clone(before), func(key string) bool {
		return slices.ContainsFunc(dead, func(p place) bool { return strings.HasPrefix(key, p.prefix()) })
	})
	if diff := cmp.Diff(want, s.keys(t)); diff != "" {
		t.Errorf("the store (-want +got):\n%s", diff)
	}
	s.wantReceipt(t, c.orphan, true)
	s.wantReceipt(t, c.unknown, false)
	s.wantReceipt(t, c.left, false)
	for _, p := range []place{c.orphan, c.late} {
		if _, err := s.ring.Get(t.Context(), p.uid()); !errors.Is(err, datasetkey.ErrNotFound) {
			t.Errorf("the key of %s: %v", p.prefix(), err)
		}
	}
	for _, p := range []place{c.ready, c.held} {
		if _, err := s.ring.Get(t.Context(), p.uid()); err != nil {
			t.Errorf("the key of %s: %v", p.prefix(), err)
		}
	}
	for _, p := range []place{c.ready, c.held, c.retained} {
		a, err := s.ledger.Read(t.Context(), p.namespace, string(p.uid()))
		if err != nil || len(a.Events[objectkey.LedgerErased]) > 0 {
			t.Errorf("the account of %s: %v, %v", p.prefix(), a.Events, err)
		}
	}
}

// wantReceipt wants a signed receipt whose digest closes the account.
func (s *stack) wantReceipt(t *testing.T, p place, hadKey bool) {
	t.Helper()
	body, err := s.Backend.Get(t.Context(), s.receiptsBucket, objectkey.Receipt(p.namespace, string(p.uid())), 0, -1)
	fatal(t, err)
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	fatal(t, err)
	r, err := objectkey.Verify(data, []ed25519.PublicKey{ed25519.PublicKey(signer()[ed25519.SeedSize:])})
	named := r.KeyID != "" && r.KeyDestroyedTime != nil
	if err != nil || r.UID != string(p.uid()) || r.Trigger != objectkey.TriggerOrphaned ||
		!s.restarted && named != hadKey {
		t.Errorf("the receipt of %s: %+v, %v", p.prefix(), r, err)
	}
	a, err := s.ledger.Read(t.Context(), p.namespace, string(p.uid()))
	fatal(t, err)
	if erased, _ := a.Last(objectkey.LedgerErased); erased.ReceiptDigest != objectkey.Digest(data) {
		t.Errorf("the ledger names the receipt %q of %s", erased.ReceiptDigest, p.prefix())
	}
}

func TestSweepInMemory(t *testing.T) {
	t.Parallel()
	h := objectstoretest.Memory(t)
	sweepStory(t, newStack(t, h, witness{h.Backend}))
}

func TestSweepOnMinIO(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	auditor, err := audit.New(audit.Config{
		Endpoint: server.Endpoint, CABundle: server.CA, Credentials: objectstore.Static(server.Root),
	})
	fatal(t, err)
	sweepStory(t, newStack(t, objectstoretest.Real(t, server), auditor))
}

func sweepStory(t *testing.T, s *stack) {
	t.Helper()
	c := s.arrange(t)
	before := s.keys(t)
	sweeper := s.sweeper(t)
	report := sweep(t, sweeper)
	// Three keys are nobody's.
	wantFindings(t, report, map[Kind]int{KindOrphan: 3, KindHeld: 1, KindLateData: 1, KindForeign: 3})
	if report.Marked != 3 || report.Erased[KindLateData] != 1 {
		t.Errorf("the first sweep: %+v", report)
	}
	s.clock.Step(grace)
	report = sweep(t, sweeper)
	wantFindings(t, report, map[Kind]int{KindOrphan: 3, KindHeld: 1, KindForeign: 3})
	s.wantEnd(t, c, before)

	// A request that began before the end of its credentials.
	s.put(t, c.orphan.bucket, c.orphan.prefix()+"data/late")
	s.Harness.BeginUpload(t, c.orphan.bucket, c.orphan.prefix()+"data/later")
	report = sweep(t, sweeper)
	wantFindings(t, report, map[Kind]int{KindHeld: 1, KindLateData: 1, KindForeign: 3})
	s.wantEnd(t, c, before)
	wantFindings(t, sweep(t, sweeper), map[Kind]int{KindHeld: 1, KindForeign: 3})
}

// TestStoreFaults lets each call of the store fail in turn, before and after it takes
// effect, once or from then on until the process starts again.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, fault objectstoretest.Fault) (calls int) {
		t.Helper()
		h := objectstoretest.Memory(t)
		store, ok := h.Backend.(*objectstoretest.Store)
		if !ok {
			t.Fatal("the store in memory is another one")
		}
		s := newStack(t, h, witness{h.Backend})
		c := s.arrange(t)
		before := s.keys(t)
		store.SetFault(fault)
		sweeper := s.sweeper(t)
		for i := range 5 {
			if _, err := sweeper.Sweep(t.Context()); err != nil {
				if fault.Call == 0 {
					t.Fatalf("sweep: %v", err)
				}
				sweeper, s.restarted = s.sweeper(t), true
				store.SetDown(false)
			}
			if i == 1 {
				calls = store.Calls()
			}
			s.clock.Step(grace)
		}
		store.SetFault(objectstoretest.Fault{})
		s.wantEnd(t, c, before)
		return calls
	}
	calls := run(t, objectstoretest.Fault{})
	if calls < 100 {
		t.Fatalf("only %d calls of the store", calls)
	}
	points := 0
	for n := 1; n <= calls; n++ {
		for _, fault := range []objectstoretest.Fault{
			{Call: n},
			{Call: n, After: true},
			{Call: n, Crash: true},
			{Call: n, Crash: true, After: true},
			{Call: n, Err: objectstore.ErrDenied},
		} {
			points++
			run(t, fault)
			if t.Failed() {
				t.Fatalf("the fault is %+v", fault)
			}
		}
	}
	t.Logf("%d points", points)
}

// TestAListingThatBreaksOff is the classic: the owners that it did not come to look as
// if they had no data, and those that it did as if they were all.
func TestAListingThatBreaksOff(t *testing.T) {
	t.Parallel()
	h := objectstoretest.Memory(t)
	s := newStack(t, h, witness{h.Backend})
	s.arrange(t)
	before := s.keys(t)
	s.opts.Store = broken{h.Backend}
	s.opts.Grace = -1
	sweeper := s.sweeper(t)
	for range 3 {
		if _, err := sweeper.Sweep(t.Context()); !errors.Is(err, objectstore.ErrUnavailable) {
			t.Errorf("the sweep says %v", err)
		}
	}
	if diff := cmp.Diff(before, s.keys(t)); diff != "" {
		t.Errorf("the store (-want +got):\n%s", diff)
	}
}

// broken gives one owner and an error.
type broken struct{ Store }

func (b broken) ListOwners(ctx context.Context, bucket string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for key, err := range b.Store.ListOwners(ctx, bucket) {
			if err != nil {
				yield("", err)
				return
			}
			if yield(key, nil) {
				yield("", objectstore.ErrUnavailable)
			}
			return
		}
	}
}
