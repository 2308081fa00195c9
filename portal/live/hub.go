package live

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Upstream gives the log of a run's trainer.
type Upstream interface {
	// Logs gives lines with their times (RFC 3339 with nanoseconds, and a space) from a time
	// on, zero for all, and goes on as they come until the trainer ends or ctx does. The time
	// may be taken in whole seconds. An error of portal.KindNotFound says that there is no
	// trainer: none has begun, or it is gone.
	Logs(ctx context.Context, namespace, object string, since time.Time) (io.ReadCloser, error)
}

// HubOptions bound a hub. The zero value works.
type HubOptions struct {
	// RingBytes is how much of each log is kept in memory; 512 KiB if 0.
	RingBytes int
	// Streams is how many logs may be read at once; 256 if 0.
	Streams int
	// Share is how many of them may be of one tenant's runs, so that nobody takes all; an
	// eighth if 0.
	Share int
	// Linger is for how long a stream goes on that nobody reads any more; 5 s if 0. A page
	// that is loaded again, or an EventSource that connects again, finds it there.
	Linger time.Duration
	// Retry is the pause before a stream that broke is asked for again; 2 s if 0. It
	// doubles with each failure up to 16 times that. A trainer that has not begun is waited
	// for in the same way, because the cluster tells of states, not of containers.
	Retry time.Duration
}

const (
	defaultRing    = 512 << 10
	defaultStreams = 256
	shares         = 8
	defaultLinger  = 5 * time.Second
	defaultRetry   = 2 * time.Second
	retryDoublings = 4
)

// place is a run in the cluster.
type place struct{ namespace, object string }

// Hub shares one stream of each run's log among all who read it. Use NewHub.
type Hub struct {
	upstream Upstream
	// over reports whether a run will put out nothing more.
	over    func(ctx context.Context, at place) (bool, error)
	log     *slog.Logger
	options HubOptions

	mutex   sync.Mutex
	streams map[place]*stream
}

// newHub makes a hub.
func newHub(upstream Upstream, over func(context.Context, place) (bool, error), log *slog.Logger, o HubOptions) *Hub {
	if o.RingBytes <= 0 {
		o.RingBytes = defaultRing
	}
	if o.Streams <= 0 {
		o.Streams = defaultStreams
	}
	if o.Share <= 0 {
		o.Share = max(o.Streams/shares, 1)
	}
	if o.Linger <= 0 {
		o.Linger = defaultLinger
	}
	if o.Retry <= 0 {
		o.Retry = defaultRetry
	}
	return &Hub{upstream: upstream, over: over, log: log, options: o, streams: map[place]*stream{}}
}

// stream is one run's log.
type stream struct {
	hub *Hub
	at  place
	// cancel ends the reading; readers and lingering are the hub's to change.
	cancel    context.CancelFunc
	readers   int
	lingering *time.Timer
	// nudged is told to look again now.
	nudged chan struct{}

	mutex sync.Mutex
	ring  ring
	// changed is closed, and another put in its place, when there is more.
	changed chan struct{}
	ended   bool
}

// subscribe gives a reader that begins after a position.
func (h *Hub) subscribe(at place, after portal.LogPosition) (*reader, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	s, ok := h.streams[at]
	if !ok {
		if err := h.room(at.namespace); err != nil {
			return nil, err
		}
		s = h.begin(at)
	}
	if s.lingering != nil {
		s.lingering.Stop()
		s.lingering = nil
	}
	s.readers++
	s.mutex.Lock()
	defer s.mutex.Unlock()
	r := &reader{stream: s, after: after}
	r.next, r.skipped = s.ring.find(after)
	return r, nil
}

// room makes sure of a place for one more stream of a tenant's: one that only lingers gives
// way.
func (h *Hub) room(namespace string) error {
	all, own := 0, 0
	var idle, ownIdle *stream
	for at, s := range h.streams {
		all++
		if s.readers == 0 {
			idle = s
		}
		if at.namespace != namespace {
			continue
		}
		own++
		if s.readers == 0 {
			ownIdle = s
		}
	}
	switch {
	case own >= h.options.Share && ownIdle != nil:
		h.drop(ownIdle)
	case own >= h.options.Share:
		return &portal.Error{Kind: portal.KindTooMany, Message: "You read many logs at once already. Close some of their pages; then this one goes on.", RetryAfter: 10 * time.Second}
	case all >= h.options.Streams && idle != nil:
		h.drop(idle)
	case all >= h.options.Streams:
		return &portal.Error{Kind: portal.KindUnavailable, Message: "Too many logs are being read just now. Try again in a minute.", RetryAfter: time.Minute}
	}
	return nil
}

