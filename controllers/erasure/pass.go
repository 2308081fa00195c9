package erasure

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const (
	// batchSize is what one request removes at most.
	batchSize = objectstore.MaxBatch
	// batchWorkers remove at once. A MinIO server removes a batch serially on each
	// drive, so a few at once use it fully; more only wait.
	batchWorkers = 4
	// maxFailures bounds what is remembered of an erase in which much fails.
	maxFailures = 5
)

// pass removes all that one listing finds.
type pass struct {
	store  Emptier
	target Target

	mu       sync.Mutex
	removed  Inventory
	failures []error
	more     int // failures that are not remembered
}

// run aborts uploads first: one that is completed meanwhile becomes a version, which
// is then found.
func (p *pass) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p.abortUploads(ctx)
	if !p.hopeless(ctx) {
		p.removeVersions(ctx, stop)
	}
	return p.failure()
}

func (p *pass) abortUploads(ctx context.Context) {
	for upload, err := range p.store.ListUploads(ctx, p.target.Bucket, p.target.Prefix) {
		if err := p.target.listed(upload.Key, err); err != nil {
			p.fail(err)
			return
		}
		if err := p.store.AbortUpload(ctx, p.target.Bucket, upload); err != nil {
			p.fail(err)
			if p.hopeless(ctx) {
				return
			}
			continue
		}
		p.count(Inventory{Uploads: 1})
	}
}

// removeVersions lists and removes at the same time. It holds one batch, those that
// are on their way and a page of the listing, however much there is.
func (p *pass) removeVersions(ctx context.Context, stop context.CancelFunc) {
	var workers sync.WaitGroup
	slots := make(chan struct{}, batchWorkers)
	p.batches(ctx, func(batch []objectstore.Version) {
		slots <- struct{}{}
		workers.Go(func() {
			defer func() { <-slots }()
			if p.remove(ctx, batch); p.hopeless(ctx) {
				stop()
			}
		})
	})
	workers.Wait()
}

func (p *pass) remove(ctx context.Context, batch []objectstore.Version) {
	if err := p.store.RemoveVersions(ctx, p.target.Bucket, batch); err != nil {
		p.fail(err)
		return
	}
	removed := Inventory{Versions: int64(len(batch))}
	for _, v := range batch {
		removed.Bytes += v.Size
	}
	p.count(removed)
}

// batches cuts the listing into requests. All versions of a key go into one batch
// where they fit, because the store then rewrites the key once.
func (p *pass) batches(ctx context.Context, send func([]objectstore.Version)) {
	batch := make([]objectstore.Version, 0, batchSize)
	start := 0 // of the last key's versions
	for v, err := range p.store.ListVersions(ctx, p.target.Bucket, p.target.Prefix) {
		if err := p.target.listed(v.Key, err); err != nil {
			p.fail(err)
			return
		}
		sameKey := len(batch) > 0 && batch[len(batch)-1].Key == v.Key
		if len(batch) == batchSize {
			cut := batchSize
			if sameKey && start > 0 {
				cut = start
			}
			rest := append(make([]objectstore.Version, 0, batchSize), batch[cut:]...)
			send(batch[:cut])
			batch, start = rest, 0
		}
		if !sameKey {
			start = len(batch)
		}
		batch = append(batch, v)
	}
	if len(batch) > 0 {
		send(batch)
	}
}

func (p *pass) count(removed Inventory) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removed.add(removed)
}

// fail remembers a failure. After the first that stopped the pass come its echoes.
func (p *pass) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled) && len(p.failures) > 0:
	case len(p.failures) < maxFailures:
		p.failures = append(p.failures, err)
	default:
		p.more++
	}
}

// hopeless reports whether going on would only fail again.
func (p *pass) hopeless(ctx context.Context) bool {
	if ctx.Err() != nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, err := range p.failures {
		if errors.Is(err, objectstore.ErrUnavailable) || errors.Is(err, ErrRefused) {
			return true
		}
	}
	return false
}

func (p *pass) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.more > 0 {
		p.failures = append(p.failures, fmt.Errorf("and %d more requests failed", p.more))
	}
	return errors.Join(p.failures...)
}
