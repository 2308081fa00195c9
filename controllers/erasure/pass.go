package erasure

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

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
	// maxRetries bounds how many requests one call repeats, so that a store that
	// refuses everything is not asked for hours.
	maxRetries = 16
)

// pauses before a request that failed is made again. minio-go has made it three
// times by itself then, if the network or the whole store was the reason.
var pauses = []time.Duration{500 * time.Millisecond, 2 * time.Second}

// pass removes, or counts, all that one listing finds. It may be run again.
type pass struct {
	engine *Engine
	target Target
	scope  scope
	tally  *tally
	// retries that are left.
	retries atomic.Int64

	mu       sync.Mutex
	failures []error
	more     int // failures that are not remembered
}

func (e *Engine) newPass(t Target, progress func(Inventory)) *pass {
	p := &pass{engine: e, target: t, scope: scope{prefix: t.Prefix}, tally: newTally(e.clock, progress)}
	p.retries.Store(maxRetries)
	return p
}

// runUntilEmpty runs the pass until it finds nothing, which alone is the end: what was
// hidden shows once something else is gone.
func (p *pass) runUntilEmpty(ctx context.Context) error {
	for range maxPasses {
		before := p.tally.sum()
		if err := p.run(ctx); err != nil {
			return err
		}
		if p.tally.sum() == before {
			return nil
		}
	}
	return ErrIncomplete
}

// run aborts uploads first: one that is completed meanwhile becomes a version, which
// is then found.
func (p *pass) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p.abortUploads(ctx, stop)
	if !p.hopeless(ctx) {
		p.removeVersions(ctx, stop)
	}
	return p.failure()
}

func (p *pass) abortUploads(ctx context.Context, stop context.CancelFunc) {
	var workers sync.WaitGroup
	defer workers.Wait()
	slots := make(chan struct{}, batchWorkers)
	for upload, err := range p.engine.store.ListUploads(ctx, p.target.Bucket, p.scope.prefix) {
		if err := p.target.listed(upload.Key, err); err != nil {
			p.fail(err)
			return
		}
		if !p.scope.has(upload.Key) {
			continue
		}
		slots <- struct{}{}
		workers.Go(func() {
			defer func() { <-slots }()
			p.do(ctx, stop, Inventory{Uploads: 1}, func() error {
				return p.engine.store.AbortUpload(ctx, p.target.Bucket, upload)
			})
		})
	}
}

// removeVersions lists and removes at the same time.
func (p *pass) removeVersions(ctx context.Context, stop context.CancelFunc) {
	var workers sync.WaitGroup
	batches := make(chan []objectstore.Version, batchWorkers)
	var waiting, hunger atomic.Int64
	for range batchWorkers {
		workers.Go(func() {
			for {
				waiting.Add(1)
				batch, more := <-batches
				waiting.Add(-1)
				if !more {
					return
				}
				p.do(ctx, stop, sizeOf(batch), func() error {
					return p.engine.store.RemoveVersions(ctx, p.target.Bucket, batch)
				})
			}
		})
	}
	p.list(ctx, func(batch []objectstore.Version) (hungry bool) {
		if waiting.Load() == 0 {
			hunger.Store(0)
		}
		batches <- batch
		// Everybody waits in the beginning, and one for a moment now and then.
		return hunger.Add(1) > 2*batchWorkers
	})
	close(batches)
	workers.Wait()
}

// countAll counts what is there, by one lister: on MinIO several took half as long
// again, because each has the server walk all that follows.
func (p *pass) countAll(ctx context.Context) error {
	for upload, err := range p.engine.store.ListUploads(ctx, p.target.Bucket, p.target.Prefix) {
		if err := p.target.listed(upload.Key, err); err != nil {
			return err
		}
		p.tally.add(Inventory{Uploads: 1})
	}
	p.list(ctx, func(batch []objectstore.Version) (hungry bool) {
		p.tally.add(sizeOf(batch))
		return false
	})
	return p.failure()
}

func (p *pass) list(ctx context.Context, take func([]objectstore.Version) (hungry bool)) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := &listers{
		store: p.engine.store, target: p.target, scope: p.scope, take: take, slots: make(chan struct{}, maxListers),
		fail: func(err error) { p.fail(err); stop() },
	}
	l.run(ctx)
}

func sizeOf(batch []objectstore.Version) Inventory {
	size := Inventory{Versions: int64(len(batch))}
	for _, v := range batch {
		size.Bytes += v.Size
	}
	return size
}

// do makes a request that removes, again if it fails, and stops the pass when all
// that follows would fail too.
func (p *pass) do(ctx context.Context, stop context.CancelFunc, size Inventory, request func() error) {
	if p.hopeless(ctx) {
		return
	}
	err := p.try(ctx, int(size.Versions+size.Uploads), request)
	if err == nil {
		p.tally.add(size)
		return
	}
	p.fail(err)
	if p.hopeless(ctx) {
		stop()
	}
}

// try makes a request of n entries. Entries that were removed by an attempt that
// failed count as removed for the next.
func (p *pass) try(ctx context.Context, n int, request func() error) error {
	for attempt := 0; ; attempt++ {
		if err := p.engine.wait(ctx, n); err != nil {
			return err
		}
		err := request()
		if err == nil || ctx.Err() != nil || attempt == len(pauses) || p.retries.Add(-1) < 0 {
			return err
		}
		if interrupted := p.engine.pause(ctx, pauses[attempt]); interrupted != nil {
			return interrupted
		}
	}
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
	p.mu.Lock()
	defer p.mu.Unlock()
	return hopeless(ctx, p.failures...)
}

func hopeless(ctx context.Context, failures ...error) bool {
	for _, err := range failures {
		if errors.Is(err, objectstore.ErrUnavailable) || errors.Is(err, ErrRefused) {
			return true
		}
	}
	return ctx.Err() != nil
}

func (p *pass) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.more > 0 {
		return errors.Join(append(p.failures, fmt.Errorf("and %d more requests failed", p.more))...)
	}
	return errors.Join(p.failures...)
}
