package erasure_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

func TestFastPathIsTakenWhereItMay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		facts  func(*objectstore.BucketFacts)
		fill   func(*testing.T, *world)
		change func(*erasure.Options)
		want   int
	}{
		"nothing speaks against it":   {change: fastPath, want: 1},
		"it is off":                   {change: func(*erasure.Options) {}},
		"copies are elsewhere":        {change: fastPath, facts: func(f *objectstore.BucketFacts) { f.Replication = true }},
		"somebody is told":            {change: fastPath, facts: func(f *objectstore.BucketFacts) { f.Notification = true }},
		"objects are moved elsewhere": {change: fastPath, facts: func(f *objectstore.BucketFacts) { f.Tiering = true }},
		"objects just end":            {change: fastPath, facts: func(f *objectstore.BucketFacts) { f.Lifecycle = true }, want: 1},
		"an object has the prefix for its key": {change: fastPath, fill: func(t *testing.T, w *world) {
			t.Helper()
			w.put(t, w.datasets, "ns/"+uid)
		}},
		"a marker has it": {change: fastPath, fill: func(t *testing.T, w *world) {
			t.Helper()
			w.Delete(t, w.datasets, "ns/"+uid)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := memory(t)
			w.fillNeighbours(t)
			if c.fill != nil {
				c.fill(t, w)
			}
			want := w.state(t)
			w.fillTarget(t)
			if c.facts != nil {
				s.SetFacts(w.datasets, c.facts)
			}
			got := 0
			store := &tricky{Backend: s, removePrefix: func(ctx context.Context, bucket, prefix string) error {
				got++
				return s.RemovePrefix(ctx, bucket, prefix)
			}}
			if _, err := w.newEngine(t, store, c.change).Erase(t.Context(), w.target, nil); err != nil || got != c.want {
				t.Errorf("erase: %v; %d prefixes removed, want %d", err, got, c.want)
			}
			if diff := cmp.Diff(want, w.state(t)); diff != "" {
				t.Errorf("the store (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFastPathIsNotTrusted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		removePrefix func(ctx context.Context, s *objectstoretest.Store, bucket, prefix string) error
		removed      int64
		want         error
	}{
		"it removes nothing and says that it went well": {
			func(context.Context, *objectstoretest.Store, string, string) error { return nil }, 17, nil,
		},
		"it removes a part and says that it went well": {
			func(ctx context.Context, s *objectstoretest.Store, bucket, prefix string) error {
				for v, err := range s.ListVersions(ctx, bucket, prefix) {
					if err != nil {
						return err
					}
					return s.RemoveVersions(ctx, bucket, []objectstore.Version{v})
				}
				return nil
			}, 16, nil,
		},
		"it removes all and says that it failed": {
			func(ctx context.Context, s *objectstoretest.Store, bucket, prefix string) error {
				return errors.Join(s.RemovePrefix(ctx, bucket, prefix), errPassing)
			}, 0, nil,
		},
		"it can not": {
			func(context.Context, *objectstoretest.Store, string, string) error { return objectstore.ErrUnsupported }, 17, nil,
		},
		"it must not": {
			func(context.Context, *objectstoretest.Store, string, string) error { return objectstore.ErrDenied }, 17, nil,
		},
		"the store is away": {
			func(context.Context, *objectstoretest.Store, string, string) error { return objectstore.ErrUnavailable },
			0, objectstore.ErrUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := memory(t)
			want := w.state(t)
			w.fillTarget(t)
			store := &tricky{Backend: s, removePrefix: func(ctx context.Context, bucket, prefix string) error {
				return c.removePrefix(ctx, s, bucket, prefix)
			}}
			removed, err := w.newEngine(t, store, fastPath).Erase(t.Context(), w.target, nil)
			if !errors.Is(err, c.want) || removed.Versions != c.removed {
				t.Errorf("removed %+v, %v; want %d and %v", removed, err, c.removed, c.want)
			}
			if diff := cmp.Diff(want, w.state(t)); c.want == nil && diff != "" {
				t.Errorf("the store (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFastPathsErrorIsToldWhenTheOtherFails(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillTarget(t)
	store := &tricky{
		Backend:      s,
		removePrefix: func(context.Context, string, string) error { return errPassing },
		remove:       func(context.Context, string, []objectstore.Version) error { return objectstore.ErrDenied },
	}
	_, err := w.newEngine(t, store, fastPath).Erase(t.Context(), w.target, nil)
	if !errors.Is(err, objectstore.ErrDenied) || !errors.Is(err, errPassing) {
		t.Errorf("got error %v, want both", err)
	}
}
