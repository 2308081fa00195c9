package broker

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Keys gives datasets' own keys; datasetkey.Ring is one. Get reads live, so that no
// key is given that is destroyed. The error wraps datasetkey.ErrNotFound when there is
// none; all others are internal. None carries a key.
type Keys interface {
	Get(ctx context.Context, uid types.UID) (objectstore.Key, error)
}

// errKeyID says that a dataset's Secret holds another key than the one that its data
// is under: somebody replaced the Secret, or may write the status and did.
var errKeyID = errors.New("key is not the one that the dataset's status names")

// ownKey says whether the dataset's data is under a key of its own. That is the
// default, so nothing but the word for the other way turns it off.
func ownKey(dataset *v1alpha1.DatasetRetention) bool {
	return dataset.Spec.Encryption != v1alpha1.EncryptionBucket
}

// keyFor gives the dataset's own key, or none if it has none by its owner's will. It
// comes after the look at the dataset, so that what was deleted then gets no key
// either: the key goes after the deletion.
func (s *Server) keyFor(ctx context.Context, dataset *v1alpha1.DatasetRetention) (objectstore.Key, error) {
	if !ownKey(dataset) {
		return objectstore.Key{}, nil
	}
	if dataset.Status.KeyID == "" {
		return objectstore.Key{}, notYet("the dataset has no key yet; try again in a moment")
	}
	key, err := s.keys.Get(ctx, dataset.UID)
	switch {
	case errors.Is(err, datasetkey.ErrNotFound):
		return objectstore.Key{}, gone(staging.ProblemDatasetErasing,
			"the dataset's key is destroyed, so nobody can read its data any more; upload it again as another dataset")
	case err != nil:
		return objectstore.Key{}, fmt.Errorf("read the key of dataset %s/%s: %w", dataset.Namespace, dataset.Name, err)
	case key.ID() != dataset.Status.KeyID:
		return objectstore.Key{}, fmt.Errorf("%w: %s/%s", errKeyID, dataset.Namespace, dataset.Name)
	}
	return key, nil
}
