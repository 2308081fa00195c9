package web

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Dependencies is what the pages need; all of it is required that does not say otherwise.
type Dependencies struct {
	Auth        Auth
	Review      Review
	Preferences Preferences
	Clients     Clients
	Log         *slog.Logger
	Now         func() time.Time
	Random      io.Reader
	// Runs is nil where there is no cluster: then there are no pages of runs.
	Runs Runs
	// Browser gives the family and system of a User-Agent ("Firefox on Linux").
	Browser func(userAgent string) string
	// Datasets is nil where there is no cluster: then there are no pages of datasets and
	// receipts.
	Datasets Datasets
	// ReceiptKeys are what receipts are verified with; nil without a cluster.
	ReceiptKeys ReceiptKeys
	// Live feeds the page of a run; nil without a cluster: then there is none.
	Live Live
}

// Options choose what may differ between installations. The zero value works.
type Options struct {
	// ServiceName is what pages call us; "Lethe" when empty.
	ServiceName string
	// StoreOrigins are those to which browsers send files: "https://store.example.org".
	StoreOrigins []string
}

// Server answers with pages. Use New.
type Server struct {
	auth        Auth
	review      Review
	preferences Preferences
	clients     Clients
	log         *slog.Logger
	now         func() time.Time
	random      io.Reader
	browser     func(userAgent string) string
	runs        Runs // nil where there is no cluster
	datasets    Datasets
	receiptKeys ReceiptKeys
	// uploadPolicy is the Content-Security-Policy of pages that send files to the store.
	uploadPolicy string
	name         string

	assets    *assets
	templates map[string]*template.Template
	mux       *http.ServeMux
	routes    map[string]Route // by "METHOD pattern"
	handler   http.Handler
	// crossSite bounds the events that strangers can make us write.
	crossSite *rate.Limiter

	live Live
	// draining is closed when streams are to end.
	draining chan struct{}
	drained  sync.Once
}

// New makes the pages. An error is a mistake in a template or in the wiring.
func New(with Dependencies, options Options) (*Server, error) {
	if with.Auth == nil || with.Review == nil || with.Preferences == nil || with.Clients == nil || with.Log == nil || with.Now == nil || with.Random == nil || with.Browser == nil {
		return nil, errors.New("make the pages: a dependency is missing")
	}
	s := &Server{
		auth: with.Auth, review: with.Review, preferences: with.Preferences, clients: with.Clients,
		log: with.Log, now: with.Now, random: with.Random, browser: with.Browser,
		runs:      with.Runs,
		name:      options.ServiceName,
		mux:       http.NewServeMux(),
		routes:    map[string]Route{},
		crossSite: rate.NewLimiter(1, 30),
		datasets:  with.Datasets, receiptKeys: with.ReceiptKeys,
		live:     with.Live,
		draining: make(chan struct{}),
	}
	if s.name == "" {
		s.name = "Lethe"
	}
	var err error
	if s.uploadPolicy, err = uploadPolicy(options.StoreOrigins); err != nil {
		return nil, err
	}
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.templates, err = parseTemplates(s.assets); err != nil {
		return nil, err
	}
	for _, route := range s.Routes() {
		key := route.Method + " " + route.Pattern
		if route.handle == nil {
			return nil, fmt.Errorf("make the pages: route %s has no handler", key)
		}
		s.routes[key] = route
		s.mux.Handle(key, s.serve(route))
	}
	s.handler = s.middleware(http.HandlerFunc(s.dispatch))
	return s, nil
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }
