package receipts_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func TestReadGivesWhatWasWritten(t *testing.T) {
	t.Parallel()
	for name, newOne := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOne(t)
			b := w.book(t)
			want := write(t, b, 1)
			// The last receipt's copy comes with what is written next, or with the same again.
			write(t, b, 1)
			envelope, digest, err := b.Read(t.Context(), "ns", uidOf(1))
			if err != nil {
				t.Fatal(err)
			}
			if digest != want || objectkey.Digest(envelope) != want || !bytes.Equal(envelope, w.get(t, objectkey.Receipt("ns", uidOf(1)))) {
				t.Errorf("read %s, want %s", digest, want)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	w, _ := memory(t)
	b := w.book(t)
	write(t, b, 1)
	write(t, b, 1)
	w.put(t, objectkey.Receipt("ns", uidOf(2)), w.get(t, objectkey.Receipt("ns", uidOf(1))))
	w.put(t, objectkey.Receipt("ns", uidOf(3)), []byte("{}"))
	for name, c := range map[string]struct {
		namespace, uid string
		want           error
	}{
		"what was not written":                     {"ns", uidOf(9), objectstore.ErrNotFound},
		"another object's receipt in its place":    {"ns", uidOf(2), erasure.ErrRefused},
		"what is no receipt":                       {"ns", uidOf(3), erasure.ErrRefused},
		"a name that leads elsewhere in the store": {"chain", "..", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := b.Read(t.Context(), c.namespace, c.uid); err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
