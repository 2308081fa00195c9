package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Receipts gives records of erases.
type Receipts interface {
	// Receipt gives the envelope as the operator signed it; portal.ErrNotFound (by its kind)
	// until it is there.
	Receipt(ctx context.Context, namespace, uid string) ([]byte, error)
}

// Listener hears of every run that was seen, after it was written: first what is in the
// store now. It must not wait for anything.
type Listener interface {
	RunChanged(run portal.Run)
}

// Dependencies is what a Follower needs; all but Listener is required.
type Dependencies struct {
	Store    portal.Store
	Receipts Receipts
	Listener Listener
	Log      *slog.Logger
	Now      func() time.Time
	Random   io.Reader
}

// Options choose what may differ between installations. The zero value works.
type Options struct {
	// NoticeBefore is how long before its end a dataset's owner is told; 3 days if 0. Of a
	// dataset that is kept for less than that, it is a third of its time.
	NoticeBefore time.Duration
	// Retry is how long after a failure it is tried again; 5 s if 0.
	Retry time.Duration
	// Settle is how long after Synced something may still turn up before it counts as gone;
	// 30 s if 0. Replicas make objects that our informers hear of a moment later.
	Settle time.Duration
}

const (
	defaultNotice = 3 * 24 * time.Hour
	defaultRetry  = 5 * time.Second
	defaultSettle = 30 * time.Second
	// maxRetry bounds the pause between tries of one object.
	maxRetry = time.Minute
)

// kind is what an object is.
type kind string

const (
	aDataset kind = "dataset"
	aRun     kind = "run"
	aTenant  kind = "tenant"
)

// key names one object of the cluster.
type key struct {
	kind              kind
	namespace, object string
}

// sight is the newest that was seen of an object. A sight without content is a reason to
// look at what is in the store.
type sight struct {
	seen    bool
	uid     string
	dataset portal.DatasetSeen
	run     portal.RunSeen
	gone    bool
	// missed says that nobody saw it go: it was not there when everything was listed.
	missed bool
	// answer is what came of asking for the receipt of something that is gone; nil before.
	answer *answer
}

// task is a sight that waits to be written.
type task struct {
	sight sight
	due   time.Time
	tries int
}

// Follower is a sink for what is seen in the cluster. Use New, and call Run.
type Follower struct {
	store    portal.Store
	receipts Receipts
	listener Listener
	log      *slog.Logger
	now      func() time.Time
	random   io.Reader
	options  Options

	mutex sync.Mutex
	tasks map[key]*task
	// timers are when an object is to be looked at though nothing was seen of it.
	timers map[key]time.Time
	// alive are the UIDs of the objects that are in the cluster.
	alive map[key]string
	// unanswered is since when there has been no receipt for an object that has gone, by UID.
	unanswered map[string]time.Time
	// sweepAt is when what is not alive is to be looked for; zero for not.
	sweepAt time.Time
	wake    chan struct{}
	// fetching are the objects whose receipts are asked for; jobs those that wait for one of
	// the workers, of which busy are at it.
	fetching map[key]*job
	jobs     []*job
	busy     int
	workers  sync.WaitGroup
}

// New makes a follower. It does nothing before Run.
func New(with Dependencies, options Options) (*Follower, error) {
	if with.Store == nil || with.Receipts == nil || with.Log == nil || with.Now == nil || with.Random == nil {
		return nil, errors.New("make a follower: a dependency is missing")
	}
	if options.NoticeBefore <= 0 {
		options.NoticeBefore = defaultNotice
	}
	if options.Retry <= 0 {
		options.Retry = defaultRetry
	}
	if options.Settle <= 0 {
		options.Settle = defaultSettle
	}
	return &Follower{
		store: with.Store, receipts: with.Receipts, listener: with.Listener,
		log: with.Log, now: with.Now, random: with.Random, options: options,
		tasks: map[key]*task{}, timers: map[key]time.Time{}, alive: map[key]string{},
		wake: make(chan struct{}, 1), fetching: map[key]*job{},
	}, nil
}

// DatasetSeen takes in what is seen of a DatasetRetention. It doesn't wait.
func (f *Follower) DatasetSeen(_ context.Context, namespace, object, uid string, s portal.DatasetSeen, _, gone bool) { //nolint:revive // argument-limit: the methods of a sink are the cluster's to choose.
	f.take(key{aDataset, namespace, object}, sight{seen: true, uid: uid, dataset: s, gone: gone}, s.Version)
}

// RunSeen takes in what is seen of a TrainingRun. It doesn't wait.
func (f *Follower) RunSeen(_ context.Context, namespace, object, uid string, s portal.RunSeen, gone bool) {
	f.take(key{aRun, namespace, object}, sight{seen: true, uid: uid, run: s, gone: gone}, s.Version)
}

// TenantSeen takes in whether a tenant's namespace can be used. It doesn't wait.
func (f *Follower) TenantSeen(_ context.Context, namespace string, ready bool, _ string) {
	if ready {
		f.take(key{aTenant, namespace, ""}, sight{seen: true}, 0)
	}
}

