package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// largeFile is the size in bytes above which a file is fetched in ranges.
	largeFile = 16 << 20
	// rangeSize is the length of one range in bytes: long enough that a request's
	// cost does not count, short enough to be kept in memory until it is hashed.
	rangeSize = 16 << 20
	// rangeBuffers is how many ranges are in memory at most.
	rangeBuffers = 4
	// partsAtOnce is how many parts of a large file objectstore sends at once.
	partsAtOnce = 4
	// bufferSize is what each worker holds in memory, in bytes.
	bufferSize = 256 << 10
	// stallTimeout is how long a transfer may go without a byte before its
	// connection is given up: a store that vanished without a word would
	// otherwise hold it for as long as TCP retries, about 15 minutes.
	stallTimeout = time.Minute
)

// Granter gives what a step needs; stage-in and stage-out both ask it.
type Granter interface {
	// Stage gives new credentials for a step at each call.
	Stage(ctx context.Context, step staging.Step) (staging.StageGrant, error)
}

// Watcher tells what goes on beside the stager. All may be repeated at will.
type Watcher interface {
	// Trainer answers late while the trainer runs, see staging.PathTrainer.
	Trainer(ctx context.Context) (staging.TrainerStatus, error)
	// Gang answers late while a node is missing, see staging.PathGang.
	Gang(ctx context.Context) (staging.GangStatus, error)
	// Log gives what the trainer has put out since a moment.
	Log(ctx context.Context, asked staging.LogRequest) (staging.LogAnswer, error)
}

// Recorder writes down what the stager tells of the trainer.
type Recorder interface {
	// Progress takes each sequence number once, and greater ones than before only.
	Progress(ctx context.Context, told staging.ProgressRequest) error
	// Checkpoint answers when it is written down. It may be repeated.
	Checkpoint(ctx context.Context, stored staging.CheckpointRequest) error
}

// Broker answers the pod (brokerclient.Client is one). Its errors are told apart
// by brokerclient.Retryable.
type Broker interface {
	Granter
	Watcher
	Recorder
}

// Node says which of the run's nodes this is.
type Node struct {
	// Index from 0.
	Index int
	// Count of the run's nodes; 0 is 1.
	Count int
}

// Store is what the agent needs of the object store (objectstore.Client is one).
// Errors wrap objectstore's sentinels.
type Store interface {
	// Get reads length bytes from offset; to the end when length is negative. A
	// transfer that breaks off ends with an error, never with io.EOF.
	Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error)
	// Put writes a whole object of size bytes, or nothing.
	Put(ctx context.Context, bucket, key string, body io.Reader, size int64, options objectstore.PutOptions) error
}

// CredentialsFunc gives the credentials of the moment.
type CredentialsFunc = func(context.Context) (objectstore.Credentials, error)

// Options are what both steps need. All are required but for the last three.
type Options struct {
	Broker Broker
	// Connect makes a client for a granted place; it sends nothing.
	Connect func(grant staging.StoreGrant, credentials CredentialsFunc) (Store, error)
	Log     *slog.Logger
	Clock   clock.WithDelayedExecution
	// Random gives numbers from 0 to below 1 that spread the retries of many pods.
	Random func() float64
	// Node is the first of one by default.
	Node Node
	// Patience is how long an unanswered request is repeated; 0 for the step's
	// default.
	Patience time.Duration
	// Parallel is how much happens at once; 0 for the default of each.
	Parallel Parallel
}

// Parallel says how many transfers are under way at once. Each has a connection. A
// small file holds 256 KiB in memory; the ranges of all large files together have
// rangeBuffers; in stage-out, objectstore holds 32 MiB of each large file or, above
// 320 GB, a ten-thousandth of it.
type Parallel struct {
	// Small files at once. Default 32.
	Small int
	// Large files at once. Default 2.
	Large int
	// Ranges of each large file at once, in stage-in. Default 4, and always so in
	// stage-out.
	Ranges int
}

// Connections is how many connections to the store the transfers use at most.
func (p Parallel) Connections() int { return p.Small + p.Large*max(p.Ranges, 1) }

