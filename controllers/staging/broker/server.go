package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// requestTimeout bounds a request from its first byte to its answer's last. It
	// is longer than the longest wait with the checks before and after it: when
	// reading times out, net/http takes the caller for gone.
	requestTimeout = staging.TrainerWait + 3*workTimeout
	headerTimeout  = 10 * time.Second
	idleTimeout    = 30 * time.Second
	maxHeader      = 64 << 10
	// stopGrace is how long requests may take to end when the operator stops.
	stopGrace = 10 * time.Second
)

// Server is the broker. It is a manager.Runnable that needs no leader election.
type Server struct {
	address  string
	tls      *tls.Config
	cached   client.Reader
	live     client.Reader
	reviewer TokenReviewer
	access   AccessReviewer
	sts      Assumer
	keys     Keys
	receipts Receipts
	store    Store
	life     time.Duration
	clock    clock.WithTicker
	random   io.Reader
	log      logr.Logger
	logs     Logs
	metrics  *metrics
	recorder *recorder

	members *tokenMemory[member]
	refused *tokenMemory[struct{}]
	limits  *limits
	hosts   *limits
	waits   *waits
	gangs   *gangs
	// Shares of one pod.
	progressPace   *limits
	checkpointPace *limits
	logPace        *limits
	// Slots that bound what is under way at a time.
	connections int
	working     chan struct{}
	telling     chan struct{}
	waiting     chan struct{}
	reviewing   chan struct{}
	logShares   *shares
	// stopping is closed when the server stops, to let waiting requests go.
	stopping chan struct{}
	stop     sync.Once
	bound    atomic.Pointer[net.Addr]
}

// New makes a broker that does not listen yet. It fails when the options are
// incomplete or contradict each other.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("configure broker: %w", err)
	}
	s := &Server{
		address: o.Address, cached: o.Pods, live: o.Live, reviewer: o.Tokens, access: o.Access,
		sts: o.STS, keys: o.Keys, receipts: o.Receipts, store: o.Store, life: o.CredentialLife, clock: o.Clock, random: o.Random, log: o.Log,
		tls: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: o.Certificate,
			// No HTTP/2: long waits gain nothing by it, and its streams would
			// pass by the limits on connections.
			NextProtos: []string{"http/1.1"},
		},
		logs: o.Logs, metrics: newMetrics(),
		members:     newTokenMemory[member](memberLife),
		refused:     newTokenMemory[struct{}](refusedLife),
		limits:      newLimits(o.RequestsPerSecond, o.Burst),
		hosts:       newLimits(hostShare*o.RequestsPerSecond, hostShare*o.Burst),
		waits:       newWaits(),
		gangs:       newGangs(),
		connections: maxConnections,
		working:     make(chan struct{}, maxInFlight),
		telling:     make(chan struct{}, maxInFlight),
		waiting:     make(chan struct{}, maxWaiting),
		reviewing:   make(chan struct{}, maxReviews),
		logShares:   newShares(maxLogs, maxLogsEach),
		stopping:    make(chan struct{}),

		progressPace:   newLimits(progressRate, progressBurst),
		checkpointPace: newLimits(progressRate, progressBurst),
		logPace:        newLimits(logRate, logBurst),
	}
	s.recorder = &recorder{
		cached: o.Pods, live: o.Live, statuses: o.Statuses, clock: o.Clock, log: o.Log, metrics: s.metrics,
		stopping: s.stopping, slots: make(chan struct{}, maxWrites), records: map[types.UID]*record{},
	}
	if o.Metrics != nil {
		if err := s.metrics.register(o.Metrics, s.recorder.size); err != nil {
			return nil, fmt.Errorf("register the broker's metrics: %w", err)
		}
	}
	return s, nil
}

// NeedLeaderElection makes every replica serve.
func (s *Server) NeedLeaderElection() bool { return false }

// Handler answers the paths of the protocol, and every other one with a Problem.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	wrongMethod := refuse(&refusal{
		http.StatusMethodNotAllowed, staging.ProblemMalformed, "this path takes POST only",
	})
	handle := func(path string, slots chan struct{}, do work) {
		mux.Handle(http.MethodPost+" "+path, s.serve(path, slots, do))
		mux.Handle(path, s.serve(path, s.working, wrongMethod))
	}
	handle(staging.PathStage, s.working, bounded(s.stage))
	handle(staging.PathUpload, s.working, bounded(s.upload))
	handle(staging.PathArtifacts, s.working, bounded(s.artifacts))
	handle(staging.PathReceipt, s.working, small(bounded(s.receipt)))
	handle(staging.PathCheckpoint, s.working, small(bounded(s.checkpoint)))
	handle(staging.PathProgress, s.telling, small(bounded(s.progress)))
	handle(staging.PathLog, s.telling, small(bounded(s.trainerLog)))
	handle(staging.PathTrainer, s.waiting, s.trainer)
	handle(staging.PathGang, s.waiting, s.gang)
	// Other paths are counted as one, so that callers can not make up series.
	mux.Handle("/", s.serve("/", s.working, refuse(&refusal{
		http.StatusNotFound, staging.ProblemNotFound, "the broker has no such path",
	})))
	return mux
}

// Start serves until ctx ends, then lets waiting requests go and gives the others
// a few seconds. It is called once.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for the broker: %w", err)
	}
	listener = netutil.LimitListener(listener, s.connections)
	server := s.httpServer()
	address := listener.Addr()
	s.bound.Store(&address)
	s.log.Info("Broker listens", "address", address.String())
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	go s.recorder.tidy(ctx)
	select {
	case err := <-failed:
		return fmt.Errorf("serve the broker: %w", err)
	case <-ctx.Done():
	}
	s.bound.Store(nil)
	s.release()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	err = server.Shutdown(grace)
	if err != nil {
		err = fmt.Errorf("stop the broker: %w", errors.Join(err, server.Close()))
	}
	return errors.Join(err, s.recorder.settle(grace))
}

func (s *Server) httpServer() *http.Server {
	return &http.Server{
		Handler:           s.Handler(),
		TLSConfig:         s.tls,
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// It would log the addresses of callers whose handshake failed, and nothing
		// that serve does not report itself.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// release lets waiting requests go.
func (s *Server) release() { s.stop.Do(func() { close(s.stopping) }) }

// Ready is a healthz.Checker: nil while the server listens.
func (s *Server) Ready(*http.Request) error {
	if s.bound.Load() == nil {
		return errors.New("the broker does not listen")
	}
	return nil
}

// Addr is the address that the server listens on; nil while it does not.
func (s *Server) Addr() net.Addr {
	if address := s.bound.Load(); address != nil {
		return *address
	}
	return nil
}
