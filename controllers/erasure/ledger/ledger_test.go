package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

const uid = "6f9619ff-8b86-4011-b42d-00c04fc964ff"

func at(second int) time.Time { return time.Date(2026, 1, 2, 3, 4, second, 0, time.UTC) }

func recordOf(uid string) objectkey.LedgerRecord {
	return objectkey.LedgerRecord{
		Kind: objectkey.LedgerKind, Resource: objectkey.ResourceDataset, Namespace: "ns", UID: uid,
		Store: "00112233445566778899aabbccddeeff", Bucket: "lethe-datasets", Prefix: objectkey.OwnerPrefix("ns", uid),
		CreatedTime: at(0), EraseBy: at(0).AddDate(0, 0, 30),
	}
}

func uidOf(n int) string { return fmt.Sprintf("6f9619ff-8b86-4011-b42d-%012x", n) }

func event(name string, second int) objectkey.LedgerEvent {
	e := objectkey.LedgerEvent{Kind: objectkey.LedgerKind, Event: name, Time: at(second)}
	switch name {
	case objectkey.LedgerHeld:
		e.Reason, e.Until = "case 5", at(second).AddDate(1, 0, 0)
	case objectkey.LedgerErased:
		e.ReceiptDigest = objectkey.Digest(nil)
	}
	return e
}

// world is a ledger in a store.
type world struct {
	objectstoretest.Harness
	bucket string
	ledger *ledger.Ledger
}

func newWorld(t *testing.T, h objectstoretest.Harness) *world {
	t.Helper()
	w := &world{Harness: h, bucket: h.Bucket(t, objectstoretest.Versioned)}
	l, err := ledger.New(h, w.bucket)
	if err != nil {
		t.Fatalf("make a ledger: %v", err)
	}
	w.ledger = l
	return w
}

func memory(t *testing.T) (*world, *objectstoretest.Store) {
	t.Helper()
	h := objectstoretest.Memory(t)
	s, ok := h.Backend.(*objectstoretest.Store)
	if !ok {
		t.Fatal("the store in memory is another one")
	}
	return newWorld(t, h), s
}

// worlds are one in memory and one on MinIO.
func worlds() map[string]func(*testing.T) *world {
	return map[string]func(*testing.T) *world{
		"in memory": func(t *testing.T) *world { t.Helper(); w, _ := memory(t); return w },
		"on MinIO": func(t *testing.T) *world {
			t.Helper()
			return newWorld(t, objectstoretest.Real(t, objectstoretest.StartMinIO(t)))
		},
	}
}

func (w *world) put(t *testing.T, key, contents string) {
	t.Helper()
	err := w.Put(t.Context(), w.bucket, key, strings.NewReader(contents), int64(len(contents)), objectstore.PutOptions{})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
}

func (w *world) open(t *testing.T, r objectkey.LedgerRecord) {
	t.Helper()
	if err := w.ledger.Open(t.Context(), r); err != nil {
		t.Fatalf("open: %v", err)
	}
}

func (w *world) note(t *testing.T, e objectkey.LedgerEvent) {
	t.Helper()
	if err := w.ledger.Note(t.Context(), "ns", uid, e); err != nil {
		t.Fatalf("note %s: %v", e.Event, err)
	}
}

