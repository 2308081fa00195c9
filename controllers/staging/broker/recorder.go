package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// maxRecords bounds the runs whose progress is remembered at a time.
	maxRecords = 8192
	// maxWrites bounds the writes of statuses that are under way.
	maxWrites = 32
	// recordLife is how long a run is remembered after its last message. It may be
	// forgotten at any time: its status has what counts.
	recordLife = 5 * time.Minute
	tidyPause  = time.Minute
)

// recorder writes what trainers tell of themselves into the statuses of their runs: of
// each run by one writer at a time, and not more often than every
// staging.ProgressInterval. A checkpoint is written at once, and takes along what is
// held back.
type recorder struct {
	cached   client.Reader
	live     client.Reader
	statuses StatusWriter
	clock    clock.WithTicker
	log      logr.Logger
	metrics  *metrics
	// stopping is closed when the server stops: what is held back is written then.
	stopping <-chan struct{}
	// slots bound the writes under way.
	slots chan struct{}
	// writers are the goroutines that hold something back.
	writers sync.WaitGroup

	mu      sync.Mutex
	records map[types.UID]*record
}

// record is what is known of one run. The recorder's lock guards it, but for writing.
type record struct {
	run types.NamespacedName
	uid types.UID
	// writing has room for the one who writes.
	writing chan struct{}
	// told is the newest message; nil before the first. What it points to is not changed.
	told *v1alpha1.Progress
	// pending says that told is not in the status yet, busy that somebody sees to it.
	pending bool
	busy    bool
	// users keep the record from being forgotten.
	users int
	// written is when the status was last written, touched when a message last came.
	written time.Time
	touched time.Time
}

// take takes a message that is newer than what is known of the run, and has it written
// in time. Errors are refusals. Memory is all that it waits for.
func (w *recorder) take(ctx context.Context, run *v1alpha1.TrainingRun, told v1alpha1.Progress) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	rec := w.recordOf(client.ObjectKeyFromObject(run), run.UID)
	if rec == nil {
		return tooMany()
	}
	known := rec.goOn(run.Status.Progress)
	if known != nil && told.Attempt < known.Attempt {
		return gone(staging.ProblemRunEnded, "the attempt is over, and the run is at a later one")
	}
	if known != nil && known.PodUID == told.PodUID {
		if told.Sequence <= known.Sequence {
			return gone(staging.ProblemReplayed, "the message is not newer than the last one of this pod; count on from there")
		}
		if known.LastActivityTime != nil && told.LastActivityTime.Before(known.LastActivityTime) {
			told.LastActivityTime = known.LastActivityTime
		}
	}
	rec.told, rec.pending, rec.touched = &told, true, w.clock.Now()
	if !rec.busy {
		rec.busy = true
		// It outlives the request, and ends by itself.
		w.writers.Go(func() { w.see(context.WithoutCancel(ctx), rec) })
	}
	return nil
}

// goOn gives the newest message that is known. One that another replica has written, or
// this one in an earlier life, counts as written when it came; a status has whole
// seconds.
func (r *record) goOn(status *v1alpha1.Progress) *v1alpha1.Progress {
	known := newer(r.told, status)
	if known == nil || known == r.told || known.LastUpdateTime == nil {
		return known
	}
	if at := known.LastUpdateTime.Add(time.Second); at.After(r.written) {
		r.written = at
	}
	return known
}

// recordOf gives the run's record, a new one if need be, and nil if there is no room.
// The lock is held.
func (w *recorder) recordOf(run types.NamespacedName, uid types.UID) *record {
	if rec := w.records[uid]; rec != nil {
		return rec
	}
	if len(w.records) >= maxRecords {
		w.forget(func(rec *record) bool { return w.clock.Since(rec.touched) >= staging.ProgressInterval })
	}
	if len(w.records) >= maxRecords {
		return nil
	}
	rec := &record{run: run, uid: uid, writing: make(chan struct{}, 1), touched: w.clock.Now()}
	w.records[uid] = rec
	return rec
}

// forget drops records that hold nothing back and are not in use. The lock is held.
func (w *recorder) forget(over func(*record) bool) {
	for uid, rec := range w.records {
		if !rec.busy && !rec.pending && rec.users == 0 && over(rec) {
			delete(w.records, uid)
		}
	}
}

// see writes what is pending of a run when its time has come, until nothing is.
func (w *recorder) see(ctx context.Context, rec *record) {
	for {
		wait, pending := w.due(rec)
		if !pending {
			return
		}
		if wait > 0 && w.pause(wait) {
			continue // A checkpoint may have taken it along.
		}
		if err := w.flush(ctx, rec); err != nil {
			w.failed(rec, err)
		}
	}
}

// due says whether something is pending, and how long it has to wait. When nothing is,
// the next message starts another writer.
func (w *recorder) due(rec *record) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !rec.pending {
		rec.busy = false
		return 0, false
	}
	return rec.written.Add(staging.ProgressInterval).Sub(w.clock.Now()), true
}

// pause waits, and reports false at once when the server stops.
func (w *recorder) pause(wait time.Duration) bool {
	timer := w.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-w.stopping:
		return false
	}
}

// failed notes that a write did not succeed. What can be written later is held back
// for another interval, but a server that stops has no later.
func (w *recorder) failed(rec *record, err error) {
	over := final(err)
	select {
	case <-w.stopping:
		over = true
	default:
	}
	w.metrics.writes.WithLabelValues(writeFailed).Inc()
	w.log.Error(err, "Could not write a run's progress", "namespace", rec.run.Namespace, "run", rec.run.Name, "again", !over)
	w.mu.Lock()
	defer w.mu.Unlock()
	rec.written = w.clock.Now()
	if over {
		rec.pending = false
	}
}

// settle waits until what was held back is written, which the stop of the server has
// begun.
func (w *recorder) settle(ctx context.Context) error {
	settled := make(chan struct{})
	go func() { w.writers.Wait(); close(settled) }()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("write what trainers told last: %w", ctx.Err())
	}
}

// tidy forgets runs that have ended, until ctx ends.
func (w *recorder) tidy(ctx context.Context) {
	ticker := w.clock.NewTicker(tidyPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			w.sweep(ctx)
		}
	}
}

// sweep forgets the runs that have ended or have been silent for recordLife.
func (w *recorder) sweep(ctx context.Context) {
	w.mu.Lock()
	known := make(map[types.UID]types.NamespacedName, len(w.records))
	for uid, rec := range w.records {
		known[uid] = rec.run
	}
	w.mu.Unlock()
	over := map[types.UID]bool{}
	for uid, name := range known {
		var run v1alpha1.TrainingRun
		err := w.cached.Get(ctx, name, &run)
		if client.IgnoreNotFound(err) == nil {
			over[uid] = err != nil || run.UID != uid || run.Status.State.Finished()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(func(rec *record) bool { return over[rec.uid] || w.clock.Since(rec.touched) >= recordLife })
}

// size is the number of runs that are remembered.
func (w *recorder) size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.records)
}
