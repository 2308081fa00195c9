package uploads

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Cluster is what datasets need of it. Each method may be called twice. Errors are
// *portal.Error; KindUnavailable is worth trying again.
type Cluster interface {
	// EnsureTenant makes the tenant's place as it is wanted.
	EnsureTenant(ctx context.Context, order portal.TenantOrder) error
	// CreateDataset gives the UID, also of a dataset that is there already.
	CreateDataset(ctx context.Context, order portal.DatasetOrder) (uid string, err error)
	// SealDataset says that the upload is complete.
	SealDataset(ctx context.Context, namespace, object string) error
	// SetRetention gives KindInvalid with the API's words where it is refused.
	SetRetention(ctx context.Context, namespace, object string, afterTraining, maxAge time.Duration) error
	// DeleteDataset begins the erase; one that is not there is a success.
	DeleteDataset(ctx context.Context, namespace, object, uid string) error
}

// Broker gives the place of a dataset in the store. KindUnavailable: not yet.
// KindConflict: the dataset takes no uploads any more.
type Broker interface {
	UploadGrant(ctx context.Context, namespace, object string) (portal.Grant, error)
}

// Canceller cancels a person's run; it may be called twice.
type Canceller interface {
	Cancel(ctx context.Context, p portal.Principal, id portal.RunID) error
}

// Dependencies is what the use cases need; all of it is required.
type Dependencies struct {
	Store   portal.Store
	Cluster Cluster
	Broker  Broker
	Objects Objects
	Runs    Canceller
	Log     *slog.Logger
	Now     func() time.Time
	Random  io.Reader
}

// Options choose what may differ between installations. The zero value works.
type Options struct {
	// MaxBytes bounds a dataset; 0 is DefaultMaxBytes.
	MaxBytes int64
	// GPUs is how many a tenant may use at once; 0 is DefaultGPUs.
	GPUs int
	// Tier of the tenants; "" for the operator's default.
	Tier string
}

// Defaults of Options.
const (
	DefaultMaxBytes = 1 << 40
	DefaultGPUs     = 1
)

// Service is the use cases. Use New.
type Service struct {
	store   portal.Store
	cluster Cluster
	objects Objects
	runs    Canceller
	log     *slog.Logger
	now     func() time.Time
	random  io.Reader
	options Options

	grants *grants
	// wake takes up what is unsettled before its time.
	wake chan struct{}
	// turns has a lock for each dataset that is being settled.
	turns turns
	// waits are those of datasets that failed.
	waits waits
	// repairs is when each tenant was last put right.
	repairs sync.Map
}

// New makes the use cases.
func New(with Dependencies, options Options) (*Service, error) {
	if with.Store == nil || with.Cluster == nil || with.Broker == nil || with.Objects == nil ||
		with.Runs == nil || with.Log == nil || with.Now == nil || with.Random == nil {
		return nil, errors.New("make the use cases of datasets: a dependency is missing")
	}
	if options.MaxBytes <= 0 {
		options.MaxBytes = DefaultMaxBytes
	}
	if options.GPUs <= 0 {
		options.GPUs = DefaultGPUs
	}
	return &Service{
		store: with.Store, cluster: with.Cluster, objects: with.Objects, runs: with.Runs,
		log: with.Log, now: with.Now, random: with.Random, options: options,
		grants: newGrants(with.Broker, with.Now), wake: make(chan struct{}, 1),
	}, nil
}

// MaxBytes is how large a dataset may be.
func (s *Service) MaxBytes() int64 { return s.options.MaxBytes }

// allowed refuses a token that may not do this. A session may do all.
func allowed(p portal.Principal, scope portal.Scope) error {
	if p.Token == nil || slices.Contains(p.Token.Scopes, scope) {
		return nil
	}
	return &portal.Error{
		Kind:    portal.KindForbidden,
		Message: "This token does not have the scope " + string(scope) + ". Make one that has it.",
	}
}

func canRead(p portal.Principal) error  { return allowed(p, portal.ScopeDatasetsRead) }
func canWrite(p portal.Principal) error { return allowed(p, portal.ScopeDatasetsWrite) }

// turns gives each key to one at a time. Its zero value works.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	free    chan struct{}
	waiting int
}

// take waits for the key, and gives what hands it back.
func (t *turns) take(ctx context.Context, key string) (func(), error) {
	t.mu.Lock()
	if t.keys == nil {
		t.keys = map[string]*turn{}
	}
	own, ok := t.keys[key]
	if !ok {
		own = &turn{free: make(chan struct{}, 1)}
		own.free <- struct{}{}
		t.keys[key] = own
	}
	own.waiting++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if own.waiting--; own.waiting == 0 {
			delete(t.keys, key)
		}
	}
	select {
	case <-own.free:
		return func() { own.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
