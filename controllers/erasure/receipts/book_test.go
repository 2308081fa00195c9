package receipts_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	for name, build := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := build(t)
			b := w.book(t)
			first := write(t, b, 1)
			later := receipt(1)
			later.Versions, later.EndTime = 0, later.EndTime.AddDate(0, 0, 1)
			if again, err := b.Write(t.Context(), later); err != nil || again != first {
				t.Errorf("the second for the same object gives %s, %v; want the first's %s", again, err, first)
			}
			second := write(t, b, 2)
			restarted := w.book(t)
			third := write(t, restarted, 3)
			if again := write(t, restarted, 1); again != first {
				t.Errorf("after a restart the first is %s, want %s", again, first)
			}
			write(t, b, 4) // which has not seen the third
			got := w.wantChain(t, 4)
			for n, digest := range map[int]string{1: first, 2: second, 3: third} {
				if got[uidOf(n)] != digest {
					t.Errorf("receipt %d was said to have digest %s, and has %s", n, digest, got[uidOf(n)])
				}
			}
		})
	}
}

func TestWriteIsCheapOnceItKnowsTheEnd(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	b := w.book(t)
	write(t, b, 1)
	s.SetFault(objectstoretest.Fault{})
	write(t, b, 2)
	if calls := s.Calls(); calls > 4 { // no copy yet, chain, copy, read back
		t.Errorf("the second receipt took %d calls of the store", calls)
	}
}

func TestFindingTheEndIsCheap(t *testing.T) {
	t.Parallel()
	for _, length := range []int64{1, 2, 3, 4, 7, 8, 1000, 999_999, 1_000_000, 1 << 40} {
		r := receipt(1)
		r.Sequence, r.Previous = length, objectkey.Digest(nil)
		if length == 1 {
			r.Previous = ""
		}
		last, digest, err := objectkey.Sign(signer(1), r)
		if err != nil {
			t.Fatalf("sign: %v", err)
		}
		s := &endless{length: length, last: last}
		b := newBook(t, receipts.Options{Store: s, Bucket: "bucket", Signer: signer(1)})
		if _, err := b.Write(t.Context(), receipt(2)); err == nil {
			t.Error("a store that keeps nothing is believed")
		}
		added, err := objectkey.Verify(s.added, []ed25519.PublicKey{public(1)})
		if err != nil || s.place != length+1 || added.Sequence != length+1 || added.Previous != digest {
			t.Errorf("behind %d receipts comes number %d with the digest %s before it: %v", length, s.place, added.Previous, err)
		}
		if most := 2*bits(length) + 4; s.calls > most {
			t.Errorf("the end of %d receipts was found by %d calls, want at most %d", length, s.calls, most)
		}
	}
}

func bits(n int64) int {
	count := 0
	for ; n > 0; n >>= 1 {
		count++
	}
	return count
}

func TestTheChainThatNeverEndsIsRefused(t *testing.T) {
	t.Parallel()
	b := newBook(t, receipts.Options{Store: &endless{length: 1 << 62}, Bucket: "bucket", Signer: signer(1)})
	if _, err := b.Write(t.Context(), receipt(1)); !errors.Is(err, erasure.ErrRefused) {
		t.Errorf("got error %v, want %v", err, erasure.ErrRefused)
	}
}

// TestCrashAtEveryCall stops a Write at each call of the store, before and after its
// effect. Then, in three ways, it is repeated: by the same Book, by another, and by
// another after receipts of others. Each time there is one chain with each once.
func TestCrashAtEveryCall(t *testing.T) {
	t.Parallel()
	points := 0
	for before := range 3 { // receipts that are there
		build := func(t *testing.T) (*world, *objectstoretest.Store) {
			t.Helper()
			w, s := memory(t)
			b := w.book(t)
			for n := range before {
				write(t, b, 100+n)
			}
			s.SetFault(objectstoretest.Fault{})
			return w, s
		}
		w, s := build(t)
		write(t, w.book(t), 1)
		calls := s.Calls()
		if calls < 5 {
			t.Fatalf("only %d calls to crash at", calls)
		}
		for call := 1; call <= calls; call++ {
			for _, after := range []bool{false, true} {
				for name, again := range map[string]func(t *testing.T, w *world, crashed *receipts.Book) int{
					"by the same book": func(t *testing.T, _ *world, crashed *receipts.Book) int {
						t.Helper()
						write(t, crashed, 1)
						write(t, crashed, 2)
						return 2
					},
					"by another book": func(t *testing.T, w *world, _ *receipts.Book) int {
						t.Helper()
						write(t, w.book(t), 1)
						return 1
					},
					"after those of others": func(t *testing.T, w *world, crashed *receipts.Book) int {
						t.Helper()
						other := w.book(t)
						write(t, other, 2)
						write(t, other, 3)
						write(t, crashed, 4)
						write(t, w.book(t), 1)
						write(t, other, 5)
						return 5
					},
				} {
					points++
					t.Run(fmt.Sprintf("%d there, call %d of %d, after %v, %s", before, call, calls, after, name), func(t *testing.T) {
						t.Parallel()
						w, s := build(t)
						s.SetFault(objectstoretest.Fault{Call: call, After: after, Crash: true})
						crashed := w.book(t)
						if _, err := crashed.Write(t.Context(), receipt(1)); !errors.Is(err, objectstore.ErrUnavailable) {
							t.Errorf("the crash gave %v", err)
						}
						s.SetDown(false)
						more := again(t, w, crashed)
						w.wantChain(t, before+more)
					})
				}
			}
		}
	}
	t.Logf("%d crash points", points)
}

