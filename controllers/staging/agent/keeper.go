package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

const (
	// logPause lies between two questions for new output, hurriedPause once the pod is
	// told to stop.
	logPause     = 10 * time.Second
	hurriedPause = 2 * time.Second
	// storePause lies between two times at which an object that grows is stored.
	storePause = time.Minute
	// storeTimeout bounds one try to store a piece of a log.
	storeTimeout = 30 * time.Second
	// lastLines is how long the end of the output is waited for, and lastStore how long
	// it may take to store it.
	lastLines = 15 * time.Second
	lastStore = time.Minute
	// tellTale is how long the broker has, after the end of the output, to tell of the
	// trainer's.
	tellTale = 5 * time.Second
	// maxSeries is how much of the progress file is kept, in bytes.
	maxSeries = 16 << 20
	// maxAnswers bounds how much is fetched at once of an output that grows as fast as
	// it can be fetched.
	maxAnswers = 16
	// maxPieces bounds the numbers of pieces; stagers that were started again use them up.
	maxPieces = 999
)

// logName names a piece of the output; tailName the end of what is too long to be kept.
const (
	logName  = "trainer-%06d.log"
	tailName = "trainer-tail.log"
)

var errLogFull = errors.New("there is no room for more of the output")

// keeper keeps the trainer's output, and the series of its progress, in the store.
// Nothing that goes wrong with it is a failure of the run.
type keeper struct {
	*work
	archive archive
	ending  logEnd
	// waiting was fetched and finds no room in the archive's piece, until that is stored.
	waiting []byte
	// since is the time of the last line that was fetched, peeked that of the last one
	// that was seen.
	since, peeked time.Time
	// owned is true when the archive's piece is in the store and ours.
	owned bool
	// dirty says that the piece is not stored as it is; kept is when it last was.
	dirty bool
	kept  time.Time
	// series is the size of the progress file as it is stored.
	series int64
	// mute is true when the broker gives no output.
	mute bool
	// complete says that all of the output was fetched, completed since when, in a pod
	// that is being stopped.
	complete  bool
	completed time.Time
	// warned says that the log tells already why nothing is stored.
	warned bool
}

func newKeeper(w *work) *keeper {
	return &keeper{work: w, archive: archive{number: 1}, kept: w.Clock.Now()}
}

// run fetches and stores until the trainer has ended, and then what is left.
func (k *keeper) run(ctx context.Context) {
	for !k.over() {
		k.fetch(ctx)
		if k.Clock.Since(k.kept) >= storePause || k.hurried() {
			k.keep(ctx)
		}
		k.depart()
		pause := logPause
		if k.hurried() {
			pause = hurriedPause
		}
		if !k.rest(ctx, pause) {
			return
		}
	}
	k.finish(ctx)
}

// depart ends the wait for a trainer whose output has ended in a pod that is being
// stopped: the operator hears of such an end only with that of the pod.
func (k *keeper) depart() {
	now := k.Clock.Now()
	switch {
	case !k.complete || !k.hurried():
		k.completed = time.Time{}
	case k.completed.IsZero():
		k.completed = now
	case now.Sub(k.completed) >= tellTale:
		k.leave()
	}
}

