package faultproxy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// Proxy passes requests on to a MinIO, or does not. It is safe for concurrent use.
type Proxy struct {
	// Endpoint is its URL, and CA verifies its certificate.
	Endpoint string
	CA       []byte

	target    *url.URL
	transport *http.Transport
	closing   chan struct{} // closed when the test ends

	mu    sync.Mutex
	rules []*rule
	clock time.Duration
}

// Match says which requests a rule is about. The zero value is all of them.
type Match struct {
	// Method is HTTP's; empty for any.
	Method string
	// Query is the name of a parameter that is there ("versions", "uploads", "delete",
	// "list-type", "uploadId"); empty for any.
	Query string
	// Path is a part of the URL's path, such as a key; empty for any.
	Path string
	// First is the first of these requests that meets the fault, from 1; 0 is 1 too.
	First int
	// Times is how many meet it; 0 for all from the first on.
	Times int
}

type rule struct {
	match Match
	fault Fault
	seen  int
	met   int
}

// Start starts a proxy in front of a server; it stops when the test ends.
func Start(t testing.TB, server *objectstoretest.MinIO) *Proxy {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatalf("parse the server's endpoint: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(server.CA) {
		t.Fatal("the server's authority is not readable")
	}
	p := &Proxy{
		target: target, closing: make(chan struct{}),
		transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableCompression: true, MaxIdleConnsPerHost: 64,
		},
	}
	listener := httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	listener.Config.ErrorLog = log.New(io.Discard, "", 0) // Broken connections are what it is for.
	listener.StartTLS()
	p.Endpoint = listener.URL
	p.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: listener.Certificate().Raw})
	t.Cleanup(func() {
		close(p.closing)
		listener.CloseClientConnections()
		listener.Close()
		p.transport.CloseIdleConnections()
	})
	return p
}

// Config is a client's configuration for the server behind the proxy.
func (p *Proxy) Config(c objectstore.Credentials) objectstore.Config {
	return objectstore.Config{Endpoint: p.Endpoint, CABundle: p.CA, Credentials: objectstore.Static(c)}
}

// Client makes a client of the server behind the proxy.
func (p *Proxy) Client(t testing.TB, c objectstore.Credentials) *objectstore.Client {
	t.Helper()
	client, err := objectstore.New(p.Config(c))
	if err != nil {
		t.Fatalf("make a client for the proxy: %v", err)
	}
	return client
}

// Fail adds a rule. A request that several are about meets the first of them. The
// function says how many have met the fault.
func (p *Proxy) Fail(m Match, f Fault) (met func() int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &rule{match: m, fault: f}
	p.rules = append(p.rules, r)
	return func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return r.met
	}
}

// Revoke makes the store know nobody's credentials any more.
func (p *Proxy) Revoke() { p.Fail(Match{}, Refuse(http.StatusForbidden, "InvalidAccessKeyId")) }

// SetClock makes the store's clock wrong by this much: its answers say so, and from a
// quarter of an hour on it takes no signature for one of now.
func (p *Proxy) SetClock(wrong time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock = wrong
}

// Heal forgets all rules and sets the clock right.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules, p.clock = nil, 0
}

// maxSkew is how wrong a clock may be for S3.
const maxSkew = 15 * time.Minute

// fault gives the one that a request meets, and how wrong the clock is.
func (p *Proxy) fault(r *http.Request) (Fault, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var meets *rule
	for _, rule := range p.rules {
		if !rule.match.fits(r) {
			continue
		}
		rule.seen++
		if meets == nil && rule.match.has(rule.seen) {
			meets = rule
		}
	}
	switch {
	case meets != nil:
		meets.met++
		return meets.fault, p.clock
	case p.clock.Abs() > maxSkew:
		return Refuse(http.StatusForbidden, "RequestTimeTooSkewed"), p.clock
	}
	return Fault{apply: func(x *exchange) { x.pass() }}, p.clock
}

func (m Match) fits(r *http.Request) bool {
	return (m.Method == "" || m.Method == r.Method) &&
		(m.Query == "" || r.URL.Query().Has(m.Query)) &&
		strings.Contains(r.URL.Path, m.Path)
}

func (m Match) has(n int) bool {
	first := max(m.First, 1)
	return n >= first && (m.Times == 0 || n < first+m.Times)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	fault, clock := p.fault(r)
	w.Header().Set("Date", time.Now().Add(clock).UTC().Format(http.TimeFormat))
	fault.apply(&exchange{proxy: p, w: w, r: r})
}

// exchange is one request and its answer.
type exchange struct {
	proxy *Proxy
	w     http.ResponseWriter
	r     *http.Request
}

// ask sends the request on as it is. It is nil when the store does not answer; then
// the client got that already.
func (x *exchange) ask() *http.Response {
	out := x.r.Clone(x.r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = x.proxy.target.Scheme, x.proxy.target.Host, ""
	out.Host = x.r.Host // It is signed.
	answer, err := x.proxy.transport.RoundTrip(out)
	if err != nil {
		x.w.WriteHeader(http.StatusBadGateway)
		return nil
	}
	return answer
}

// pass gives the answer as it is.
func (x *exchange) pass() {
	answer := x.ask()
	if answer == nil {
		return
	}
	defer func() { _ = answer.Body.Close() }()
	x.head(answer)
	_, _ = io.Copy(x.w, answer.Body) // A client that hangs up is no concern of ours.
}

// head gives the answer's headers, but for the date, and its status.
func (x *exchange) head(answer *http.Response) {
	date := x.w.Header().Get("Date")
	maps.Copy(x.w.Header(), answer.Header)
	x.w.Header().Set("Date", date)
	x.w.WriteHeader(answer.StatusCode)
}

// whole lets the request take effect and gives its answer, read to the end. ok is
// false when the store did not answer.
func (x *exchange) whole() (answer *http.Response, body []byte, ok bool) {
	answer = x.ask()
	if answer == nil {
		return nil, nil, false
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err == nil
}

// wait waits for a time, or until the client or the test has ended.
func (x *exchange) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.r.Context().Done():
	case <-x.proxy.closing:
	}
}