// wantAccount also makes sure that nothing was ever written twice.
func (w *world) wantAccount(t *testing.T, want ledger.Account) {
	t.Helper()
	got, err := w.ledger.Read(t.Context(), "ns", uid)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
	seen := map[string]bool{}
	for v, err := range w.ListVersions(t.Context(), w.bucket, "") {
		if err != nil {
			t.Fatalf("list versions: %v", err)
		}
		if seen[v.Key] || v.Marker {
			t.Errorf("%s was written again", v.Key)
		}
		seen[v.Key] = true
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	for name, build := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := build(t)
			w.wantAccount(t, ledger.Account{Namespace: "ns", UID: uid})
			record := recordOf(uid)
			w.open(t, record)
			w.open(t, recordOf(uidOf(1)))
			want := ledger.Account{Namespace: "ns", UID: uid, Record: &record}
			w.wantAccount(t, want)

			later := record
			later.CreatedTime, later.EraseBy = at(9), time.Time{}
			w.open(t, later)
			w.wantAccount(t, want)

			want.Events = map[string][]objectkey.LedgerEvent{}
			for second, name := range []string{
				objectkey.LedgerHeld, objectkey.LedgerReleased, objectkey.LedgerHeld, objectkey.LedgerRetained,
				objectkey.LedgerOrphaned, objectkey.LedgerErased,
			} {
				e := event(name, second+10)
				w.note(t, e)
				w.note(t, e)
				want.Events[name] = append(want.Events[name], e)
				w.wantAccount(t, want)
			}
			for _, name := range []string{objectkey.LedgerRetained, objectkey.LedgerOrphaned, objectkey.LedgerErased} {
				err := w.ledger.Note(t.Context(), "ns", uid, event(name, 59))
				if after := name != objectkey.LedgerErased; errors.Is(err, ledger.ErrErased) != after || (err != nil) != after {
					t.Errorf("%s once more gives %v", name, err)
				}
			}
			w.wantAccount(t, want)
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	opened := func(t *testing.T, w *world) { t.Helper(); w.open(t, recordOf(uid)) }
	erased := func(t *testing.T, w *world) { t.Helper(); w.note(t, event(objectkey.LedgerErased, 1)) }
	held := func(t *testing.T, w *world) { t.Helper(); w.note(t, event(objectkey.LedgerHeld, 1)) }
	lies := func(key, contents string) func(t *testing.T, w *world) {
		return func(t *testing.T, w *world) { t.Helper(); w.put(t, key, contents) }
	}
	open := func(change func(*objectkey.LedgerRecord)) func(context.Context, *ledger.Ledger) error {
		return func(ctx context.Context, l *ledger.Ledger) error {
			r := recordOf(uid)
			change(&r)
			return l.Open(ctx, r)
		}
	}
	note := func(e objectkey.LedgerEvent) func(context.Context, *ledger.Ledger) error {
		return func(ctx context.Context, l *ledger.Ledger) error { return l.Note(ctx, "ns", uid, e) }
	}
	other := event(objectkey.LedgerErased, 1)
	other.ReceiptDigest = objectkey.Digest([]byte("another"))
	otherHold := event(objectkey.LedgerHeld, 1)
	otherHold.Reason = "case 6"
	otherEnd := event(objectkey.LedgerHeld, 1)
	otherEnd.Until = otherEnd.Until.Add(time.Second)
	for name, c := range map[string]struct {
		before func(t *testing.T, w *world)
		call   func(ctx context.Context, l *ledger.Ledger) error
		want   error
	}{
		"a record without sense":         {nil, open(func(r *objectkey.LedgerRecord) { r.Prefix = "ns/" }), objectkey.ErrBadLedger},
		"a record for another bucket":    {opened, open(func(r *objectkey.LedgerRecord) { r.Bucket = "other" }), ledger.ErrConflict},
		"a record for another store":     {opened, open(func(r *objectkey.LedgerRecord) { r.Store = strings.Repeat("0", 32) }), ledger.ErrConflict},
		"a record for another key":       {opened, open(func(r *objectkey.LedgerRecord) { r.KeyID = strings.Repeat("0", 32) }), ledger.ErrConflict},
		"a record for another resource":  {opened, open(func(r *objectkey.LedgerRecord) { r.Resource = objectkey.ResourceRun }), ledger.ErrConflict},
		"a record after the erase":       {erased, open(func(*objectkey.LedgerRecord) {}), ledger.ErrErased},
		"a record after a bad tombstone": {lies(objectkey.OwnerPrefix("ns", uid)+"erased.json", "x"), open(func(*objectkey.LedgerRecord) {}), ledger.ErrErased},
		"a record where junk lies":       {lies(objectkey.LedgerRecordKey("ns", uid), "junk"), open(func(*objectkey.LedgerRecord) {}), ledger.ErrMalformed},
		"an event without sense":         {nil, note(objectkey.LedgerEvent{Event: "x"}), objectkey.ErrBadLedger},
		"an event of nobody": {nil, func(ctx context.Context, l *ledger.Ledger) error {
			return l.Note(ctx, "..", uid, event(objectkey.LedgerErased, 1))
		}, objectkey.ErrBadOwner},
		"a hold after the erase":    {erased, note(event(objectkey.LedgerHeld, 2)), ledger.ErrErased},
		"another receipt":           {erased, note(other), ledger.ErrConflict},
		"another hold at that time": {held, note(otherHold), ledger.ErrConflict},
		"another end at that time":  {held, note(otherEnd), ledger.ErrConflict},
		"an event where junk lies":  {lies(objectkey.OwnerPrefix("ns", uid)+"orphaned.json", "junk"), note(event(objectkey.LedgerOrphaned, 1)), ledger.ErrMalformed},
		"reading an account of nobody": {nil, func(ctx context.Context, l *ledger.Ledger) error {
			_, err := l.Read(ctx, "ns", "")
			return err
		}, objectkey.ErrBadOwner},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := memory(t)
			if c.before != nil {
				c.before(t, w)
			}
			before := w.state(t)
			if err := c.call(t.Context(), w.ledger); !errors.Is(err, c.want) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
			if diff := cmp.Diff(before, w.state(t)); diff != "" {
				t.Errorf("and it changed the ledger:\n%s", diff)
			}
		})
	}
}

