package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Bounds of a connection. Pages and forms are small; nothing is uploaded here.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	// writeTimeout is longer than the longest wait for a slot to hash a password.
	writeTimeout   = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
)

// servers are the two listeners of the process.
type servers struct {
	people, ops *http.Server
	log         *slog.Logger
	ready       *readiness
	// drainDelay and drainLimit as in config.
	drainDelay, drainLimit time.Duration
}

// newServer is an http.Server with bounds, whose errors go to the log without addresses.
func newServer(handler http.Handler, certificate *certificate, errors serverErrors) *http.Server {
	s := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          errors.logger(),
	}
	if certificate != nil {
		// 1.3 is chosen by all that can; 1.2 with Go's suites (ECDHE and AEAD alone) is for
		// the rest.
		s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.choose, NextProtos: []string{"h2", "http/1.1"}}
	}
	return s
}

// serve answers until the context ends, and then lets what is under way come to its end.
// A listener that fails ends it too.
func (s *servers) serve(ctx context.Context, people, ops net.Listener) error {
	failed := make(chan error, 2)
	start := func(name string, server *http.Server, listener net.Listener) {
		go func() {
			var err error
			if server.TLSConfig != nil {
				err = server.ServeTLS(listener, "", "")
			} else {
				err = server.Serve(listener)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", name, err)
			}
		}()
	}
	start("people", s.people, people)
	if ops != nil {
		start("health and metrics", s.ops, ops)
	}
	select {
	case err := <-failed:
		return errors.Join(err, s.people.Close(), s.ops.Close())
	case <-ctx.Done():
		return s.drain(context.WithoutCancel(ctx))
	}
}

// drain says on /readyz that this process is on its way out, goes on for drainDelay, and
// then gives requests drainLimit. Health and metrics answer to the last.
func (s *servers) drain(ctx context.Context) error {
	s.ready.draining.Store(true)
	s.log.Info("Stopping", "delay", s.drainDelay.String(), "limit", s.drainLimit.String())
	if s.drainDelay > 0 {
		<-time.After(s.drainDelay)
	}
	ctx, cancel := context.WithTimeout(ctx, s.drainLimit)
	defer cancel()
	err := s.people.Shutdown(ctx)
	if err != nil {
		s.log.Warn("Requests were still under way and are cut off")
		err = s.people.Close()
	}
	return errors.Join(err, s.ops.Close())
}

// listen opens an address; "" opens none.
func listen(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // no address, no listener
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}
