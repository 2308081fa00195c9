package erasure_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// pruned is a row of a table: what goes of six checkpoints and what lies beside them.
type pruned struct {
	keep []string
	// gone are the checkpoints that must not be there any more.
	gone []string
}

// checkpoints of two attempts, in their order.
var checkpoints = []string{"0001-000001", "0001-000002", "0001-000010", "0002-000001", "0002-000002", "0010-000001"}

var prunings = map[string]pruned{
	"the newest is kept":              {keep: []string{"0010-000001"}, gone: checkpoints[:5]},
	"the newest two are kept":         {keep: []string{"0002-000002", "0010-000001"}, gone: checkpoints[:4]},
	"in any order":                    {keep: []string{"0010-000001", "0002-000002"}, gone: checkpoints[:4]},
	"some between are kept":           {keep: []string{"0001-000002", "0002-000001"}, gone: []string{"0001-000001", "0001-000010"}},
	"newer ones are being written":    {keep: []string{"0001-000010"}, gone: checkpoints[:2]},
	"nothing is older":                {keep: []string{"0001-000001"}},
	"one to keep is not there":        {keep: []string{"0001-000003"}, gone: checkpoints[:2]},
	"all that are to keep are ahead":  {keep: []string{"9999-999999"}, gone: checkpoints},
	"one that is not there is oldest": {keep: []string{"0001-000000"}},
}

func TestPruneInMemory(t *testing.T) {
	t.Parallel()
	pruneOn(t, inMemory)
}

func TestPruneOnMinIO(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	pruneOn(t, func(t *testing.T, kind objectstoretest.Kind) *world { t.Helper(); return onMinIO(t, server, kind) })
}

func pruneOn(t *testing.T, empty func(*testing.T, objectstoretest.Kind) *world) {
	t.Helper()
	for kindName, kind := range map[string]objectstoretest.Kind{"unversioned": objectstoretest.Unversioned, "versioned": objectstoretest.Versioned} {
		for name, c := range prunings {
			t.Run(kindName+", "+name, func(t *testing.T) {
				t.Parallel()
				w := empty(t, kind)
				w.engine = w.newEngine(t, w.Backend, fastPath) // Which must not be taken.
				w.fillNeighbours(t)
				w.fillCheckpoints(t)
				want := w.state(t)
				versions := w.forget(want, c.gone)
				removed, err := w.engine.Prune(t.Context(), w.target, c.keep)
				if err != nil || removed != versions {
					t.Errorf("removed %d versions, want %d: %v", removed, versions, err)
				}
				if diff := cmp.Diff(want, w.state(t)); diff != "" {
					t.Errorf("the store (-want +got):\n%s", diff)
				}
				if again, err := w.engine.Prune(t.Context(), w.target, c.keep); err != nil || again != 0 {
					t.Errorf("then it removes %d more: %v", again, err)
				}
			})
		}
		t.Run(kindName+", more than one batch", func(t *testing.T) {
			t.Parallel()
			w := empty(t, kind)
			w.putKeys(t, func(yield func(string) bool) {
				for i := range 2*objectstore.MaxBatch + 200 {
					if !yield(objectkey.CheckpointPart(prefix, checkpoints[i%2], 0) + "data/" + strings.Repeat("x", i/40+1) + string(rune('a'+i%40))) {
						return
					}
				}
			})
			removed, err := w.engine.Prune(t.Context(), w.target, checkpoints[1:2])
			if err != nil || removed != objectstore.MaxBatch+100 {
				t.Errorf("removed %d versions: %v", removed, err)
			}
			kept, err := w.engine.Inventory(t.Context(), w.target)
			if err != nil || kept.Versions != objectstore.MaxBatch+100 {
				t.Errorf("%d versions are left: %v", kept.Versions, err)
			}
		})
	}
}

// fillCheckpoints stores checkpoints with a history and unfinished uploads, and what
// only looks like one.
func (w *world) fillCheckpoints(t *testing.T) {
	t.Helper()
	for _, id := range checkpoints {
		part := objectkey.CheckpointPart(prefix, id, 0)
		for _, key := range []string{part + "data/model", part + "manifest.jsonl", objectkey.CheckpointRecordKey(prefix, id)} {
			w.put(t, w.datasets, key)
		}
		w.put(t, w.datasets, part+"data/model")
		w.Delete(t, w.datasets, part+"manifest.jsonl")
		w.BeginUpload(t, w.datasets, part+"data/model")
	}
	root := objectkey.CheckpointsPrefix(prefix)
	for _, key := range []string{
		root + "0001-0000001/model", root + "0000/model", root + "1-1/model", root + "0000-000000", root + "readme",
		prefix + "data/checkpoints/0000-000001/model", prefix + "checkpointsx/0000-000001/model", prefix + "logs/0000-000001/model",
	} {
		w.put(t, w.datasets, key)
		w.BeginUpload(t, w.datasets, key)
	}
}