// TestAnotherWriterAtEveryCall lets another Book write before each call of a Write,
// other objects' receipts, the same one, or both.
func TestAnotherWriterAtEveryCall(t *testing.T) {
	t.Parallel()
	for name, theirs := range map[string][]int{
		"another's": {2}, "the same": {1}, "the same, then another's": {1, 2}, "many": {2, 3, 1, 4, 5}, "others', then the same": {2, 3, 1},
	} {
		for before := range 2 {
			for call := 1; call <= 12; call++ {
				t.Run(fmt.Sprintf("%s at call %d behind %d", name, call, before), func(t *testing.T) {
					t.Parallel()
					w, _ := memory(t)
					other := w.book(t)
					for n := range before {
						write(t, other, 100+n)
					}
					all := map[int]bool{1: true}
					s := &meddling{Store: w, call: call, meddle: func() {
						for _, n := range theirs {
							write(t, other, n)
							all[n] = true
						}
					}}
					b := newBook(t, receipts.Options{Store: s, Bucket: w.bucket, Signer: signer(1)})
					digest := write(t, b, 1)
					if got := w.wantChain(t, len(all)+before); got[uidOf(1)] != digest {
						t.Errorf("the digest is %s, and in the chain %s", digest, got[uidOf(1)])
					}
				})
			}
		}
	}
}

// TestLeadersRace has two Books, each used by several at once, write some of the same
// receipts.
func TestLeadersRace(t *testing.T) {
	t.Parallel()
	for name, build := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := build(t)
			books := []*receipts.Book{w.book(t), w.book(t)}
			const each = 12
			var mu sync.Mutex
			said := map[string]map[string]bool{}
			var writing sync.WaitGroup
			for i, b := range books {
				for n := range each {
					writing.Go(func() {
						r := receipt(i*each/2 + n) // Half of them are the other's too.
						r.Versions = int64(i)
						digest, err := b.Write(t.Context(), r)
						if err != nil {
							t.Errorf("write: %v", err)
						}
						mu.Lock()
						defer mu.Unlock()
						if said[r.UID] == nil {
							said[r.UID] = map[string]bool{}
						}
						said[r.UID][digest] = true
					})
				}
			}
			writing.Wait()
			for uid, digest := range w.wantChain(t, each*3/2) {
				if len(said[uid]) != 1 || !said[uid][digest] {
					t.Errorf("of one receipt were said the digests %v, and it has %s", said[uid], digest)
				}
			}
		})
	}
}

