package transfer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// ErrNoCheckpoint says that a run has no such checkpoint.
var ErrNoCheckpoint = errors.New("is not among the run's checkpoints")

// Latest stands for the newest checkpoint.
const Latest = "latest"

// FindCheckpoint gives the checkpoint of that ID, or the newest for Latest. The error
// wraps ErrNoCheckpoint and says what there is.
func FindCheckpoint(run *v1alpha1.TrainingRun, id string) (v1alpha1.Checkpoint, error) {
	all := run.Status.Checkpoints
	if len(all) == 0 {
		return v1alpha1.Checkpoint{}, fmt.Errorf("checkpoint %s %w: run %s has stored none", id, ErrNoCheckpoint, run.Name)
	}
	if id == Latest {
		return all[len(all)-1], nil
	}
	ids := make([]string, 0, len(all))
	for _, c := range all {
		if c.ID == id {
			return c, nil
		}
		ids = append(ids, c.ID)
	}
	return v1alpha1.Checkpoint{}, fmt.Errorf("checkpoint %s %w; there are %s, and %s", id, ErrNoCheckpoint, strings.Join(ids, ", "), Latest)
}

// DownloadCheckpoint brings a checkpoint to a folder as Download brings artifacts: its
// record is verified by the digest in the run's status, the parts by their digests in
// the record. The one part of a checkpoint lies directly in the folder, each of
// several in a folder node-<index> of it. The sum's digest is that of the record.
func DownloadCheckpoint(
	ctx context.Context, o Options, run *v1alpha1.TrainingRun, checkpoint v1alpha1.Checkpoint, dir string,
) (Sum, error) {
	target, err := openTarget(dir, "lethe-"+string(run.UID)+"-"+checkpoint.ID)
	if err != nil {
		return Sum{}, err
	}
	defer target.close()
	record, err := readRecord(ctx, o, run, checkpoint)
	if err != nil {
		return Sum{}, explain(ctx, err, "read the record of checkpoint "+checkpoint.ID, "")
	}
	objects, bytes := record.Size()
	o.Meter.Expect(objects, bytes)
	parts := make(map[int]string, len(record.Parts))
	for _, part := range record.Parts {
		work := filepath.Join(target.work, "part-"+strconv.Itoa(part.Node))
		if parts[part.Node], err = target.fetchPart(ctx, o, run, fetching{record.ID, part, work}); err != nil {
			return Sum{}, err
		}
	}
	files, err := target.assemble(record, parts)
	if err != nil {
		return Sum{}, err
	}
	sum := Sum{Files: objects, Bytes: bytes, Digest: checkpoint.Digest}
	return sum, target.publish(files)
}

// readRecord reads a checkpoint's record and trusts it if it is the one that the
// status pins.
func readRecord(
	ctx context.Context, o Options, run *v1alpha1.TrainingRun, checkpoint v1alpha1.Checkpoint,
) (objectkey.CheckpointRecord, error) {
	store, err := openStore(ctx, o, run)
	if err != nil {
		return objectkey.CheckpointRecord{}, err
	}
	key := objectkey.CheckpointRecordKey(store.prefix, checkpoint.ID)
	data, err := store.read(ctx, key, objectkey.MaxCheckpointRecord)
	if errors.Is(err, objectstore.ErrNotFound) || errors.Is(err, errTooLong) {
		return objectkey.CheckpointRecord{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return objectkey.CheckpointRecord{}, err
	}
	record, err := objectkey.DecodeCheckpointRecord(data, checkpoint.Digest)
	if err == nil && record.ID != checkpoint.ID {
		err = errors.New("it is another checkpoint's")
	}
	if err != nil {
		return objectkey.CheckpointRecord{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return record, nil
}

// fetching is one part of a checkpoint on its way to a folder.
type fetching struct {
	id   string
	part objectkey.CheckpointPartRecord
	work string
}

// fetchPart brings one node's part and says in which folder it is.
func (t *target) fetchPart(ctx context.Context, o Options, run *v1alpha1.TrainingRun, f fetching) (string, error) {
	files := filepath.Join(f.work, collected)
	if f.part.Objects == 0 { // A manifest that lists nothing is no dataset.
		return files, t.makeFolder(files)
	}
	if err := t.makeFolder(f.work); err != nil {
		return "", err
	}
	_, err := t.fetch(ctx, o, downloading{
		broker: o.Broker, namespace: run.Namespace, name: run.Name, digest: f.part.ManifestDigest,
		place: func(prefix string) string { return objectkey.CheckpointPart(prefix, f.id, f.part.Node) },
	}, f.work)
	return files, err
}

func (t *target) makeFolder(name string) error {
	if err := t.root.MkdirAll(name, 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	return nil
}

// assemble puts several parts beside each other and says in which folder.
func (t *target) assemble(record objectkey.CheckpointRecord, parts map[int]string) (string, error) {
	if len(record.Parts) == 1 {
		return parts[record.Parts[0].Node], nil
	}
	all := filepath.Join(t.work, "all")
	if err := t.root.RemoveAll(all); err != nil {
		return "", fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if err := t.makeFolder(all); err != nil {
		return "", err
	}
	for _, part := range record.Parts {
		name := filepath.Join(all, "node-"+strconv.Itoa(part.Node))
		if err := t.root.Rename(parts[part.Node], name); err != nil {
			return "", fmt.Errorf("%w: move the files to their place: %w", ErrFolder, err)
		}
	}
	return all, nil
}