// state is all that was ever written.
func (w *world) state(t *testing.T) []string {
	t.Helper()
	all := []string{}
	for v, err := range w.ListVersions(t.Context(), w.bucket, "") {
		if err != nil {
			t.Fatalf("list versions: %v", err)
		}
		all = append(all, fmt.Sprint(v))
	}
	return all
}

func TestReadRefusesWhatIsMalformed(t *testing.T) {
	t.Parallel()
	good, err := recordOf(uid).Encode()
	if err != nil {
		t.Fatal(err)
	}
	others, err := recordOf(uidOf(1)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	hold, err := event(objectkey.LedgerHeld, 1).Encode()
	if err != nil {
		t.Fatal(err)
	}
	const secret = "somebody's secret"
	for name, c := range map[string]struct{ name, contents string }{
		"junk for a record":             {"record.json", secret},
		"nothing for a record":          {"record.json", ""},
		"a record without end":          {"record.json", string(good) + strings.Repeat(" ", objectkey.MaxLedgerEntry)},
		"a record with a line end":      {"record.json", string(good) + "\n"},
		"another's record":              {"record.json", string(others)},
		"an event for a record":         {"record.json", string(hold)},
		"a record for an event":         {"erased.json", string(good)},
		"an event under another name":   {"erased.json", string(hold)},
		"a hold of another time":        {"held-20260102T030402Z.json", string(hold)},
		"an event nobody knows":         {"lost.json", `{"event":"lost","kind":"lethe.dev/ledger/v1","time":"2026-01-02T03:04:05Z"}`},
		"something below":               {"held/" + secret, string(hold)},
		"something with another ending": {"record.json~", string(good)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := memory(t)
			w.open(t, recordOf(uidOf(1)))
			w.open(t, recordOf(uidOf(2)))
			key := objectkey.OwnerPrefix("ns", uidOf(1)) + c.name
			if strings.HasPrefix(c.contents, string(good)) || c.contents == string(others) {
				key = objectkey.OwnerPrefix("ns", uid) + c.name
			}
			_, owner, _ := strings.Cut(strings.TrimSuffix(key, "/"+c.name), "/")
			w.put(t, key, c.contents)
			got, err := w.ledger.Read(t.Context(), "ns", owner)
			if !errors.Is(err, ledger.ErrMalformed) || !strings.Contains(err.Error(), "ns/"+owner) || strings.Contains(err.Error(), secret) {
				t.Errorf("got error %v, want %v that names the owner only", err, ledger.ErrMalformed)
			}
			if diff := cmp.Diff(ledger.Account{}, got); diff != "" {
				t.Errorf("and an account:\n%s", diff)
			}
			bad, fine := 0, 0
			for a, err := range w.ledger.All(t.Context()) {
				switch {
				case errors.Is(err, ledger.ErrMalformed) && a.UID == owner && a.Record == nil:
					bad++
				case err == nil && a.Record != nil:
					fine++
				default:
					t.Errorf("the walk gives %+v, %v", a, err)
				}
			}
			if bad != 1 || fine == 0 {
				t.Errorf("the walk gives %d bad accounts and %d fine ones", bad, fine)
			}
		})
	}
}