// finish fetches the rest of the output and stores all.
func (k *keeper) finish(ctx context.Context) {
	until := k.Clock.Now().Add(lastLines)
	for k.fetch(ctx); !k.complete && !k.mute && k.Clock.Now().Before(until); k.fetch(ctx) {
		if sleep(ctx, k.Clock, minWait) != nil {
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lastStore)
	defer cancel()
	k.keep(ctx)
	if len(k.archive.tail) > 0 {
		k.warn(k.store(ctx, tailName, k.archive.tail, objectstore.PutOptions{}))
	}
}

// fetch takes in what has been put out since the last time. While a full piece can not
// be stored, it only looks whether there is something.
func (k *keeper) fetch(ctx context.Context) {
	for range maxAnswers {
		if k.mute || ctx.Err() != nil {
			return
		}
		k.settle(ctx)
		full, from := len(k.waiting) > 0, k.since
		if full {
			from = k.peeked
		}
		answer, err := k.Broker.Log(ctx, staging.LogRequest{Since: from})
		if err != nil {
			k.refused(ctx, err)
			return
		}
		k.peek(answer)
		if full {
			return
		}
		k.take(answer)
		k.settle(ctx)
		if !answer.More || !answer.Last.After(from) {
			return
		}
	}
}

// peek notes that there is output.
func (k *keeper) peek(answer staging.LogAnswer) {
	k.ending.add(answer.Lines, answer.Last)
	if answer.Last.After(k.peeked) {
		k.peeked = answer.Last
		k.activity.seen(earlier(answer.Last, k.Clock.Now()))
	}
}

// take takes output in.
func (k *keeper) take(answer staging.LogAnswer) {
	k.complete = answer.Ended && !answer.More
	if len(answer.Lines) > 0 {
		k.waiting, k.dirty = answer.Lines, true
	}
	if answer.Last.After(k.since) { // Also without lines: there were too many at once.
		k.since = answer.Last
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// refused notes that the broker does not give what has been put out. An end of the output
// that it told before may have been that of a connection only, unless it is just busy.
func (k *keeper) refused(ctx context.Context, err error) {
	var problem *brokerclient.ProblemError
	if !errors.As(err, &problem) || problem.Problem.Reason != staging.ProblemTooMany {
		k.complete = false
	}
	if ctx.Err() != nil || brokerclient.Retryable(err) {
		return
	}
	k.mute = true
	k.Log.Warn("The broker gives no output of the trainer; the run goes on without", "cause", Cause(err))
}

// settle moves what was fetched into the archive, storing each piece that is full.
func (k *keeper) settle(ctx context.Context) {
	for len(k.waiting) > 0 {
		if k.waiting = k.archive.add(k.waiting); len(k.waiting) == 0 {
			k.waiting = nil
			return
		}
		if !k.storePiece(ctx) {
			return
		}
		k.archive.next()
		k.owned, k.dirty = false, true
	}
}

// keep stores what has grown.
func (k *keeper) keep(ctx context.Context) {
	k.kept = k.Clock.Now()
	if k.dirty && len(k.archive.piece) > 0 {
		k.storePiece(ctx)
	}
	k.keepSeries(ctx)
}

// storePiece stores the archive's piece. One that is there already and not ours is of a
// stager before this one, and stays.
func (k *keeper) storePiece(ctx context.Context) bool {
	for {
		if k.archive.number > maxPieces {
			k.warn(errLogFull)
			return false
		}
		name := fmt.Sprintf(logName, k.archive.number)
		err := k.store(ctx, name, k.archive.piece, objectstore.PutOptions{IfAbsent: !k.owned})
		if errors.Is(err, objectstore.ErrPrecondition) {
			k.archive.number++
			continue
		}
		k.warn(err)
		if err == nil {
			k.owned, k.dirty = true, false
		}
		return err == nil
	}
}

func (k *keeper) store(ctx context.Context, name string, data []byte, options objectstore.PutOptions) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	place, err := k.place(ctx)
	if err != nil {
		return err
	}
	options.ContentType = "text/plain; charset=utf-8"
	return place.putSmall(ctx, k.key(place, name), data, options)
}

func (k *keeper) key(place *session, name string) string {
	return objectkey.LogPrefix(place.prefix, k.Attempt, k.Node.Index) + name
}

// keepSeries stores the progress file as it is now, if it has grown.
func (k *keeper) keepSeries(ctx context.Context) {
	f, info, err := openProgress(k.ArtifactsDir)
	if err != nil {
		return // There is none.
	}
	defer func() { _ = f.Close() }() // It was only read.
	size := min(info.Size(), maxSeries)
	if size == k.series {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	place, err := k.place(ctx)
	if err == nil {
		err = place.persist(ctx, func(ctx context.Context) error {
			_, err := place.send(ctx, k.key(place, progressName), io.NewSectionReader(f, 0, size), size)
			return err
		})
	}
	if err == nil {
		k.series = size
	}
	k.warn(err)
}

// warn tells once why the output is not stored.
func (k *keeper) warn(err error) {
	if err == nil {
		k.warned = false
		return
	}
	if !k.warned {
		k.warned = true
		k.Log.Warn("The trainer's output can not be stored for now; the run goes on", "cause", Cause(err))
	}
}
