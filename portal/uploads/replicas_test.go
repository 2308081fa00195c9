package uploads_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/uploads"
)

// see writes what the operator says, as the follower does.
func (w *world) see(d portal.Dataset, state string) {
	w.t.Helper()
	err := w.store.Write(w.t.Context(), func(ctx context.Context, tx portal.Tx) error {
		now, err := tx.Dataset(ctx, d.Account, d.ID)
		if err != nil {
			return err
		}
		now.Seen.State, now.Seen.Version = state, now.Seen.Version+1
		now.Seen.AfterTraining, now.Seen.MaxAge = now.AfterTraining, now.MaxAge
		if err := tx.UpdateDataset(ctx, now); err != nil || state != "Ready" {
			return err
		}
		return tx.DeleteFiles(ctx, d.ID)
	})
	if err != nil {
		w.t.Errorf("see %s: %v", state, err)
	}
}

// TestTwoReplicasSeal has another replica seal, and the operator go on, before each read
// of one that is sealing: the manifest in the store lists all files whatever happens.
func TestTwoReplicasSeal(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"", "Sealing", "Ready"} {
		for point := int64(1); point <= 5; point++ {
			t.Run(fmt.Sprintf("state %q before read %d", state, point), func(t *testing.T) {
				t.Parallel()
				overtake(t, state, point)
			})
		}
	}
}

func overtake(t *testing.T, state string, point int64) {
	t.Helper()
	w := newWorld(t)
	a, b, p := w.service(uploads.Options{}), w.service(uploads.Options{}), w.person()
	d := create(t, a, p)
	files := map[string]string{"a.txt": "hello", "b": "world"}
	if err := upload(w, b, p, d.ID, files); err != nil { // b has a grant that outlives the seal
		t.Fatal(err)
	}
	overtaken := false
	w.meanwhile = func() {
		overtaken = true
		if _, err := a.Settle(t.Context()); err != nil {
			t.Error(err)
		}
		if state != "" {
			w.see(d.Dataset, state)
		}
	}
	w.until.Store(point)
	if _, err := b.Seal(t.Context(), p, d.ID); err != nil {
		t.Fatal(err)
	}
	w.until.Store(0)
	if !overtaken {
		t.Fatalf("sealing makes fewer than %d reads", point)
	}
	for _, s := range []*uploads.Service{a, b} {
		if _, err := s.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.sealed(d.Dataset, files)
}

// TestLostAnswer: windows that were made shorter while nobody knew that the dataset had been
// made are the cluster's too.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	w.loses = true
	d := create(t, s, p)
	if d.UID != "" || len(w.objects) != 1 {
		t.Fatalf("it has the UID %q, and there are %d objects", d.UID, len(w.objects))
	}
	if _, err := s.SetRetention(t.Context(), p, d.ID, time.Hour, 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := w.objects[place(d.Namespace, d.ID.Object())]
	if view, err := s.Get(t.Context(), p, d.ID); err != nil || view.UID != o.uid || o.after != time.Hour || o.maxAge != 2*time.Hour {
		t.Errorf("the cluster keeps it for %s and %s, the row has the UID %q, %v", o.after, o.maxAge, view.UID, err)
	}
}

// TestRefused: datasets that the cluster refuses are said to be, wait longer each time, and
// keep no other from its turn.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	made := create(t, s, p)
	const words = "You have as many of these as you may have."
	w.refuses = portal.Invalid("", words)
	const refused = 120 // more than a page
	for range refused {
		if view := create(t, s, p); view.Seen.Reason != portal.ReasonRefused || view.Seen.Message != words {
			t.Fatalf("the person sees %+v", view.Seen)
		}
	}
	w.clock.Advance(time.Second)
	w.away = true
	if _, err := s.Erase(t.Context(), p, made.ID, false); err != nil {
		t.Fatal(err)
	}
	w.away = false
	creates := func() (n int) {
		w.calls.names = nil
		if left, err := s.Settle(t.Context()); err != nil || left != refused+1 {
			t.Errorf("%d are left, %v", left, err)
		}
		for _, name := range w.calls.names {
			if name == "create" {
				n++
			}
		}
		return n
	}
	if n := creates(); n != 0 || !w.objects[place(made.Namespace, made.ID.Object())].deleting {
		t.Errorf("%d are tried again at once; a later erase: %+v", n, w.objects[place(made.Namespace, made.ID.Object())])
	}
	w.clock.Advance(15 * time.Second)
	if n := creates(); n != refused {
		t.Errorf("%d of %d are tried again", n, refused)
	}
	w.clock.Advance(15 * time.Second)
	if n := creates(); n != 0 {
		t.Errorf("%d are tried again as soon as before", n)
	}
	w.refuses = nil
	w.clock.Advance(time.Minute)
	if _, err := s.Settle(t.Context()); err != nil || len(w.objects) != refused+1 {
		t.Errorf("%d are made once there is room, %v", len(w.objects)-1, err)
	}
}

func TestTooManyDatasets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	first := create(t, s, p)
	err := w.store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		for range portal.MaxDatasets - 1 {
			d := first.Dataset
			d.ID = s.NewID()
			d.UID = "u-" + string(d.ID)
			if err := tx.CreateDataset(ctx, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), p, newDataset("")); portal.KindOf(err) != portal.KindConflict {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.Create(t.Context(), p, newDataset(first.ID)); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}