func TestHeld(t *testing.T) {
	t.Parallel()
	hold, release := objectkey.LedgerHeld, objectkey.LedgerReleased
	year := at(0).AddDate(1, 0, 0)
	for name, c := range map[string]struct {
		events []objectkey.LedgerEvent
		now    time.Time
		want   int // the second of the hold; 0: none
	}{
		"never held":                           {nil, at(9), 0},
		"held":                                 {[]objectkey.LedgerEvent{event(hold, 1)}, at(9), 1},
		"held until then":                      {[]objectkey.LedgerEvent{event(hold, 1)}, year.Add(time.Second), 0},
		"held until a moment later":            {[]objectkey.LedgerEvent{event(hold, 1)}, year, 1},
		"released":                             {[]objectkey.LedgerEvent{event(hold, 1), event(release, 2)}, at(9), 0},
		"held again":                           {[]objectkey.LedgerEvent{event(hold, 3), event(release, 2), event(hold, 1)}, at(9), 3},
		"held and released in the same second": {[]objectkey.LedgerEvent{event(hold, 2), event(release, 2)}, at(9), 2},
		"released without having been held":    {[]objectkey.LedgerEvent{event(release, 2)}, at(9), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := memory(t)
			for _, e := range c.events {
				w.note(t, e)
			}
			a, err := w.ledger.Read(t.Context(), "ns", uid)
			if err != nil || a.Found() != (len(c.events) > 0) {
				t.Fatalf("read: found %v, %v", a.Found(), err)
			}
			got, held := a.Held(c.now)
			if held != (c.want > 0) || (held && !got.Time.Equal(at(c.want))) {
				t.Errorf("held is %v by %+v, want that of second %d", held, got, c.want)
			}
		})
	}
}

// TestCrashAtEveryCall stops each call of the ledger at each call of the store, before
// and after its effect, and repeats it a second later.
func TestCrashAtEveryCall(t *testing.T) {
	t.Parallel()
	live := func(ctx context.Context, l *ledger.Ledger, second int) error {
		r := recordOf(uid)
		r.CreatedTime = at(second)
		if err := l.Open(ctx, r); err != nil && !errors.Is(err, ledger.ErrErased) {
			return err
		}
		for _, name := range []string{objectkey.LedgerOrphaned, objectkey.LedgerErased} {
			if err := l.Note(ctx, "ns", uid, event(name, second)); err != nil && !errors.Is(err, ledger.ErrErased) {
				return err
			}
		}
		return nil
	}
	w, s := memory(t)
	s.SetFault(objectstoretest.Fault{})
	if err := live(t.Context(), w.ledger, 1); err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	calls := s.Calls()
	if calls < 5 {
		t.Fatalf("only %d calls to crash at", calls)
	}
	for call := 1; call <= calls; call++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d of %d, after %v", call, calls, after), func(t *testing.T) {
				t.Parallel()
				w, s := memory(t)
				s.SetFault(objectstoretest.Fault{Call: call, After: after, Crash: true})
				if err := live(t.Context(), w.ledger, 1); !errors.Is(err, objectstore.ErrUnavailable) {
					t.Errorf("the crash gave %v", err)
				}
				s.SetDown(false)
				if err := live(t.Context(), w.ledger, 2); err != nil {
					t.Fatalf("after the crash: %v", err)
				}
				a, err := w.ledger.Read(t.Context(), "ns", uid)
				if err != nil || a.Record == nil || len(a.Events) != 2 || len(a.Events[objectkey.LedgerErased]) != 1 {
					t.Errorf("the account is %+v, %v", a, err)
				}
				if got := w.state(t); len(got) != 3 {
					t.Errorf("the store holds %v", got)
				}
			})
		}
	}
	t.Logf("%d crash points", 2*calls)
}

func TestAll(t *testing.T) {
	t.Parallel()
	for name, build := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := build(t)
			w.put(t, objectkey.IdentityKey, "{}")
			want := []string{}
			var writing sync.WaitGroup
			for n := range 150 {
				want = append(want, uidOf(n))
				writing.Go(func() {
					r := recordOf(uidOf(n))
					if err := w.ledger.Open(t.Context(), r); err != nil {
						t.Errorf("open: %v", err)
					}
					if n%3 != 0 {
						return
					}
					if err := w.ledger.Note(t.Context(), "ns", uidOf(n), event(objectkey.LedgerErased, 1)); err != nil {
						t.Errorf("note: %v", err)
					}
				})
			}
			writing.Wait()
			got := []string{}
			for a, err := range w.ledger.All(t.Context()) {
				_, erased := a.Last(objectkey.LedgerErased)
				if err != nil || a.Record == nil || a.Record.UID != a.UID || erased != (len(got)%3 == 0) {
					t.Fatalf("the walk gives %+v, %v", a, err)
				}
				got = append(got, a.UID)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("accounts (-want +got):\n%s", diff)
			}
			for a, err := range w.ledger.All(t.Context()) {
				if err != nil || a.UID != uidOf(0) {
					t.Errorf("the first is %+v, %v", a, err)
				}
				break
			}
		})
	}
}