// WithDefaults fills in what is 0.
func (p Parallel) WithDefaults(step staging.Step) Parallel {
	ranges := partsAtOnce
	if step == staging.StepStageIn {
		ranges = or(p.Ranges, 4)
	}
	return Parallel{Small: or(p.Small, 32), Large: or(p.Large, 2), Ranges: ranges}
}

func or(value, fallback int) int {
	if value > 0 {
		return value
	}
	return fallback
}

// session is the connection of one step to broker and store.
type session struct {
	Options
	grants *grants
	peer   *peer
	store  Store
	bucket string
	prefix string
}

func newSession(o Options, step staging.Step, patience time.Duration) *session {
	if o.Patience <= 0 {
		o.Patience = patience
	}
	o.Parallel = o.Parallel.WithDefaults(step)
	return &session{
		Options: o,
		grants:  newGrants(o, step),
		peer:    newPeer("store", o),
	}
}

// open waits for the broker's grant and connects to the place it names.
func (s *session) open(ctx context.Context) (staging.StageGrant, error) {
	l, err := s.grants.obtain(ctx)
	if err != nil {
		return staging.StageGrant{}, err
	}
	return l.grant, s.connect(l.grant.Store, s.grants.credentials)
}

// connect makes the client for a granted place.
func (s *session) connect(place staging.StoreGrant, credentials CredentialsFunc) error {
	store, err := s.Connect(place, credentials)
	var known *Failure
	if errors.As(err, &known) {
		return known
	}
	if err != nil {
		return fail(staging.ExitUsage, err, "The store that the broker named can not be "+
			"connected to: its address or certificates are wrong. Check the operator's store settings.")
	}
	s.store, s.bucket, s.prefix = store, place.Bucket, place.Prefix
	return nil
}

// at is the same session at another prefix of its place.
func (s *session) at(prefix string) *session {
	other := *s
	other.prefix = prefix
	return &other
}

// putSmall stores an object that is in memory.
func (s *session) putSmall(ctx context.Context, key string, data []byte, options objectstore.PutOptions) error {
	return s.persist(ctx, func(ctx context.Context) error {
		ctx, watch := s.watch(ctx)
		defer watch.stop()
		err := s.store.Put(ctx, s.bucket, key, bytes.NewReader(data), int64(len(data)), options)
		if err != nil {
			return watch.explain(ctx, err)
		}
		return nil
	})
}

// getSmall reads an object of at most limit bytes; a longer one is errDiffers.
func (s *session) getSmall(ctx context.Context, key string, limit int) ([]byte, error) {
	var data []byte
	t := transfer{key: key, length: -1, buffer: make([]byte, min(limit+1, bufferSize))}
	err := s.receive(ctx, t, func(b []byte) error {
		if len(data)+len(b) > limit {
			return errDiffers
		}
		data = append(data, b...)
		return nil
	})
	return data, err
}

// persist repeats a call to the store until it succeeds, is refused for good, or
// patience ends. A refusal counts only when it comes with credentials that the
// broker has just given out: they may have ended early, and data that is gone
// because it is being erased is the broker's to explain.
func (s *session) persist(ctx context.Context, op func(context.Context) error) error {
	var confirmed uint64
	err := s.peer.try(ctx, func(ctx context.Context) error {
		held, err := s.grants.current(ctx)
		if err != nil {
			return err
		}
		if err = op(ctx); !refused(err) || held.generation == confirmed {
			return err
		}
		fresh, errConfirm := s.grants.confirm(ctx, held.generation)
		if errConfirm != nil {
			return errConfirm
		}
		confirmed = fresh.generation
		return op(ctx)
	})
	if errors.Is(err, objectstore.ErrKey) {
		return fail(staging.ExitDatasetCorrupt, err, "What lies in the store is not under the dataset's own key, so "+
			"nobody can read it: it was not written with what the operator gives to uploaders. "+uploadAgain)
	}
	if errors.Is(err, objectstore.ErrDenied) {
		return fail(staging.ExitDenied, err, "The store refused credentials that the operator has just given out. "+
			"Check the operator's store user and its policy.")
	}
	return err
}

func refused(err error) bool {
	return errors.Is(err, objectstore.ErrDenied) || errors.Is(err, objectstore.ErrNotFound)
}
