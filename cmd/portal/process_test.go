package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/lethe-dev/lethe/hack/mailsink"
	"github.com/lethe-dev/lethe/hack/portaldemo/stand"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// TestACodeIsGoodOnceOnTwoReplicas: the same code, at the same instant, for the same
// account, at two processes on one PostgreSQL: one sign-in, whatever way they interleave.
func TestACodeIsGoodOnceOnTwoReplicas(t *testing.T) {
	t.Parallel()
	database := portaltest.StartPostgres(t).Database(t)
	dir := t.TempDir()
	settings := []string{"--hash-memory=19"}
	first := runPortal(t, stand.Options{Dir: dir, Database: database, Settings: settings})
	second := runPortal(t, stand.Options{Dir: dir, Database: database, Settings: settings, Sink: first.Sink, Certificate: first.Certificate})

	const email = "ada@people.example"
	person := newVisitor(t, first)
	person.signUp(first, email)
	person.goes(person.post(first.URL+"/sign-in", "email", email, "password", herons), "/account")
	seed := person.enrol(first)

	// Each has shown the password, half of them to either replica.
	const crowd = 4 // as many as a strange browser may be wrong without having to wait
	visitors, replicas := make([]*visitor, crowd), []*stand.Stand{first, second}
	for i := range visitors {
		visitors[i] = newVisitor(t, first)
		v, at := visitors[i], replicas[i%2]
		v.goes(v.post(at.URL+"/sign-in", "email", email, "password", herons), "/sign-in/code")
	}
	code := codeAt(t, seed, 0)
	statuses := make([]int, crowd)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i, v := range visitors {
		all.Go(func() {
			<-start
			statuses[i] = v.post(replicas[i%2].URL+"/sign-in/code", "code", code).status
		})
	}
	close(start)
	all.Wait()
	signedIn := 0
	for i, v := range visitors {
		if statuses[i] == http.StatusSeeOther {
			signedIn++
		}
		if inside := v.get(replicas[(i+1)%2].URL + "/account").status; (inside == http.StatusOK) != (statuses[i] == http.StatusSeeOther) {
			t.Errorf("who was answered %d then gets the account with %d at the other replica", statuses[i], inside)
		}
	}
	t.Logf("answers %v", statuses)
	if signedIn != 1 {
		t.Errorf("%d of %d sign-ins with one code succeeded: %v", signedIn, crowd, statuses)
	}
}

// TestACrowdOfWrongPasswords: 500 at once, each for another account and from another
// network, so that no throttle stops them before the hash. Memory stays what the slots
// allow, and others are answered meanwhile.
func TestACrowdOfWrongPasswords(t *testing.T) {
	t.Parallel()
	const slots, megabytes = 2, 64
	s := runPortal(t, stand.Options{BehindProxy: true, Settings: []string{
		fmt.Sprintf("--hash-slots=%d", slots), fmt.Sprintf("--hash-memory=%d", megabytes),
	}})

	const crowd = 500
	transport := &http.Transport{MaxIdleConnsPerHost: crowd}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 2 * time.Minute}
	ask := func(ctx context.Context, method, path, from, body string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, method, "http://"+s.Address+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Host = strings.TrimPrefix(s.URL, "https://")
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("X-Forwarded-For", from)
		return client.Do(request)
	}

	var lock sync.Mutex
	statuses := map[int]int{}
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() {
			from := netip.AddrFrom4([4]byte{byte(20 + i/200), byte(i % 200), 7, 7}).String()
			body := fmt.Sprintf("email=person%d@people.example&password=not+the+password+of+anybody", i)
			response, err := ask(t.Context(), http.MethodPost, "/sign-in", from, body)
			status := -1
			if err == nil {
				status = response.StatusCode
				_ = response.Body.Close()
			}
			lock.Lock()
			defer lock.Unlock()
			statuses[status]++
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	answered, slowest := othersMeanwhile(t, done, func(ctx context.Context) (*http.Response, error) {
		return ask(ctx, http.MethodGet, "/sign-in", "198.51.100.7", "")
	})
	peak := peakMemory(t, s.PID())
	t.Logf("answers %v; %d others answered meanwhile, the slowest in %s; memory was %d MiB at most", statuses, answered, slowest, peak)
	if statuses[http.StatusSeeOther]+statuses[http.StatusOK] > 0 || statuses[-1] > 0 {
		t.Errorf("wrong passwords were answered %v", statuses)
	}
	if answered == 0 {
		t.Error("nobody else was answered meanwhile")
	}
	// The limit is a soft one; stacks come on top, and the program itself, which is 60 MiB
	// with its clients of a cluster and a store.
	if limit := slots*megabytes + restMemory + 128; peak > limit {
		t.Errorf("memory went up to %d MiB, more than %d MiB", peak, limit)
	}
}

// othersMeanwhile asks for a page, one after the other, until done.
func othersMeanwhile(t *testing.T, done <-chan struct{}, ask func(context.Context) (*http.Response, error)) (answered int, slowest time.Duration) {
	t.Helper()
	for {
		select {
		case <-done:
			return answered, slowest
		default:
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		response, err := ask(ctx)
		cancel()
		if err != nil {
			t.Errorf("somebody else was not answered: %v", err)
			return answered, slowest
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("somebody else was answered %d", response.StatusCode)
		}
		answered++
		slowest = max(slowest, time.Since(began))
	}
}

// peakMemory is the most that a process ever had in memory, in MiB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes >> 10
		}
	}
	t.Fatal("the kernel does not tell the peak")
	return 0
}