func TestAllOfNothing(t *testing.T) {
	t.Parallel()
	for name, build := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := build(t)
			for a, err := range w.ledger.All(t.Context()) {
				t.Errorf("an empty ledger gives %+v, %v", a, err)
			}
			missing, err := ledger.New(w, "no-such-bucket")
			if err != nil {
				t.Fatal(err)
			}
			errs := 0
			for _, err := range missing.All(t.Context()) {
				if !errors.Is(err, objectstore.ErrNotFound) {
					t.Errorf("a bucket that is not there gives %v", err)
				}
				errs++
			}
			if errs != 1 {
				t.Errorf("a bucket that is not there gives %d errors", errs)
			}
		})
	}
}

// TestAllThatFails: each call of the walk fails in turn, and the walk is then not
// complete without saying so.
func TestAllThatFails(t *testing.T) {
	t.Parallel()
	build := func(t *testing.T) (*world, *objectstoretest.Store) {
		t.Helper()
		w, s := memory(t)
		s.SetPage(7)
		for n := range 20 {
			w.open(t, recordOf(uidOf(n)))
		}
		return w, s
	}
	w, s := build(t)
	s.SetFault(objectstoretest.Fault{})
	for _, err := range w.ledger.All(t.Context()) {
		if err != nil {
			t.Fatalf("without a fault: %v", err)
		}
	}
	calls := s.Calls()
	for call := 1; call <= calls; call++ {
		t.Run(fmt.Sprintf("call %d of %d", call, calls), func(t *testing.T) {
			t.Parallel()
			w, s := build(t)
			s.SetFault(objectstoretest.Fault{Call: call})
			var last error
			for _, err := range w.ledger.All(t.Context()) {
				if last != nil {
					t.Errorf("the walk goes on after %v", last)
				}
				last = err
			}
			if !errors.Is(last, objectstore.ErrUnavailable) {
				t.Errorf("the walk ends with %v", last)
			}
		})
	}
}

// counting is a store that counts who reads at once.
type counting struct {
	ledger.Store
	now, most atomic.Int64
}

func (s *counting) Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error) {
	now := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	runtime.Gosched() // so that others come, if they may
	return s.Store.Get(ctx, bucket, key, offset, length)
}

func TestAllIsBounded(t *testing.T) {
	t.Parallel()
	w, _ := memory(t)
	for n := range 200 {
		w.open(t, recordOf(uidOf(n)))
	}
	s := &counting{Store: w}
	l, err := ledger.New(s, w.bucket)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range l.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if most := s.most.Load(); n != 200 || most > 20 {
		t.Errorf("%d accounts, %d read at once", n, most)
	}
}

// TestAllEndsWithItsContext: however far a walk has come, its end is not taken for that
// of the ledger.
func TestAllEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w, _ := memory(t)
	const owners = 100
	for n := range owners {
		w.open(t, recordOf(uidOf(n)))
	}
	for end := range owners {
		ctx, cancel := context.WithCancel(t.Context())
		var last error
		n := 0
		for _, err := range w.ledger.All(ctx) {
			if last != nil {
				t.Errorf("after %v comes %v", last, err)
			}
			if last = err; n == end {
				cancel()
			}
			n++
		}
		cancel()
		if !errors.Is(last, context.Canceled) {
			t.Errorf("ended at account %d the walk gives %d and ends with %v, want %v", end, n, last, context.Canceled)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range w.ledger.All(ctx) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("ended before its start the walk ends with %v, want %v", last, context.Canceled)
	}
}

func TestNewNeedsAStoreAndABucket(t *testing.T) {
	t.Parallel()
	if _, err := ledger.New(nil, "bucket"); err == nil {
		t.Error("made without a store")
	}
	if _, err := ledger.New(objectstoretest.NewStore(), ""); err == nil {
		t.Error("made without a bucket")
	}
}
