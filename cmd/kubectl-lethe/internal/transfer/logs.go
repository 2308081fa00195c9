package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// What a node's log consists of in the store, below objectkey.LogPrefix: pieces in
// their order, the end of what did not go into them, and the trainer's progress.
const (
	pieceName    = "trainer-%06d.log"
	tailName     = "trainer-tail.log"
	progressName = "progress.jsonl"
	// maxPieces and the bounds in bytes are above those of the agent that writes.
	maxPieces   = 1000
	maxPiece    = 8 << 20
	maxProgress = 32 << 20
)

// ErrNoLog says that a run has stored no log.
var ErrNoLog = errors.New("there is no stored log")

// LogPiece is a part of a stored log. Each line of it has its time before it (RFC 3339
// with nanoseconds, and a space). A stager that was started again begins anew, so a
// piece may repeat what others have.
type LogPiece struct {
	Lines []byte
	// Gap says that what came before it was not kept.
	Gap bool
}

// ReadLog calls visit with the parts of what a node's trainer has put out in an
// attempt, in their order. The error wraps ErrNoLog if nothing of it is stored.
func ReadLog(
	ctx context.Context, o Options, run *v1alpha1.TrainingRun, attempt, node int, visit func(LogPiece) error,
) error {
	store, err := openStore(ctx, o, run)
	if err != nil {
		return explain(ctx, err, "read the stored log", "")
	}
	found, err := store.log(ctx, objectkey.LogPrefix(store.prefix, attempt, node), visit)
	if err != nil {
		return explain(ctx, err, "read the stored log", "")
	}
	if !found {
		return fmt.Errorf("%w of attempt %d on node %d", ErrNoLog, attempt, node)
	}
	return nil
}

// log reports whether there was anything.
func (r *reader) log(ctx context.Context, prefix string, visit func(LogPiece) error) (found bool, err error) {
	for number := 1; number <= maxPieces; number++ {
		data, ok, err := r.optional(ctx, prefix+fmt.Sprintf(pieceName, number), maxPiece)
		if err != nil {
			return found, err
		}
		if !ok {
			break
		}
		found = true
		if err := visit(LogPiece{Lines: data}); err != nil {
			return found, err
		}
	}
	if !found {
		return false, nil
	}
	data, ok, err := r.optional(ctx, prefix+tailName, maxPiece)
	if err != nil || !ok {
		return found, err
	}
	return found, visit(LogPiece{Lines: data, Gap: true})
}

// optional reads what need not be there. A store may answer with a refusal where
// there is nothing: it does not tell whether something is there to who may not list.
func (r *reader) optional(ctx context.Context, key string, limit int64) (data []byte, ok bool, err error) {
	data, err = r.read(ctx, key, limit)
	if errors.Is(err, objectstore.ErrNotFound) || errors.Is(err, objectstore.ErrDenied) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// DownloadLogs brings what all nodes of a run have logged, in all attempts, to a folder
// that is empty or does not exist yet, in folders attempt-<n>/node-<index> with the
// files trainer.log, trainer-tail.log where the middle was not kept, and
// progress.jsonl. The store keeps no digests of logs, so they are not verified. The
// error wraps ErrNoLog if there is nothing.
func DownloadLogs(ctx context.Context, o Options, run *v1alpha1.TrainingRun, dir string) (Sum, error) {
	target, err := openTarget(dir, "lethe-"+string(run.UID)+"-logs")
	if err != nil {
		return Sum{}, err
	}
	defer target.close()
	store, err := openStore(ctx, o, run)
	if err != nil {
		return Sum{}, explain(ctx, err, "download the logs", "")
	}
	files := filepath.Join(target.work, collected)
	if err := target.root.RemoveAll(files); err != nil {
		return Sum{}, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	c := logCollector{target: target, store: store, files: files}
	for attempt := 1; attempt <= int(run.Status.Attempt); attempt++ {
		for node := range run.Spec.Nodes.Size() {
			if err := c.collect(ctx, attempt, node); err != nil {
				return Sum{}, explain(ctx, err, "download the logs", "")
			}
		}
	}
	if c.sum.Files == 0 {
		return Sum{}, fmt.Errorf("%w of run %s", ErrNoLog, run.Name)
	}
	return c.sum, target.publish(files)
}

// logCollector writes logs below a folder of the target's.
type logCollector struct {
	target *target
	store  *reader
	files  string
	sum    Sum
}

// collect brings the log of a node in an attempt.
func (c *logCollector) collect(ctx context.Context, attempt, node int) error {
	prefix := objectkey.LogPrefix(c.store.prefix, attempt, node)
	folder := filepath.Join(c.files, "attempt-"+strconv.Itoa(attempt), "node-"+strconv.Itoa(node))
	_, err := c.store.log(ctx, prefix, func(piece LogPiece) error {
		name := "trainer.log"
		if piece.Gap {
			name = tailName
		}
		return c.append(folder, name, piece.Lines)
	})
	if err != nil {
		return err
	}
	data, ok, err := c.store.optional(ctx, prefix+progressName, maxProgress)
	if err != nil || !ok {
		return err
	}
	return c.append(folder, progressName, data)
}

func (c *logCollector) append(folder, name string, data []byte) error {
	if err := c.target.makeFolder(folder); err != nil {
		return err
	}
	file, err := c.target.root.OpenFile(filepath.Join(folder, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if end, err := file.Seek(0, io.SeekEnd); err == nil && end == 0 {
		c.sum.Files++
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	c.sum.Bytes += int64(len(data))
	return nil
}
