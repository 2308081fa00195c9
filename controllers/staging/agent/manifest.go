package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

const uploadAgain = "Upload the data again under another name, then delete this dataset."

// errDiffers marks content that is not what the manifest says. One more download
// tells a fault of the transport from one of the store.
var errDiffers = errors.New("content differs from the manifest")

// manifest is what is known of the verified manifest on the volume. The entries
// stay in its file, as there may be millions.
type manifest struct {
	digest string
	// entries counts all of them; the rest is about those that are this node's.
	entries int64
	objects int64
	bytes   int64
	// blocks sums up the sizes of the files in whole blocks.
	blocks int64
}

// fetchManifest brings the manifest to the volume and trusts it only once its
// digest is the pinned one.
func (s *session) fetchManifest(ctx context.Context, v *volume, pinned string) (manifest, error) {
	if pinned == "" {
		return manifest{}, fail(staging.ExitDenied, nil,
			"The operator named no manifest. Seal the dataset, then start the run again.")
	}
	err := twice(func() error {
		return s.persist(ctx, func(ctx context.Context) error { return s.copyManifest(ctx, v, pinned) })
	})
	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		return manifest{}, fail(staging.ExitDatasetCorrupt, err,
			"The dataset's manifest is missing in the store. "+uploadAgain)
	case errors.Is(err, errDiffers):
		return manifest{}, fail(staging.ExitDatasetCorrupt, err,
			"The dataset's manifest in the store is not the one that was sealed. "+uploadAgain)
	case err != nil:
		return manifest{}, err
	}
	m, err := readManifest(v, func(objectkey.Entry) error { return nil })
	if err != nil {
		return manifest{}, err
	}
	if m.entries == 0 {
		return manifest{}, fail(staging.ExitDatasetCorrupt, nil, "The dataset is empty. "+uploadAgain)
	}
	return m, nil
}

// twice repeats what gave content that differs once.
func twice(op func() error) error {
	err := op()
	if errors.Is(err, errDiffers) {
		err = op()
	}
	return err
}

func (s *session) copyManifest(ctx context.Context, v *volume, pinned string) error {
	f, err := v.root.Create(manifestFile)
	if err != nil {
		return volumeFailure("write the manifest", err)
	}
	h := sha256.New()
	err = s.receive(ctx, transfer{key: objectkey.Manifest(s.prefix), length: -1, buffer: make([]byte, bufferSize)},
		func(b []byte) error {
			_, _ = h.Write(b) // Never fails.
			_, err := f.Write(b)
			return volumeFailure("write the manifest", err)
		})
	if errClose := f.Close(); err == nil {
		err = volumeFailure("write the manifest", errClose)
	}
	if err == nil && "sha256:"+hex.EncodeToString(h.Sum(nil)) != pinned {
		err = errDiffers
	}
	return err
}

// readManifest visits the entries of the manifest on the volume that are this node's.
func readManifest(v *volume, visit func(objectkey.Entry) error) (manifest, error) {
	f, err := v.root.Open(manifestFile)
	if err != nil {
		return manifest{}, volumeFailure("read the manifest", err)
	}
	defer func() { _ = f.Close() }() // It was only read.
	var m manifest
	sum, err := objectkey.ReadManifest(f, func(e objectkey.Entry) error {
		m.entries++
		if !v.share.has(m.entries) {
			return nil
		}
		m.objects++
		m.bytes += e.Size
		m.blocks += blocks(e.Size)
		return visit(e)
	})
	if errors.Is(err, objectkey.ErrBadManifest) {
		return m, fail(staging.ExitDatasetCorrupt, err, "The dataset's manifest can not be used: %s. %s", err, uploadAgain)
	}
	m.digest = sum.Digest
	return m, err
}
