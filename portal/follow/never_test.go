package follow

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// TestNothingWasEverStored: the operator lets a dataset that had no place in the store go
// without a receipt, and one that had never.
func TestNothingWasEverStored(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		seen  portal.DatasetSeen
		ended bool
	}{
		"it never had a place": {portal.DatasetSeen{Version: 1}, true},
		"it had bytes":         {portal.DatasetSeen{Version: 1, State: "Ready", Bytes: 1}, false},
		"it was being erased":  {portal.DatasetSeen{Version: 1, State: "Erasing", Versions: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.seesDataset(tc.seen, false)
			w.round()
			gone := tc.seen
			gone.Version++
			w.seesDataset(gone, true)
			for range 59 {
				w.round()
				w.clock.Advance(time.Minute)
			}
			if _, d := w.now(); !d.ErasedAt.IsZero() {
				t.Fatal("it is erased before the receipt can be known to be missing")
			}
			for range 30 {
				w.clock.Advance(time.Minute)
				w.round()
			}
			if _, d := w.now(); d.ErasedAt.IsZero() == tc.ended || d.Receipt != "" {
				t.Errorf("erased at %v with the receipt %q", d.ErasedAt, d.Receipt)
			}
			if mails := w.mails(); len(mails) > 0 {
				t.Errorf("mails %v", mails)
			}
		})
	}
}

// TestFilesGoWhenTheManifestIsVerified: until then whoever finishes the upload needs them.
func TestFilesGoWhenTheManifestIsVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	left := func() (n int64) {
		t.Helper()
		err := w.store.Store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
			count, err := tx.CountFiles(ctx, w.dataset.ID)
			n = count.Files
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	err := w.store.Store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		return tx.PutFile(ctx, portal.File{Dataset: w.dataset.ID, Path: "a"})
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, state := range []string{"Open", "Sealing", "Ready"} {
		if n := left(); n != 1 {
			t.Errorf("%d rows before it is %s", n, state)
		}
		w.seesDataset(portal.DatasetSeen{Version: uint64(i + 1), State: state}, false)
		w.round()
	}
	if n := left(); n != 0 {
		t.Errorf("%d rows are left of one that is verified", n)
	}
}

// TestTheUIDWaitsForTheWindows: an object that was made with windows that have become
// shorter since is put right by who makes datasets, which is done when the row has a UID.
func TestTheUIDWaitsForTheWindows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seesDataset(portal.DatasetSeen{Version: 1, State: "Open", AfterTraining: 48 * time.Hour, MaxAge: w.dataset.MaxAge}, false)
	w.round()
	if _, d := w.now(); d.UID != "" {
		t.Errorf("it has the UID %q with windows that nobody wants any more", d.UID)
	}
	w.seesDataset(portal.DatasetSeen{Version: 2, State: "Open"}, false)
	w.round()
	if _, d := w.now(); d.UID != datasetUID {
		t.Errorf("it has the UID %q", d.UID)
	}
}
