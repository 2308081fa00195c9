// Package index holds the field indexes of the operator's cache.
package index

import (
	"context"
	"fmt"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// RunsByDataset finds the TrainingRuns that refer to a dataset of this name, in
// the namespace that is listed. It is spelled like the selectable field of the
// CRD, so that client.MatchingFields{RunsByDataset: name} asks the same question
// of the cache and of the API server.
const RunsByDataset = "spec.datasetRef.name"

// Register adds the indexes to the cache. Every controller that needs one calls
// it during its set-up, before the cache starts; asking again changes nothing.
func Register(ctx context.Context, c cache.Cache) error {
	there, err := registered(ctx, c)
	if err != nil || there {
		return err
	}
	if err := c.IndexField(ctx, &v1alpha1.TrainingRun{}, RunsByDataset, DatasetOfRun); err != nil {
		return fmt.Errorf("index training runs by dataset: %w", err)
	}
	return nil
}

// DatasetOfRun is the index function of RunsByDataset.
func DatasetOfRun(o client.Object) []string {
	run, ok := o.(*v1alpha1.TrainingRun)
	if !ok {
		return nil
	}
	return []string{run.Spec.DatasetRef.Name}
}

// registered looks at the informer itself, because a second IndexField of the
// same field is an error that can not be told from others.
func registered(ctx context.Context, c cache.Cache) (bool, error) {
	informer, err := c.GetInformer(ctx, &v1alpha1.TrainingRun{}, cache.BlockUntilSynced(false))
	if err != nil {
		return false, fmt.Errorf("get informer of training runs: %w", err)
	}
	indexed, ok := informer.(interface{ GetIndexer() toolscache.Indexer })
	if !ok {
		return false, nil
	}
	// controller-runtime puts "field:" before the name of a field's index.
	_, there := indexed.GetIndexer().GetIndexers()["field:"+RunsByDataset]
	return there, nil
}