// forget takes the checkpoints out of a state, and gives how many versions those were.
func (w *world) forget(state map[string]bool, ids []string) (versions int64) {
	for _, id := range ids {
		for entry := range state {
			if !strings.Contains(entry, objectkey.CheckpointPrefix(prefix, id)) || strings.Contains(entry, "data/checkpoints/") {
				continue
			}
			delete(state, entry)
			if strings.HasSuffix(entry, "true}") || strings.HasSuffix(entry, "false}") { // An upload has no marker.
				versions++
			}
		}
	}
	return versions
}

func TestPruneRefuses(t *testing.T) {
	t.Parallel()
	w, s := memory(t)
	w.fillCheckpoints(t)
	want := w.state(t)
	ok := checkpoints[5:]
	for name, c := range map[string]struct {
		change func(*erasure.Target)
		keep   []string
		want   error
	}{
		"nothing is kept":             {keep: nil, want: erasure.ErrRefused},
		"a name that is none":         {keep: []string{"0010-000001", "latest"}, want: erasure.ErrRefused},
		"an empty name":               {keep: []string{""}, want: erasure.ErrRefused},
		"the receipts":                {change: func(t *erasure.Target) { t.Bucket = w.receipts }, keep: ok, want: erasure.ErrRefused},
		"another object's prefix":     {change: func(t *erasure.Target) { t.Prefix = "ns/" + otherUID + "/" }, keep: ok, want: erasure.ErrRefused},
		"the checkpoints' own prefix": {change: func(t *erasure.Target) { t.Prefix += "checkpoints/" }, keep: ok, want: erasure.ErrRefused},
		"another store":               {change: func(t *erasure.Target) { t.Store = otherStore }, keep: ok, want: erasure.ErrUnknownStore},
		"no such bucket":              {change: func(t *erasure.Target) { t.Bucket = "absent" }, keep: ok, want: erasure.ErrUnknownStore},
	} {
		target := w.target
		if c.change != nil {
			c.change(&target)
		}
		if n, err := w.engine.Prune(t.Context(), target, c.keep); n != 0 || !errors.Is(err, c.want) {
			t.Errorf("%s: removed %d, %v; want %v", name, n, err, c.want)
		}
	}
	s.FailAll(objectstore.ErrDenied)
	if n, err := w.engine.Prune(t.Context(), w.target, ok); n != 0 || !errors.Is(err, objectstore.ErrDenied) {
		t.Errorf("without rights: removed %d, %v", n, err)
	}
	s.FailAll(nil)
	if diff := cmp.Diff(want, w.state(t)); diff != "" {
		t.Errorf("the store (-want +got):\n%s", diff)
	}
}

func TestPruneOfALockedBucket(t *testing.T) {
	t.Parallel()
	w := inMemory(t, objectstoretest.Locked)
	w.fillCheckpoints(t)
	want := w.state(t)
	var locked *erasure.LockedError
	if _, err := w.engine.Prune(t.Context(), w.target, checkpoints[5:]); !errors.As(err, &locked) {
		t.Errorf("got %v, want that the bucket is locked", err)
	}
	if diff := cmp.Diff(want, w.state(t)); diff != "" {
		t.Errorf("the store (-want +got):\n%s", diff)
	}
}

// TestPruneFailsAndGoesOn: at whatever call it fails, nothing that is kept is gone, and
// the next call does the rest.
func TestPruneFailsAndGoesOn(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for call := 1; ; call++ {
			w, s := memory(t)
			w.fillCheckpoints(t)
			want := w.state(t)
			w.forget(want, checkpoints[:4])
			s.SetFault(objectstoretest.Fault{Call: call, After: after, Err: objectstore.ErrUnavailable})
			_, err := w.engine.Prune(t.Context(), w.target, checkpoints[4:])
			calls := s.Calls()
			s.SetFault(objectstoretest.Fault{})
			if _, again := w.engine.Prune(t.Context(), w.target, checkpoints[4:]); again != nil {
				t.Fatalf("call %d: then: %v", call, again)
			}
			if diff := cmp.Diff(want, w.state(t)); diff != "" {
				t.Errorf("call %d: the store (-want +got):\n%s", call, diff)
			}
			if calls < call {
				if err != nil {
					t.Errorf("without a fault: %v", err)
				}
				break
			}
		}
	}
}
