package memorystore_test

import (
	"context"
	"testing"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/datasetretention"
	"github.com/lethe-dev/lethe/controllers/trainingrun"
	"github.com/lethe-dev/lethe/hack/bench/internal/memorystore"
)

var (
	_ datasetretention.Store    = (*memorystore.Store)(nil)
	_ datasetretention.Eraser   = (*memorystore.Store)(nil)
	_ datasetretention.Ledger   = (*memorystore.Store)(nil)
	_ datasetretention.Receipts = (*memorystore.Store)(nil)
	_ datasetretention.Keys     = memorystore.Keys{}
	_ trainingrun.Eraser        = (*memorystore.Store)(nil)
	_ trainingrun.Ledger        = (*memorystore.Store)(nil)
	_ trainingrun.Receipts      = (*memorystore.Store)(nil)
)

func TestEveryDatasetIsWhole(t *testing.T) {
	t.Parallel()
	s, err := memorystore.New()
	if err != nil {
		t.Fatal(err)
	}
	prefix := objectkey.OwnerPrefix("ns", "uid")
	body, err := s.Get(t.Context(), "bucket", objectkey.Manifest(prefix), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for o, err := range s.List(t.Context(), "bucket", objectkey.DataPrefix(prefix)) {
		if err != nil {
			t.Fatal(err)
		}
		summary, err := objectkey.ReadManifest(body, func(e objectkey.Entry) error {
			if objectkey.Data(prefix, e.Path) == o.Key && e.Size == o.Size {
				found++
			}
			return nil
		})
		if err != nil || summary.Objects != 1 || found != 1 {
			t.Errorf("the manifest lists %d objects, %d of them are there: %v", summary.Objects, found, err)
		}
	}
	if _, err := s.Get(context.Background(), "bucket", objectkey.Data(prefix, "other"), 0, -1); err == nil {
		t.Error("there is another object")
	}
}
