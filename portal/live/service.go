package live

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// Events tells what the cluster says has happened to a run.
type Events interface {
	RunEvents(ctx context.Context, namespace, object string) ([]portal.RunEvent, error)
}

// Grants gives short-lived credentials to read what a run has left in the store.
type Grants interface {
	ArtifactsGrant(ctx context.Context, namespace, object string) (portal.Grant, error)
}

// Objects reads what a run has left in the store. An error of portal.KindNotFound is for
// what is not there.
type Objects interface {
	// Artifacts gives at most limit of the files in the manifest, in its order, after a path.
	// A manifest whose digest is not the one that is wanted is an error.
	Artifacts(ctx context.Context, g portal.Grant, manifest, after string, limit int) (portal.RunFiles, error)
	// Logs gives the files of the logs of one attempt on so many nodes, in their order.
	Logs(ctx context.Context, g portal.Grant, attempt, nodes int) ([]portal.RunFile, error)
	// Checkpoint gives the files of a checkpoint.
	Checkpoint(ctx context.Context, g portal.Grant, id string) ([]portal.RunFile, error)
	// Open reads a file.
	Open(ctx context.Context, g portal.Grant, kind portal.FileKind, path string) (portal.FileContent, error)
	// Link gives a file by a link to the store that is valid for life, or to be copied where
	// a link can't open it.
	Link(ctx context.Context, g portal.Grant, kind portal.FileKind, path string, life time.Duration) (portal.FileContent, error)
}

// Dependencies is what the service needs; all of it is required.
type Dependencies struct {
	Store   portal.Store
	Logs    Upstream
	Events  Events
	Grants  Grants
	Objects Objects
	Log     *slog.Logger
	Now     func() time.Time
}

// Options choose what may differ between installations. The zero value works.
type Options struct {
	Hub HubOptions
	// PerAccount is how many logs or pages one account may watch at once; 20 if 0.
	PerAccount int
	// LinkLife is for how long a link to a file is good; 60 s if 0.
	LinkLife time.Duration
	// Prices of GPUs, for an hour, in Currency; none for no costs on the page.
	Prices   []portal.Price
	Currency string
}

const (
	defaultPerAccount = 20
	defaultLinkLife   = time.Minute
)

// Service answers for the page of a run. Use New.
type Service struct {
	store   portal.Store
	events  Events
	grants  Grants
	objects Objects
	log     *slog.Logger
	now     func() time.Time
	options Options
	hub     *Hub

	mutex    sync.Mutex
	watched  map[portal.AccountID]int // pages, by Changes
	reading  map[portal.AccountID]int // logs, by Log
	watchers map[portal.RunID]map[chan struct{}]struct{}
	history  *histories
	granted  map[portal.RunID]portal.Grant
	told     map[portal.RunID]toldEvents
	lists    *shelf[[]portal.RunFile]
	series   *shelf[[]portal.RunPoint]
	reads    chan struct{}
}

// listsFor and seriesFor are for how long what was read of a run that has ended is kept.
const (
	listsFor  = time.Minute
	seriesFor = 10 * time.Minute
)

// New makes the service.
func New(with Dependencies, o Options) (*Service, error) {
	if with.Store == nil || with.Logs == nil || with.Events == nil || with.Grants == nil || with.Objects == nil || with.Log == nil || with.Now == nil {
		return nil, errors.New("make the live view: a dependency is missing")
	}
	if o.PerAccount <= 0 {
		o.PerAccount = defaultPerAccount
	}
	if o.LinkLife <= 0 {
		o.LinkLife = defaultLinkLife
	}
	s := &Service{
		store: with.Store, events: with.Events, grants: with.Grants, objects: with.Objects, log: with.Log, now: with.Now, options: o,
		watched: map[portal.AccountID]int{}, reading: map[portal.AccountID]int{}, watchers: map[portal.RunID]map[chan struct{}]struct{}{},
		history: newHistories(), granted: map[portal.RunID]portal.Grant{}, told: map[portal.RunID]toldEvents{},
		lists: newShelf[[]portal.RunFile](listsFor, keptLists), series: newShelf[[]portal.RunPoint](seriesFor, keptSeries),
		reads: make(chan struct{}, reads),
	}
	s.hub = newHub(with.Logs, s.over, with.Log, o.Hub)
	return s, nil
}

// allowed refuses a token that may not read runs.
func allowed(p portal.Principal) error {
	if p.Token != nil && !slices.Contains(p.Token.Scopes, portal.ScopeRunsRead) {
		return &portal.Error{Kind: portal.KindForbidden, Message: "This token may not read runs. Make one with the scope " + string(portal.ScopeRunsRead) + "."}
	}
	return nil
}

// run gives a run of the account's, and its dataset.
func (s *Service) run(ctx context.Context, p portal.Principal, id portal.RunID) (portal.Run, portal.Dataset, error) {
	var run portal.Run
	var dataset portal.Dataset
	if err := allowed(p); err != nil {
		return run, dataset, err
	}
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		if run, err = tx.Run(ctx, p.Account.ID, id); err != nil {
			return err
		}
		dataset, err = tx.Dataset(ctx, p.Account.ID, run.Dataset)
		if portal.KindOf(err) == portal.KindNotFound {
			return nil
		}
		return err
	})
	return run, dataset, err
}

