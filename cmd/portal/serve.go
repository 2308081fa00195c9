package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	netmail "net/mail"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/clientip"
	"github.com/lethe-dev/lethe/portal/geo"
	"github.com/lethe-dev/lethe/portal/mail"
	"github.com/lethe-dev/lethe/portal/rest"
	"github.com/lethe-dev/lethe/portal/retention"
	"github.com/lethe-dev/lethe/portal/web"
)

// site is all that "serve" runs.
type site struct {
	*core
	config  config
	log     *slog.Logger
	metrics *metrics
	// certificate is nil behind a proxy.
	certificate *certificate
	geo         *geo.Countries
	mail        *mail.Sender
	sweeper     *retention.Sweeper
	// training is nil without a cluster.
	training *training
	people   http.Handler
	// drain ends the streams of pages and of the API, which a shutdown would wait for.
	drain func()
}

func serve(ctx context.Context, i *invocation) error {
	if err := i.config.validate(); err != nil {
		return &usageError{err}
	}
	slog.SetDefault(i.log) // a library that logs by itself is redacted too
	if !i.memoryLimited {
		debug.SetMemoryLimit(i.config.memoryLimit())
	}
	core, err := i.openCore(ctx)
	if err != nil {
		return err
	}
	defer core.close(i.log)
	s := &site{core: core, config: i.config, log: i.log, metrics: newMetrics()}
	if err := s.assemble(); err != nil { //nolint:contextcheck // what is made here gets the context of each request
		return err
	}
	return s.run(ctx)
}

// restMemory is what everything but hashes needs when it is busy, in MiB.
const restMemory = 192

// memoryLimit is the soft limit of the heap in bytes: hashes leave so much garbage that the
// collector would otherwise let it grow to twice what is in use.
func (c config) memoryLimit() int64 { return int64(c.hashSlots*c.hashMemory+restMemory) << 20 }

// assemble makes the parts; nothing runs yet.
func (s *site) assemble() error {
	var err error
	if !s.config.behindProxy {
		if s.certificate, err = openCertificate(s.config.tlsCert, s.config.tlsKey, time.Now, s.log); err != nil {
			return err
		}
	}
	registry := s.metrics.registry
	if s.geo, err = geo.Open(s.config.geoFile, geo.Options{Now: time.Now, Log: s.log, Metrics: registry}); err != nil {
		return err
	}
	if s.mail, err = s.openMail(); err != nil {
		return err
	}
	s.wake = s.mail.Wake
	s.sweeper, err = retention.New(s.store, time.Now, retention.Options{Random: rand.Reader, Log: s.log, Metrics: registry})
	if err != nil {
		return err
	}
	if s.training, err = openTraining(s.config.cluster, s.waking(), s.log); err != nil {
		return err
	}
	return s.assemblePages()
}

func (s *site) openMail() (*mail.Sender, error) {
	options := mail.SMTPOptions{Address: s.config.mail.server, TLS: mail.StartTLS, CAFile: s.config.mail.caFile, Username: s.config.mail.user}
	if s.config.mail.implicitTLS {
		options.TLS = mail.ImplicitTLS
	}
	if path := s.config.mail.passwordFile; path != "" {
		password, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the mail server's password: %w", err)
		}
		options.Password = strings.TrimRight(string(password), "\r\n")
	}
	transport, err := mail.NewSMTP(options)
	if err != nil {
		return nil, err
	}
	return mail.New(mail.Dependencies{
		Store: mail.Sealed(s.store, s.keys), Transport: transport, Now: time.Now, Random: rand.Reader, Log: s.log, Metrics: s.metrics.registry,
	}, mail.Options{
		Service: serviceName, Origin: s.config.origin,
		From: netmail.Address{Name: serviceName, Address: s.config.mail.from},
	})
}