// begin starts a stream. The reading outlives whoever came first.
func (h *Hub) begin(at place) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{
		hub: h, at: at, cancel: cancel, nudged: make(chan struct{}, 1),
		ring: ring{limit: h.options.RingBytes}, changed: make(chan struct{}),
	}
	h.streams[at] = s
	go s.read(ctx)
	return s
}

// leave counts a reader out. The last one starts the linger.
func (h *Hub) leave(s *stream) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	s.readers--
	if s.readers > 0 {
		return
	}
	s.lingering = time.AfterFunc(h.options.Linger, func() { h.end(s) })
}

// end forgets a stream that nobody reads.
func (h *Hub) end(s *stream) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if s.readers > 0 || h.streams[s.at] != s {
		return
	}
	h.drop(s)
}

// drop ends a stream. Its caller holds the mutex.
func (h *Hub) drop(s *stream) {
	delete(h.streams, s.at)
	s.cancel()
}

// nudge has a stream that waits look again now.
func (h *Hub) nudge(at place) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if s, ok := h.streams[at]; ok {
		select {
		case s.nudged <- struct{}{}:
		default:
		}
	}
}

// read brings the log until it is over or nobody wants it.
func (s *stream) read(ctx context.Context) {
	defer s.finish()
	failures := 0
	for ctx.Err() == nil {
		n, err := s.once(ctx)
		if n > 0 {
			failures = 0
		}
		over, errOver := s.hub.over(ctx, s.at)
		if over && errOver == nil {
			return
		}
		if err != nil && portal.KindOf(err) != portal.KindNotFound && ctx.Err() == nil {
			s.hub.log.WarnContext(ctx, "A log broke off; it is asked for again", "namespace", s.at.namespace, "object", s.at.object, "cause", err.Error())
		}
		pause := time.NewTimer(s.hub.options.Retry << min(failures, retryDoublings))
		failures++
		select {
		case <-ctx.Done():
		case <-s.nudged:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// once reads one stream from the cluster to its end, and gives how many lines were new.
// The first time it begins with the oldest line, whatever its readers have seen before:
// others may come who have seen nothing.
func (s *stream) once(ctx context.Context) (int, error) {
	s.mutex.Lock()
	last := s.ring.last
	s.mutex.Unlock()
	body, err := s.hub.upstream.Logs(ctx, s.at.namespace, s.at.object, last.At)
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = body.Close() })
	defer func() {
		if stop() {
			_ = body.Close() // It was only read.
		}
	}()
	n := 0
	err = eachLine(body, last, func(lines []portal.LogLine) {
		n += len(lines)
		s.add(lines)
	})
	return n, err
}

// add puts lines into the ring and tells the readers.
func (s *stream) add(lines []portal.LogLine) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, line := range lines {
		s.ring.add(line)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// finish tells the readers that nothing more comes.
func (s *stream) finish() {
	s.hub.mutex.Lock()
	if s.hub.streams[s.at] == s {
		delete(s.hub.streams, s.at)
	}
	s.hub.mutex.Unlock()
	s.cancel()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.ended = true
	close(s.changed)
	s.changed = make(chan struct{})
}

// Bounds of what a reader gets at once.
const (
	partLines = 500
	partBytes = 64 << 10
)

// reader is somebody's place in a stream. It implements portal.LogTail.
type reader struct {
	stream  *stream
	after   portal.LogPosition
	next    int64
	skipped int64
	once    sync.Once
}

// Next implements portal.LogTail.
func (r *reader) Next(ctx context.Context) (portal.LogPart, error) {
	for {
		part, changed, ended := r.take()
		if part.Skipped != 0 || len(part.Lines) > 0 {
			return part, nil
		}
		if ended {
			return portal.LogPart{}, io.EOF
		}
		select {
		case <-ctx.Done():
			return portal.LogPart{}, ctx.Err()
		case <-changed:
		}
	}
}

// take copies what is there after the reader's place.
func (r *reader) take() (portal.LogPart, <-chan struct{}, bool) {
	s := r.stream
	s.mutex.Lock()
	defer s.mutex.Unlock()
	part := portal.LogPart{Skipped: r.skipped}
	r.skipped = 0
	if lost := s.ring.first - r.next; lost > 0 {
		r.next = s.ring.first
		if part.Skipped >= 0 {
			part.Skipped += lost
		}
	}
	bytes := 0
	for r.next < s.ring.end() && len(part.Lines) < partLines && bytes < partBytes {
		line := s.ring.at(r.next)
		r.next++
		// A stream that was begun for this reader brings what it has seen before.
		if !r.after.Before(line.Position) {
			continue
		}
		part.Lines = append(part.Lines, line)
		bytes += len(line.Text)
	}
	return part, s.changed, s.ended
}

// Close implements portal.LogTail.
func (r *reader) Close() {
	r.once.Do(func() { r.stream.hub.leave(r.stream) })
}