// View is a run with what its page shows beside it.
func (s *Service) View(ctx context.Context, p portal.Principal, id portal.RunID) (portal.RunView, error) {
	run, dataset, err := s.run(ctx, p, id)
	if err != nil {
		return portal.RunView{}, err
	}
	return portal.RunView{Run: run, Dataset: dataset, Cost: s.cost(run), Points: s.history.of(id)}, nil
}

// cost is what a run has cost so far; nil where its GPUs have no price.
func (s *Service) cost(run portal.Run) *portal.RunCost {
	cost, ok := portal.CostSoFar(run, s.options.Prices, s.options.Currency, s.now())
	if !ok {
		return nil
	}
	return &cost
}

// RunChanged takes in that something was seen of a run. It doesn't wait.
func (s *Service) RunChanged(run portal.Run) {
	s.history.add(run)
	s.hub.nudge(place{run.Namespace, run.ID.Object()})
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for changed := range s.watchers[run.ID] {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// Changes gives a channel on which it is told that something of a run has changed, until
// stop is called. It counts as one that the account watches.
func (s *Service) Changes(ctx context.Context, p portal.Principal, id portal.RunID) (<-chan struct{}, func(), error) {
	if _, _, err := s.run(ctx, p, id); err != nil {
		return nil, nil, err
	}
	leave, err := s.enter(s.watched, p.Account.ID)
	if err != nil {
		return nil, nil, err
	}
	changed := make(chan struct{}, 1)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.watchers[id] == nil {
		s.watchers[id] = map[chan struct{}]struct{}{}
	}
	s.watchers[id][changed] = struct{}{}
	return changed, sync.OnceFunc(func() {
		leave()
		s.mutex.Lock()
		defer s.mutex.Unlock()
		delete(s.watchers[id], changed)
		if len(s.watchers[id]) == 0 {
			delete(s.watchers, id)
		}
	}), nil
}

// enter counts what an account watches, in one of the two counts.
func (s *Service) enter(count map[portal.AccountID]int, account portal.AccountID) (leave func(), err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if count[account] >= s.options.PerAccount {
		return nil, &portal.Error{
			Kind: portal.KindTooMany, RetryAfter: 10 * time.Second,
			Message: "You watch many runs at once already. Close some of their pages; then this one goes on.",
		}
	}
	count[account]++
	return func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		if count[account]--; count[account] == 0 {
			delete(count, account)
		}
	}, nil
}

// over reports whether a run will put out nothing more.
func (s *Service) over(ctx context.Context, at place) (bool, error) {
	id := portal.RunID(at.object[len("r-"):])
	var run portal.Run
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		run, err = tx.RunByObject(ctx, at.namespace, id)
		return err
	})
	if err != nil {
		return portal.KindOf(err) == portal.KindNotFound, err
	}
	return ended(run), nil
}

func ended(run portal.Run) bool {
	return run.Seen.Finished() || run.Refused != "" || !run.GoneAt.IsZero() || v1alpha1.RunState(run.Seen.State).Finished()
}

// Log gives a run's log after a position: as it grows, or of a run that has ended what the
// store keeps. Logs are counted by themselves, as many as Changes lets be watched: a page
// is both.
func (s *Service) Log(ctx context.Context, p portal.Principal, id portal.RunID, after portal.LogPosition) (portal.LogTail, error) {
	run, _, err := s.run(ctx, p, id)
	if err != nil {
		return nil, err
	}
	leave, err := s.enter(s.reading, p.Account.ID)
	if err != nil {
		return nil, err
	}
	tail, err := s.tail(ctx, run, after)
	if err != nil {
		leave()
		return nil, err
	}
	return &countedTail{LogTail: tail, leave: sync.OnceFunc(leave)}, nil
}

func (s *Service) tail(ctx context.Context, run portal.Run, after portal.LogPosition) (portal.LogTail, error) {
	if ended(run) || run.UID == "" && run.Wish != portal.WishRun {
		return s.kept(ctx, run, after)
	}
	return s.hub.subscribe(place{run.Namespace, run.ID.Object()}, after) //nolint:contextcheck // The stream outlives whoever came first.
}

// countedTail is a log that counts as read until it is closed.
type countedTail struct {
	portal.LogTail
	leave func()
}

// Close implements portal.LogTail.
func (t *countedTail) Close() {
	t.LogTail.Close()
	t.leave()
}

// eventsFor is for how long events count as fresh: each look is a request to the API
// server, and a page that many load must not be many of them.
const eventsFor = 10 * time.Second

type toldEvents struct {
	at     time.Time
	events []portal.RunEvent
}

// Events are what the cluster says has happened to a run, newest last.
func (s *Service) Events(ctx context.Context, p portal.Principal, id portal.RunID) ([]portal.RunEvent, error) {
	run, _, err := s.run(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if run.UID == "" || !run.GoneAt.IsZero() {
		return nil, nil
	}
	now := s.now()
	s.mutex.Lock()
	told, ok := s.told[id]
	s.mutex.Unlock()
	if ok && now.Sub(told.at) < eventsFor {
		return told.events, nil
	}
	events, err := s.events.RunEvents(ctx, run.Namespace, id.Object())
	if err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for other, old := range s.told {
		if now.Sub(old.at) >= eventsFor {
			delete(s.told, other)
		}
	}
	s.told[id] = toldEvents{now, events}
	return events, nil
}
