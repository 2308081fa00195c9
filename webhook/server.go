package webhook

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

const (
	// minSecret is 128 bits in hexadecimal.
	minSecret = 32
	// headerTimeout and requestTimeout bound what a caller may take; the API server
	// waits for two seconds.
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	// idleTimeout is longer than the API server keeps a connection.
	idleTimeout = 2 * time.Minute
	maxHeader   = 16 << 10
	// maxBody is more than two objects of etcd's largest size.
	maxBody = 8 << 20
	// stopGrace is how long questions may take to be answered when the operator stops.
	stopGrace = 5 * time.Second
)

// Server answers the API server. It is a manager.Runnable that needs no leader election.
type Server struct {
	address string
	tls     *tls.Config
	handler http.Handler
	log     logr.Logger
	bound   atomic.Pointer[net.TCPAddr]
}

// path is where a webhook is asked.
func path(secret, name string) string { return "/" + secret + "/" + name }

// secretly lets through what was asked under the secret, without it, and nothing else.
func secretly(secret string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(secret))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		got := sha256.Sum256([]byte(first))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			http.NotFound(w, r)
			return
		}
		asked := r.Clone(r.Context())
		asked.URL.Path, asked.URL.RawPath = "/"+rest, ""
		asked.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, asked)
	})
}

// NeedLeaderElection makes every replica answer.
func (s *Server) NeedLeaderElection() bool { return false }

// Start listens and answers until the context ends.
func (s *Server) Start(ctx context.Context) error {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for the API server's questions: %w", err)
	}
	server := &http.Server{
		Handler: s.handler, TLSConfig: s.tls,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		// It would log who failed a handshake, and what he asked.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	address, _ := listener.Addr().(*net.TCPAddr)
	s.bound.Store(address)
	s.log.Info("Answering the API server's questions", "address", listener.Addr().String())
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
	select {
	case err := <-ended:
		return fmt.Errorf("answer the API server's questions: %w", err)
	case <-ctx.Done():
	}
	s.bound.Store(nil)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}

// Ready is a healthz.Checker: nil while the server listens.
func (s *Server) Ready(*http.Request) error {
	if s.bound.Load() == nil {
		return errors.New("the webhook server does not listen")
	}
	return nil
}
