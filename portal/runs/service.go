package runs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
	"github.com/lethe-dev/lethe/portal"
)

// Cluster is what becomes of a run. Every method can be called again with the same effect
// as once. It gives portal.KindUnavailable while the cluster does not answer.
type Cluster interface {
	// CreateRun makes the object; one of that name which is there is success. A run that
	// the cluster will never take is KindInvalid, with the form's field.
	CreateRun(ctx context.Context, order portal.RunOrder) (uid string, err error)
	// SuspendRun sets whether the run stands still.
	SuspendRun(ctx context.Context, namespace, object string, suspend bool) error
	// CancelRun ends the run at a checkpoint and keeps what it has made.
	CancelRun(ctx context.Context, namespace, object, uid string) error
	// DeleteRun deletes the object with its artifacts; nil when there is none. uid "" is
	// any: names are never used again.
	DeleteRun(ctx context.Context, namespace, object, uid string) error
}

// Planner answers questions about runs that are not there yet.
type Planner interface {
	// CheckRun gives the error of CreateRun without making anything.
	CheckRun(ctx context.Context, order portal.RunOrder) error
	// RunYAML is what kubectl apply would take.
	RunYAML(order portal.RunOrder) ([]byte, error)
	// Offers are the kinds of GPU that the cluster has.
	Offers(ctx context.Context) ([]portal.GPUOffer, error)
}

// Dependencies are what the use cases need. All of them are required.
type Dependencies struct {
	Store   portal.Store
	Cluster Cluster
	Planner Planner
	Now     func() time.Time
	Random  io.Reader
	Log     *slog.Logger
}

// Options choose what may differ between installations.
type Options struct {
	// Images are offered in the form, by their full names. They may always be used.
	Images []string
	// Registries are starts of the names of other images that may be used; those that are
	// pinned by a digest may be used too.
	Registries []string
	// Prices of GPUs; a kind without one is offered without an estimate.
	Prices []portal.Price
	// Currency is an ISO 4217 code; "EUR" when empty.
	Currency string
	// GPUs is how many a tenant may use at once; 0 leaves that to the cluster.
	GPUs int
	// Every is how often what is unsettled is tried again; DefaultEvery when 0.
	Every time.Duration
}

// DefaultEvery is how often the cluster is asked again for what it has not done yet. A poll
// is needed: a cluster that was away does not say that it is back.
const DefaultEvery = 15 * time.Second

// Service does what people may do with their runs. Its methods may be called at once.
type Service struct {
	Dependencies
	options Options
	images  validation.Images
	// flights lets one caller at a time ask the cluster about a run; others get its answer.
	flights singleflight.Group
	wake    chan struct{}
}

// New makes the service; the error names what is missing.
func New(with Dependencies, options Options) (*Service, error) {
	switch {
	case with.Store == nil:
		return nil, errors.New("runs: no store")
	case with.Cluster == nil, with.Planner == nil:
		return nil, errors.New("runs: no cluster")
	case with.Now == nil:
		return nil, errors.New("runs: no clock")
	case with.Random == nil:
		return nil, errors.New("runs: no random source")
	case with.Log == nil:
		return nil, errors.New("runs: no log")
	}
	if options.Currency == "" {
		options.Currency = "EUR"
	}
	if options.Every == 0 {
		options.Every = DefaultEvery
	}
	return &Service{
		Dependencies: with, options: options,
		images: validation.Images{Registries: options.Registries, Exactly: options.Images},
		wake:   make(chan struct{}, 1),
	}, nil
}

// allowed refuses a token that was not made for this. Sessions may do all that is theirs.
func allowed(p portal.Principal, scope portal.Scope) error {
	if p.Token == nil || slices.Contains(p.Token.Scopes, scope) {
		return nil
	}
	return &portal.Error{Kind: portal.KindForbidden, Message: "This token may not do that. Make one with the scope " + string(scope) + "."}
}

// now is in UTC and whole microseconds, which is what the store keeps.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// Wake makes Run look for what is unsettled now.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