// Synced says that everything in the cluster has been seen once.
func (f *Follower) Synced(context.Context) {
	f.mutex.Lock()
	f.sweepAt = f.now().Add(f.options.Settle)
	f.mutex.Unlock()
	f.kick()
}

// take keeps the newest that was seen of an object.
func (f *Follower) take(k key, s sight, version uint64) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if s.gone {
		delete(f.alive, k)
	} else {
		f.alive[k] = s.uid
		delete(f.fetching, k) // It was missed for a moment only.
	}
	if waiting, ok := f.tasks[k]; ok && waiting.sight.seen && waiting.sight.uid == s.uid {
		known := max(waiting.sight.dataset.Version, waiting.sight.run.Version)
		switch {
		case s.gone && version < known:
			// What was last seen of it is still to be written.
			s.dataset, s.run = waiting.sight.dataset, waiting.sight.run
		case !s.gone && (waiting.sight.gone && !waiting.sight.missed || version < known):
			return
		}
	}
	f.tasks[k] = &task{sight: s, due: f.now()}
	f.kickLocked()
}

func (f *Follower) kick() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.kickLocked()
}

func (f *Follower) kickLocked() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends, whose error it gives.
func (f *Follower) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer f.workers.Wait()
	for {
		wait := f.round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.wake:
		case <-timer.C:
		}
	}
}

// idle is how long the loop sleeps when nothing is due: a bound for a clock that is set.
const idle = time.Hour

// round does all that is due, and says how long nothing will be.
func (f *Follower) round(ctx context.Context) time.Duration {
	f.sweep(ctx)
	f.ripen()
	for ctx.Err() == nil {
		k, t, ok := f.nextDue()
		if !ok {
			break
		}
		f.do(ctx, k, t)
	}
	return f.pause()
}

// ripen makes tasks of the timers that have run out.
func (f *Follower) ripen() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	now := f.now()
	for k, at := range f.timers {
		if now.Before(at) {
			continue
		}
		delete(f.timers, k)
		if _, ok := f.tasks[k]; !ok {
			f.tasks[k] = &task{due: now}
		}
	}
}

// nextDue takes a task that is due out of the waiting ones.
func (f *Follower) nextDue() (key, task, bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	now := f.now()
	for k, t := range f.tasks {
		if !now.Before(t.due) {
			delete(f.tasks, k)
			return k, *t, true
		}
	}
	return key{}, task{}, false
}

// pause is the time until the next task or timer.
func (f *Follower) pause() time.Duration {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	next := f.now().Add(idle)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	earlier(f.sweepAt)
	for _, t := range f.tasks {
		earlier(t.due)
	}
	for _, at := range f.timers {
		earlier(at)
	}
	return max(next.Sub(f.now()), 0)
}

// do writes one sight. One that can't be written waits for another try, unless something
// newer has come.
func (f *Follower) do(ctx context.Context, k key, t task) {
	err := f.apply(ctx, k, t.sight)
	if err == nil || ctx.Err() != nil {
		return
	}
	if want, ok := errors.AsType[wanting](err); ok {
		f.fetch(ctx, job{key: k, want: want, task: t})
		return
	}
	t.tries++
	t.sight.answer = nil
	wait := min(f.options.Retry<<min(t.tries-1, 8), maxRetry)
	f.log.WarnContext(ctx, "What was seen in the cluster could not be kept; it is tried again", "kind", string(k.kind), "namespace", k.namespace, "object", k.object, "tries", t.tries, "cause", err.Error())
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if _, newer := f.tasks[k]; newer {
		return
	}
	t.due = f.now().Add(wait)
	f.tasks[k] = &t
}

// apply writes one sight.
func (f *Follower) apply(ctx context.Context, k key, s sight) error {
	switch k.kind {
	case aDataset:
		return f.applyDataset(ctx, k, s)
	case aRun:
		return f.applyRun(ctx, k, s)
	default:
		return f.tenantReady(ctx, k.namespace)
	}
}

// tenantReady notes that a tenant's namespace can be used.
func (f *Follower) tenantReady(ctx context.Context, namespace string) error {
	ready := false
	err := f.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		tenant, err := tx.TenantByNamespace(ctx, namespace)
		ready = err == nil && !tenant.ReadyAt.IsZero()
		return err
	})
	if missing(err) || ready {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the tenant: %w", err)
	}
	err = f.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		return tx.TenantReady(ctx, namespace, f.now())
	})
	if err != nil && !missing(err) {
		return fmt.Errorf("note that the tenant is ready: %w", err)
	}
	return nil
}

func missing(err error) bool {
	return err != nil && portal.KindOf(err) == portal.KindNotFound
}

// idOf takes the identifier out of an object's name: what has none is not the portal's.
func idOf[T ~string](object, prefix string) (T, bool) {
	id, ok := strings.CutPrefix(object, prefix)
	return T(id), ok && portal.LooksLikeID(id)
}