// TestLogsOfARunNameNobody does what makes servers talk: visits, wrong requests, hostile
// headers, handshakes that fail, a mail server that refuses a recipient by name; and looks
// through every line, at the most talkative level.
func TestLogsOfARunNameNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate, err := stand.NewCertificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{}, 100)
	sink, err := mailsink.Start(mailsink.Options{Certificate: certificate.Pair, Refuse: func(to string) error {
		if !strings.HasPrefix(to, "refused") {
			return nil
		}
		refused <- struct{}{}
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<" + to + "> from 203.0.113.77 is nobody here"}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	s := runPortal(t, stand.Options{
		Dir: dir, Certificate: certificate, Sink: sink, Settings: []string{"--hash-memory=19", "--log-level=debug"},
	})
	secret, _ := portal.NewSecret(portaltest.Random(7))
	v := newVisitor(t, s)
	v.signUp(s, "ada@people.example")
	v.goes(v.post(s.URL+"/sign-up", "email", "refused@people.example", "password", herons), "/sign-up/sent")
	v.goes(v.post(s.URL+"/sign-in", "email", "ada@people.example", "password", herons), "/account")
	v.post(s.URL+"/sign-in", "email", "ada@people.example", "password", "hunter2 hunter2 hunter2")
	v.get(s.URL + "/verify?token=" + secret)
	v.get(s.URL + "/nothing/ada@people.example/203.0.113.77?email=ada@people.example;x")
	v.send("BREW", s.URL+"/account/203.0.113.77", strings.Repeat("ada@people.example", 1<<17))
	hostileRequests(t, s, secret)
	brokenConnections(t, s)
	await(t, refused)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log := s.Log()
	for _, happened := range []string{"tls-handshake", `"method":"other"`, `"Serving"`, `"Stopped"`} {
		if !strings.Contains(log, happened) {
			t.Errorf("nothing is logged of %s: the test is not about what it says", happened)
		}
	}
	never := []string{"ada", "people", "refused@", "@", "127.0.0", "::1", "203.0.113", "hunter2", "herons", secret, "token=", "Mozilla", "lethe_pat"}
	for line := range strings.Lines(log) {
		for _, word := range never {
			if strings.Contains(strings.ToLower(line), strings.ToLower(word)) {
				t.Errorf("%q is in the log: %s", word, line)
			}
		}
		if !json.Valid([]byte(line)) {
			t.Errorf("a line is not JSON: %q", line)
		}
	}
}

func await(t *testing.T, what <-chan struct{}) {
	t.Helper()
	select {
	case <-what:
	case <-time.After(time.Minute):
		t.Fatal("it did not happen within a minute")
	}
}

// hostileRequests have in their headers what may not reach a log.
func hostileRequests(t *testing.T, s *stand.Stand, secret string) {
	t.Helper()
	v := newVisitor(t, s)
	for _, header := range []http.Header{
		{"X-Forwarded-For": {"203.0.113.77"}, "X-Request-Id": {"ada@people.example"}, "User-Agent": {"Mozilla/5.0 ada@people.example"}},
		{"Authorization": {"Bearer lethe_pat_" + secret + "00000000"}},
		{"Cookie": {"__Host-session=" + secret + "; __Host-device=203.0.113.77"}},
		{"Origin": {"https://ada@people.example"}, "Sec-Fetch-Site": {"cross-site"}},
		{"X-Large": {strings.Repeat("ada@people.example", 1<<13)}},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for _, path := range []string{"/account", "/api/v1/account", "/api/v1/ada@people.example", "/sign-in"} {
				request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader("email=ada%40people.example&email=%"))
				if err != nil {
					t.Fatal(err)
				}
				request.Header = header.Clone()
				request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if _, err := v.do(request); err != nil && header.Get("X-Large") == "" {
					t.Fatal(err)
				}
			}
		}
	}
}

// brokenConnections are those that never become a request.
func brokenConnections(t *testing.T, s *stand.Stand) {
	t.Helper()
	dial := func() net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for _, first := range []string{"", "ada@people.example\r\n\r\n", "GET /ada@people.example HTTP/1.1\r\nHost: 203.0.113.77\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00"} {
		conn := dial()
		if _, err := conn.Write([]byte(first)); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	// Who does not trust the authority says so and leaves.
	conn := tls.Client(dial(), &tls.Config{ServerName: "ada.people.example", MinVersion: tls.VersionTLS13})
	if err := conn.HandshakeContext(t.Context()); err == nil {
		t.Error("a certificate of an unknown authority was trusted")
	}
	_ = conn.Close()
}

// TestCertificateIsRenewedWithoutARestart: a handshake after the files were replaced gets
// the new one.
func TestCertificateIsRenewedWithoutARestart(t *testing.T) {
	t.Parallel()
	s := runPortal(t, stand.Options{Settings: []string{"--hash-memory=19"}})
	serial := func() string {
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // it is looked at, not trusted
		conn, err := dialer.DialContext(t.Context(), "tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		state := conn.(*tls.Conn).ConnectionState()
		if state.Version != tls.VersionTLS13 {
			t.Errorf("TLS version %#x", state.Version)
		}
		return state.PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	other, err := stand.NewCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// The certificate without its key first, as a renewal does: the old pair stays.
	replace(t, other.CertFile, s.Certificate.CertFile)
	replace(t, other.KeyFile, s.Certificate.KeyFile)
	deadline := time.Now().Add(time.Minute)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for serial() == before {
		if time.Now().After(deadline) {
			t.Fatal("the old certificate is still served")
		}
		<-ticker.C
	}
}

func replace(t *testing.T, source, target string) {
	t.Helper()
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(target+".new", target); err != nil {
		t.Fatal(err)
	}
}
