package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

const (
	// lookPause lies between two looks at what the trainer writes.
	lookPause = 5 * time.Second
	// heartbeat is how often the broker is told that there is nothing new.
	heartbeat = time.Minute
	// lastWord is how long the last message may take.
	lastWord = 5 * time.Second
	// maxBacklog is how much of the progress file is read at once, in bytes. Of more,
	// only the end: the newest is all that is told.
	maxBacklog = 1 << 20
)

// progressName is the progress file in the artifacts folder.
var progressName = filepath.Base(staging.ProgressFile)

// activity is when the trainer was last seen to do something.
type activity struct {
	mu   sync.Mutex
	last time.Time
}

func (a *activity) seen(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at.After(a.last) {
		a.last = at
	}
}

func (a *activity) idle(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(now.Sub(a.last), 0)
}

// relay tells the broker what the trainer tells of itself. Nothing that goes wrong with
// it is a failure of the run.
type relay struct {
	*work
	file tail
	told told
	pace pace
	// files is what the folder of checkpoints was like when it was last looked at.
	files *fingerprint

	sequence int64
	// changed says that there is something that the broker does not know.
	changed bool
	// mute is true when the broker does not want to hear of it.
	mute   bool
	posted time.Time
}

func newRelay(w *work) *relay {
	return &relay{
		work:   w,
		file:   tail{lines: lineReader{limit: maxProgressLine}},
		mute:   w.Node.Index > 0, // The run's progress is that of the first node.
		posted: w.Clock.Now().Add(-staging.ProgressInterval),
	}
}

// run looks and tells until the trainer has ended, and then once more.
func (r *relay) run(ctx context.Context) {
	for {
		ended := r.over()
		r.look()
		if ended {
			ctx, cancel := context.WithTimeout(ctx, lastWord)
			defer cancel()
			if r.changed && !r.mute {
				r.post(ctx)
			}
			return
		}
		if r.due() {
			r.post(ctx)
		}
		if !r.rest(ctx, lookPause) {
			return
		}
	}
}

func (r *relay) due() bool {
	if r.mute {
		return false
	}
	since := r.Clock.Since(r.posted)
	return since >= heartbeat || r.changed && since >= staging.ProgressInterval
}

// look takes in what has been written since the last look.
func (r *relay) look() {
	now := r.Clock.Now()
	told := false
	r.file.read(r.ArtifactsDir, func(line []byte) {
		if t, ok := parseProgress(line); ok {
			r.told.merge(t)
			told = true
		}
	})
	if told {
		r.changed = true
		r.activity.seen(now)
		if done, ok := r.told.done(); ok {
			r.pace.observe(done, now)
		}
	}
	found, err := lookAround(r.ArtifactsDir)
	if err != nil {
		return
	}
	if r.files != nil && *r.files != found.all {
		r.activity.seen(now)
	}
	r.files = &found.all
}

func (r *relay) post(ctx context.Context) {
	now := r.Clock.Now()
	request := r.told.request()
	request.RemainingSeconds = r.pace.remaining(now)
	request.IdleSeconds = int64(r.activity.idle(now) / time.Second)
	// A stager that was started again goes on with greater numbers than before.
	r.sequence = max(r.sequence+1, now.UnixMilli())
	request.Sequence = r.sequence
	err := r.Broker.Progress(ctx, request)
	var problem *brokerclient.ProblemError
	switch {
	case err == nil:
		r.changed, r.posted = false, now
	case ctx.Err() != nil || brokerclient.Retryable(err):
	case errors.As(err, &problem) && problem.Problem.Reason == staging.ProblemReplayed:
	default:
		r.mute = true
		r.Log.Warn("The broker takes no progress; the run goes on without", "cause", Cause(err))
	}
}

// tail reads on in a file that somebody else appends to, replaces or cuts off as they like.
type tail struct {
	lines  lineReader
	file   fs.FileInfo
	offset int64
}

// read passes on the lines that are new. What can not be read is as good as not there.
func (t *tail) read(artifactsDir string, line func([]byte)) {
	f, info, err := openProgress(artifactsDir)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }() // It was only read.
	if t.file == nil || !os.SameFile(t.file, info) || info.Size() < t.offset {
		t.offset = 0
		t.lines.reset(false)
	}
	t.file = info
	if skip := info.Size() - maxBacklog; skip > t.offset {
		t.offset = skip
		t.lines.reset(true)
	}
	buffer := make([]byte, min(bufferSize, max(info.Size()-t.offset, 0)))
	for t.offset < info.Size() {
		n, err := f.ReadAt(buffer[:min(int64(len(buffer)), info.Size()-t.offset)], t.offset)
		t.offset += int64(n)
		t.lines.feed(buffer[:n], line)
		if err != nil || n == 0 {
			return
		}
	}
}

// openProgress opens the progress file if it is a file.
func openProgress(artifactsDir string) (*os.File, fs.FileInfo, error) {
	root, err := os.OpenRoot(artifactsDir)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = root.Close() }() // Nothing is buffered in a folder's handle.
	f, err := root.OpenFile(progressName, openGently, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrInvalid
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
