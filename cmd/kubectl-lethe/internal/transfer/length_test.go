package transfer

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func TestTheLengthOfAManifestIsKnownBeforeItIsWritten(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(), t.TempDir()
	write(t, dir, map[string]string{"a": "12", "b/\"c\"": "345", "b/\u2028": strings.Repeat("x", 12345)})
	folder, err := Survey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(t, dir, t.TempDir(), false); err != nil {
		t.Fatal(err)
	}
	want := int64(len(w.objects[objectkey.Manifest(prefix)]))
	for name, limit := range map[string]int64{"far from its limit": 1 << 30, "at its limit": want, "beyond it": 1} {
		got, err := folder.manifestLength(limit)
		if err != nil {
			t.Fatal(err)
		}
		if exact := limit <= want; (exact && got != want) || got < want || (got > limit) != (want > limit) {
			t.Errorf("%s of %d: got %d, want %d or a bound", name, limit, got, want)
		}
	}
}

func TestSurveyRefusesMoreFilesThanAManifestCanList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"a": "12", "b": "345"})
	folder, err := Survey(dir)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := folder.manifestLength(0)
	if err != nil {
		t.Fatal(err)
	}
	for limit, fits := range map[int64]bool{exact: true, exact - 1: false} {
		err := (&surveyor{folder: folder, limit: limit}).verdict()
		if (err == nil) != fits {
			t.Errorf("limit %d for %d bytes: %v", limit, exact, err)
		}
		if err != nil && (!errors.Is(err, ErrFolder) || !strings.Contains(err.Error(), "make several datasets")) {
			t.Errorf("error: got %v, want ErrFolder with what to do", err)
		}
	}
	if maxManifest != 1<<30 {
		t.Errorf("the limit is %d bytes; the operator's is 1 GiB", maxManifest)
	}
}

// TestNoManifestIsSentThatTheOperatorRefuses: the folder may have grown meanwhile.
func TestNoManifestIsSentThatTheOperatorRefuses(t *testing.T) {
	t.Parallel()
	for size, sent := range map[int64]bool{maxManifest: true, maxManifest + 1: false} {
		w := newWorld()
		w.refuse = func(string) error { return os.ErrDeadlineExceeded } // It would take a while.
		var found faults
		store := journaledStore{Store: w, prefix: prefix, folder: &Folder{}, meter: &w.meter, faults: &found}
		err := store.Put(t.Context(), "bucket", objectkey.Manifest(prefix), &bytes.Buffer{}, size, objectstore.PutOptions{})
		if reached := errors.Is(err, os.ErrDeadlineExceeded); err == nil || reached != sent {
			t.Errorf("a manifest of %d bytes: %v", size, err)
		}
		if fault := found.get(); !sent && (fault == nil || !strings.Contains(fault.Error(), "1.0 GiB")) {
			t.Errorf("the person is told %v", fault)
		}
	}
}
