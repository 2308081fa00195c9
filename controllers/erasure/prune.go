package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// scope is the part of a target that a pass is about.
type scope struct {
	// prefix is the target's, or a longer one.
	prefix string
	// within bounds the versions that are listed.
	within span
	// of says whether a key that is listed is meant; nil for all.
	of func(key string) bool
}

func (s scope) has(key string) bool { return s.of == nil || s.of(key) }

// Prune removes every version of the checkpoints under a target that are older than
// the newest of those to keep and are not among them, and drops their unfinished
// uploads. Newer ones are being written, and stay, as does what is no checkpoint's.
// It gives how many versions it has removed, at least, also along with an error.
//
// Guards, repetition and errors are those of Erase. No name to keep, or one that can
// not be a checkpoint's, is ErrRefused: it would be all that goes, or nothing.
func (e *Engine) Prune(ctx context.Context, t Target, keep []string) (removed int64, err error) {
	outdated, err := older(t.Prefix, keep)
	if err != nil {
		return 0, fmt.Errorf("prune checkpoints: %w", err)
	}
	if _, err := e.guard(ctx, t); err != nil {
		return 0, fmt.Errorf("prune checkpoints: %w", err)
	}
	p := e.newPass(t, nil)
	p.scope = outdated
	err = p.runUntilEmpty(ctx)
	if err != nil && !errors.Is(err, ErrIncomplete) {
		err = fmt.Errorf("prune checkpoints: %w", err)
	}
	return p.tally.sum().Versions, err
}

// older is what lies before the newest of the checkpoints to keep and belongs to none
// of them.
func older(prefix string, keep []string) (scope, error) {
	if len(keep) == 0 {
		return scope{}, fmt.Errorf("%w: no checkpoint is named that is to be kept", ErrRefused)
	}
	for _, id := range keep {
		if !objectkey.ValidCheckpointID(id) {
			return scope{}, fmt.Errorf("%w: %q is not the name of a checkpoint", ErrRefused, id)
		}
	}
	newest := slices.Max(keep)
	return scope{
		prefix: objectkey.CheckpointsPrefix(prefix),
		within: span{through: objectkey.CheckpointPrefix(prefix, newest)},
		of: func(key string) bool {
			id, ok := objectkey.CheckpointOf(prefix, key)
			return ok && id < newest && !slices.Contains(keep, id)
		},
	}, nil
}
