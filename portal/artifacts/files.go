package artifacts

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

// What a node's log consists of, as the stager writes it: pieces in their order, the end of
// what is too long to be kept, and the trainer's progress.
const (
	pieceName  = "trainer-%06d.log"
	tailName   = "trainer-tail.log"
	seriesName = "progress.jsonl"
	maxPieces  = 1000
	// probes is how many questions go to the store at once.
	probes = 8
)

// Artifacts gives at most limit files of the manifest, in its order, after a path. A
// manifest that has another digest than is wanted is an error: the list would not be what
// the operator has told of.
func (s *Store) Artifacts(ctx context.Context, g portal.Grant, manifest, after string, limit int) (portal.RunFiles, error) {
	content, err := s.open(ctx, g, objectkey.Manifest(g.Prefix))
	if err != nil {
		return portal.RunFiles{}, err
	}
	defer func() { _ = content.Body.Close() }() // It was only read.
	out := portal.RunFiles{Files: []portal.RunFile{}}
	sum, err := objectkey.ReadManifest(content.Body, func(e objectkey.Entry) error {
		switch {
		case e.Path <= after:
		case len(out.Files) == limit:
			out.More = true
		default:
			out.Files = append(out.Files, portal.RunFile{Kind: portal.FileArtifact, Path: e.Path, Size: e.Size, SHA256: e.SHA256})
		}
		return nil
	})
	switch {
	case errors.Is(err, objectkey.ErrBadManifest):
		return portal.RunFiles{}, fmt.Errorf("read the manifest: %w", err)
	case err != nil:
		return portal.RunFiles{}, unavailable
	case manifest != "" && sum.Digest != manifest:
		return portal.RunFiles{}, errors.New("read the manifest: it is not the one that was published")
	}
	out.Manifest = sum.Digest
	return out, nil
}

// Logs gives the files of the logs of one attempt on so many nodes, in their order.
func (s *Store) Logs(ctx context.Context, g portal.Grant, attempt, nodes int) ([]portal.RunFile, error) {
	found := make([][]portal.RunFile, nodes)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(probes)
	for i := range found {
		group.Go(func() error {
			var err error
			found[i], err = s.nodeLogs(ctx, g, objectkey.LogPrefix("", attempt, i))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var files []portal.RunFile
	for _, some := range found {
		files = append(files, some...)
	}
	return files, nil
}

// nodeLogs asks for one file after the other, since nothing may be listed.
func (s *Store) nodeLogs(ctx context.Context, g portal.Grant, folder string) ([]portal.RunFile, error) {
	var files []portal.RunFile
	ask := func(name string) (bool, error) {
		size, err := s.stat(ctx, g, g.Prefix+folder+name)
		switch {
		case err == nil:
			files = append(files, portal.RunFile{Kind: portal.FileLog, Path: folder + name, Size: size})
			return true, nil
		case portal.KindOf(err) == portal.KindNotFound:
			return false, nil
		default:
			return false, err
		}
	}
	for n := 1; n <= maxPieces; n++ {
		if there, err := ask(fmt.Sprintf(pieceName, n)); err != nil || !there {
			if err != nil {
				return nil, err
			}
			break
		}
	}
	for _, name := range []string{tailName, seriesName} {
		if _, err := ask(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Checkpoint gives the files of a checkpoint, of all nodes.
func (s *Store) Checkpoint(ctx context.Context, g portal.Grant, id string) ([]portal.RunFile, error) {
	if !objectkey.ValidCheckpointID(id) {
		return nil, portal.ErrNotFound
	}
	data, err := s.read(ctx, g, objectkey.CheckpointRecordKey(g.Prefix, id), objectkey.MaxCheckpointRecord)
	if err != nil {
		return nil, err
	}
	record, err := objectkey.DecodeCheckpointRecord(data, objectkey.Digest(data))
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint's record: %w", err)
	}
	var files []portal.RunFile
	for _, part := range record.Parts {
		prefix := objectkey.CheckpointPart(g.Prefix, id, part.Node)
		some, err := s.part(ctx, g, prefix, part.ManifestDigest)
		if err != nil {
			return nil, err
		}
		files = append(files, some...)
	}
	return files, nil
}

// maxCheckpointFiles bounds what is listed of one node's part.
const maxCheckpointFiles = 200

func (s *Store) part(ctx context.Context, g portal.Grant, prefix, digest string) ([]portal.RunFile, error) {
	place := g
	place.Prefix = prefix
	found, err := s.Artifacts(ctx, place, digest, "", maxCheckpointFiles)
	if err != nil {
		return nil, err
	}
	for i, file := range found.Files {
		found.Files[i].Kind = portal.FileCheckpoint
		found.Files[i].Path = strings.TrimPrefix(objectkey.Data(prefix, file.Path), g.Prefix)
	}
	return found.Files, nil
}
