package erasure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// maxAsked is of how many versions it is asked how long they are retained: one
// request for each. What was uploaded together is retained equally long.
const maxAsked = 200

// guard refuses a target before anything is listed or removed.
func (e *Engine) guard(ctx context.Context, t Target) (objectstore.BucketFacts, error) {
	var facts objectstore.BucketFacts
	if err := t.check(e.reserved); err != nil {
		return facts, err
	}
	if err := t.sameStore(e.Identity(ctx, t.Bucket)); err != nil {
		return facts, err
	}
	facts, err := e.store.Facts(ctx, t.Bucket)
	if err != nil {
		return facts, err
	}
	if !facts.ObjectLock {
		return facts, nil
	}
	until, err := e.retainedUntil(ctx, t)
	if err != nil {
		return facts, err
	}
	return facts, &LockedError{Until: until}
}

// retainedUntil gives the latest date up to which one of the first versions is
// retained.
func (e *Engine) retainedUntil(ctx context.Context, t Target) (time.Time, error) {
	var latest time.Time
	asked := 0
	for v, err := range e.store.ListVersionsFrom(ctx, t.Bucket, t.Prefix, "") {
		if err := t.listed(v.Key, err); err != nil {
			return latest, err
		}
		if asked++; asked > maxAsked {
			break
		}
		until, err := e.store.RetainedUntil(ctx, t.Bucket, v)
		if err != nil && !missing(err) {
			return latest, err
		}
		if until.After(latest) {
			latest = until
		}
	}
	return latest, nil
}

// prefixRemovable says whether nothing in the bucket's configuration depends on
// removals one by one. Whether the store can do it otherwise, it says itself.
func prefixRemovable(f objectstore.BucketFacts) bool {
	return !f.ObjectLock && !f.Replication && !f.Notification && !f.Tiering
}

// removePrefix takes the fast path as far as it goes. Its error counts only if what
// follows fails too, unless nothing can follow.
func (e *Engine) removePrefix(ctx context.Context, p *pass) error {
	beside, err := e.beside(ctx, p.target)
	if beside || err != nil {
		return err
	}
	if err := e.wait(ctx, 1); err != nil {
		return err
	}
	err = e.store.RemovePrefix(ctx, p.target.Bucket, p.target.Prefix)
	if errors.Is(err, objectstore.ErrUnsupported) {
		return nil
	}
	return err
}

// beside reports whether there is an object whose key is the prefix without its
// slash. It is no part of the target, but for MinIO both are the same folder, and
// would go together.
func (e *Engine) beside(ctx context.Context, t Target) (bool, error) {
	name := strings.TrimSuffix(t.Prefix, "/")
	for v, err := range e.store.ListVersionsFrom(ctx, t.Bucket, name, "") {
		if err != nil {
			return false, fmt.Errorf("look beside the prefix: %w", err)
		}
		return v.Key == name, nil // The shortest comes first.
	}
	return false, nil
}
