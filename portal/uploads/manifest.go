package uploads

import (
	"context"
	"fmt"
	"io"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

// errOvertaken says that another replica was faster.
var errOvertaken = &portal.Error{Kind: portal.KindUnavailable, Message: "It is being finished elsewhere. Reload the page in a moment."}

// putManifest puts it under the dataset's key, with all of the files or not at all. Where
// the place takes nothing any more the dataset is sealed already, and what is left is to
// say so once more.
func (s *Service) putManifest(ctx context.Context, d portal.Dataset, files int) error {
	grant, err := s.grants.of(ctx, d)
	if portal.KindOf(err) == portal.KindConflict {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get grant: %w", err)
	}
	// Its size is needed first. The rows only ever go as a whole, so both are the same.
	var size counter
	if err := s.writeManifest(ctx, d.ID, files, &size); err != nil {
		return err
	}
	if err := s.stillUnsealed(ctx, d, files); err != nil {
		return err
	}
	body, out := io.Pipe()
	go func() { out.CloseWithError(s.writeManifest(ctx, d.ID, files, out)) }()
	err = s.objects.Put(ctx, grant, objectkey.Manifest(grant.Prefix), body, int64(size))
	_ = body.Close() // It ends the writer, if the store did not read on.
	if err != nil {
		return fmt.Errorf("put manifest: %w", err)
	}
	return nil
}

// stillUnsealed looks once more, right before the manifest is put: a grant outlives the
// seal of another replica.
func (s *Service) stillUnsealed(ctx context.Context, d portal.Dataset, files int) error {
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		now, err := tx.Dataset(ctx, d.Account, d.ID)
		if err != nil {
			return err
		}
		count, err := tx.CountFiles(ctx, d.ID)
		if err == nil && (now.Wish != portal.WishSealed || now.Settled() || count.Files != int64(files)) {
			err = errOvertaken
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("look before the manifest is put: %w", err)
	}
	return nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// writeManifest fails unless there are as many files as there were when they were completed.
func (s *Service) writeManifest(ctx context.Context, id portal.DatasetID, files int, out io.Writer) error {
	manifest, written := objectkey.NewManifestWriter(out), 0
	err := s.eachFile(ctx, id, func(f portal.File) error {
		written++
		return manifest.Add(objectkey.Entry{Path: f.Path, Size: f.Size, SHA256: f.SHA256})
	})
	if err == nil && written != files {
		err = errOvertaken
	}
	if err == nil {
		_, err = manifest.Close()
	}
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// pageOfFiles is how many rows are in memory at once.
const pageOfFiles = 1000

// eachFile gives all files in the order of their paths. f runs outside of transactions.
func (s *Service) eachFile(ctx context.Context, id portal.DatasetID, f func(portal.File) error) error {
	after := ""
	for {
		var page []portal.File
		err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
			found, err := tx.Files(ctx, id, after, pageOfFiles)
			page = found
			return err
		})
		if err != nil {
			return fmt.Errorf("read files: %w", err)
		}
		for _, file := range page {
			if err := f(file); err != nil {
				return err
			}
			after = file.Path
		}
		if len(page) < pageOfFiles {
			return nil
		}
	}
}