// assemblePages puts pages and API behind one handler.
func (s *site) assemblePages() error {
	resolver, err := s.openResolver()
	if err != nil {
		return err
	}
	clients := clientip.Clients{
		Resolver: resolver, Country: s.geo.Country, DeviceCookie: "__Host-device",
		RequestID: func(r *http.Request) string { return r.Header.Get(requestIDHeader) },
	}
	with := web.Dependencies{
		Auth: s.auth, Review: s.review, Preferences: s.preferences, Clients: clients, Log: s.log, Now: time.Now, Random: rand.Reader, Browser: clientip.Browser,
	}
	options := web.Options{ServiceName: serviceName}
	s.training.provide(s.config.cluster, &with, &options)
	pages, err := web.New(with, options)
	if err != nil {
		return err
	}
	programs := rest.Dependencies{Auth: s.auth, Clients: clients, Log: s.log, Now: time.Now, Browser: clientip.Browser}
	s.training.provideAPI(&programs)
	api, err := rest.New(programs)
	if err != nil {
		return err
	}
	s.drain = func() {
		pages.Drain()
		api.Drain()
	}
	routes := http.NewServeMux()
	for _, route := range pages.Routes() {
		routes.Handle(route.Method+" "+route.Pattern, pages)
	}
	for _, route := range api.Routes() {
		routes.Handle(route.Method+" "+route.Pattern, api)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", api)
	mux.Handle("/", pages)
	var front http.Handler = mux
	if s.config.behindProxy {
		front = onlyFrom(s.config.trustedProxies, mux)
	}
	s.people = s.observed(identified(front), patternIn(routes))
	return nil
}

// onlyFrom answers the proxies and nobody else: there is no TLS on this connection, and
// whoever reaches it past them would send passwords in the clear.
func onlyFrom(proxies []netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		among := func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap().WithZone("")) }
		if err != nil || !slices.ContainsFunc(proxies, among) {
			answer(w, http.StatusForbidden, "The portal is reached over TLS, through its proxy.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// openResolver makes what finds out who a client is. Without trusted proxies it is whoever
// connects, and no header is read.
func (s *site) openResolver() (*clientip.Resolver, error) {
	if len(s.config.trustedProxies) == 0 {
		return clientip.New(nil, 0, "")
	}
	return clientip.New(s.config.trustedProxies, s.config.proxyHops, clientip.Header(s.config.proxyHeader))
}

// identified gives each request an id that no client chose.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := portal.NewID[string](rand.Reader)
		r.Header.Set(requestIDHeader, id)
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r)
	})
}

// patternIn finds the pattern of a request's route.
func patternIn(routes *http.ServeMux) func(*http.Request) string {
	return func(r *http.Request) string {
		_, pattern := routes.Handler(r)
		if pattern == "" {
			return "none"
		}
		return pattern[strings.IndexByte(pattern, ' ')+1:]
	}
}

// run serves until the context ends. Mails and sweeps go on until the last request is
// answered; one of them that fails ends the process, for whoever started it to see.
func (s *site) run(ctx context.Context) error {
	people, err := listen(ctx, s.config.listen)
	if err != nil {
		return err
	}
	ops, err := listen(ctx, s.config.opsListen)
	if err != nil {
		return errors.Join(err, people.Close())
	}
	ready := &readiness{ping: s.ping, warnings: s.warnings}
	s.measure() //nolint:contextcheck // gauges are read when metrics are, which gives them no context
	errorLog := serverErrors{log: s.log, count: s.metrics.countError}
	front := &servers{
		people: newServer(s.people, s.certificate, errorLog), ops: newServer(opsHandler(s.metrics, ready), nil, errorLog),
		log: s.log, ready: ready, drainDelay: s.config.drainDelay, drainLimit: s.config.drainLimit,
	}
	front.people.RegisterOnShutdown(s.drain)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, background := errgroup.WithContext(background)
	loops := map[string]func(context.Context) error{"mail": s.mail.Run, "countries": s.geo.Run, "retention": s.sweeper.Run}
	maps.Copy(loops, s.training.loops())
	for name, work := range loops {
		group.Go(func() error {
			if err := work(background); err != nil && background.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(background, cancel)
	s.log.Info("Serving", "origin", s.config.origin, "tls", s.certificate != nil, "postgres", isPostgres(s.config.database))
	err = front.serve(serving, people, ops)
	stop()
	err = errors.Join(err, group.Wait())
	s.log.Info("Stopped")
	return err
}