func TestWriteGivesUpWhenOthersAreAlwaysFaster(t *testing.T) {
	t.Parallel()
	w, _ := memory(t)
	other := w.book(t)
	n := 1000
	s := &everyPut{Store: w, meddle: func() {
		n++
		write(t, other, n)
	}}
	b := newBook(t, receipts.Options{Store: s, Bucket: w.bucket, Signer: signer(1)})
	if _, err := b.Write(t.Context(), receipt(1)); !errors.Is(err, receipts.ErrBusy) {
		t.Errorf("got error %v, want %v", err, receipts.ErrBusy)
	}
	s.meddle = func() {}
	write(t, b, 1)
	w.wantChain(t, n-1000+1)
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	sign := func(key byte, n int, place int64) []byte {
		r := receipt(n)
		r.Sequence = place
		if place > 1 {
			r.Previous = objectkey.Digest(nil)
		}
		data, _, err := objectkey.Sign(signer(key), r)
		if err != nil {
			t.Fatalf("sign: %v", err)
		}
		return data
	}
	own, first := objectkey.Receipt("ns", uidOf(1)), objectkey.ReceiptInChain(1)
	changed := bytes.Replace(sign(1, 1, 1), []byte(`"payload":"`), []byte(`"payload":"AAAA`), 1)
	for name, c := range map[string]struct {
		change func(*objectkey.EraseReceipt)
		lies   map[string][]byte
	}{
		"no UID":                               {change: func(r *objectkey.EraseReceipt) { r.UID = "" }},
		"a way out":                            {change: func(r *objectkey.EraseReceipt) { r.Namespace, r.Prefix = "..", objectkey.OwnerPrefix("..", r.UID) }},
		"an erase that nobody has checked":     {change: func(r *objectkey.EraseReceipt) { r.Methods = nil }},
		"another format":                       {change: func(r *objectkey.EraseReceipt) { r.Kind = "v9" }},
		"an end before the start":              {change: func(r *objectkey.EraseReceipt) { r.EndTime = r.StartTime.AddDate(0, 0, -1) }},
		"something in its place":               {lies: map[string][]byte{own: []byte("something")}},
		"nothing in its place":                 {lies: map[string][]byte{own: {}}},
		"something huge in its place":          {lies: map[string][]byte{own: bytes.Repeat([]byte(" "), 100<<10)}},
		"another's receipt in its place":       {lies: map[string][]byte{own: sign(1, 2, 1)}},
		"a stranger's receipt in its place":    {lies: map[string][]byte{own: sign(3, 1, 1)}},
		"a changed receipt in its place":       {lies: map[string][]byte{own: changed}},
		"something in the chain":               {lies: map[string][]byte{first: []byte("something")}},
		"a stranger's receipt in the chain":    {lies: map[string][]byte{first: sign(3, 2, 1)}},
		"a receipt at the wrong place":         {lies: map[string][]byte{first: sign(1, 2, 2)}},
		"a receipt of its own, at the wrong":   {lies: map[string][]byte{first: sign(1, 1, 2)}},
		"a receipt with something behind it":   {lies: map[string][]byte{first: append(sign(1, 2, 1), '\n')}},
		"a chain whose second is a stranger's": {lies: map[string][]byte{first: sign(1, 2, 1), objectkey.ReceiptInChain(2): sign(3, 3, 2)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := memory(t)
			want := map[string]bool{}
			for key, data := range c.lies {
				w.put(t, key, data)
				want[key] = true
			}
			s.SetFault(objectstoretest.Fault{})
			r := receipt(1)
			if c.change != nil {
				c.change(&r)
			}
			digest, err := w.book(t).Write(t.Context(), r)
			if digest != "" || !errors.Is(err, erasure.ErrRefused) {
				t.Errorf("got digest %q and error %v, want %v", digest, err, erasure.ErrRefused)
			}
			if c.change != nil && s.Calls() > 0 {
				t.Errorf("the store was asked %d times", s.Calls())
			}
			w.wantOnly(t, want)
		})
	}
}

func TestReceiptsOfAFormerKey(t *testing.T) {
	t.Parallel()
	w, _ := memory(t)
	first := write(t, w.book(t), 1)
	away := errors.New("the API server is away")
	asked := 0
	var fails error
	b := newBook(t, receipts.Options{
		Store: w, Bucket: w.bucket, Signer: signer(2),
		Former: func(context.Context) ([]ed25519.PublicKey, error) {
			asked++
			return []ed25519.PublicKey{public(1)}, fails
		},
	})
	fails = away
	if _, err := b.Write(t.Context(), receipt(2)); !errors.Is(err, away) || errors.Is(err, erasure.ErrRefused) {
		t.Errorf("got error %v, want %v", err, away)
	}
	fails = nil
	if got := write(t, b, 1); got != first {
		t.Errorf("the former key's receipt is %s, want %s", got, first)
	}
	write(t, b, 2)
	before := asked
	write(t, b, 2)
	if asked != before {
		t.Error("the keys were asked for though the Book's own has signed")
	}
	w.wantChain(t, 2)
}

func TestWriteEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w, _ := memory(t)
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	var b *receipts.Book
	s := &meddling{Store: w, call: 1, meddle: func() {
		// The Book is in use now, so that another has to wait, in vain.
		go func() {
			_, err := b.Write(ctx, receipt(2))
			waiting <- err
		}()
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that waits gets %v", err)
		}
	}}
	b = newBook(t, receipts.Options{Store: s, Bucket: w.bucket, Signer: signer(1)})
	write(t, b, 1)
	w.wantChain(t, 1)
}

func TestNewNeedsAll(t *testing.T) {
	t.Parallel()
	s := objectstoretest.NewStore()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]receipts.Options{
		"no store":            {Bucket: "b", Signer: signer(1)},
		"no bucket":           {Store: s, Signer: signer(1)},
		"no key":              {Store: s, Bucket: "b"},
		"another kind of key": {Store: s, Bucket: "b", Signer: other},
	} {
		if _, err := receipts.New(opts); err == nil {
			t.Errorf("made with %s", name)
		}
	}
}
