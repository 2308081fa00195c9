package stand

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lethe-dev/lethe/hack/freeport"
	"github.com/lethe-dev/lethe/hack/mailsink"
)

// Options of Start.
type Options struct {
	// Program is the portal's, built.
	Program string
	// Dir is a folder for the database, keys and certificates; it has to be there.
	Dir string
	// Database is a SQLite file in Dir when it is empty.
	Database string
	// Listen and OpsListen are free ports of this machine when they are empty.
	Listen, OpsListen string
	// Sink takes the mails, with Certificate; both are made when they are nil, and a Sink
	// that was made here is closed with the Stand.
	Sink        *mailsink.Sink
	Certificate *Certificate
	// SinkPage is the address of the page of a Sink that is made here; a free port when
	// it is empty.
	SinkPage string
	// BehindProxy serves without TLS and believes this machine about who a client is. URL
	// is then what a proxy would be, which is not there: speak to Address.
	BehindProxy bool
	// Settings are further ones, as flags.
	Settings []string
	// Echo gets the portal's log as it comes; may be nil.
	Echo io.Writer
}

// Stand is a portal that runs.
type Stand struct {
	// URL is where people find it, OpsURL where /readyz and /metrics are.
	URL, OpsURL string
	// Address is host:port where it listens.
	Address     string
	Sink        *mailsink.Sink
	Certificate *Certificate

	options Options
	ownSink bool
	closed  bool
	process *exec.Cmd
	log     *record
	// ended is closed when the process has, and err then says how.
	ended chan struct{}
	err   error
}

// How long starting and stopping may take; a machine that is busy with other tests is slow.
const (
	startLimit = 2 * time.Minute
	stopLimit  = 30 * time.Second
)

// Start makes what is missing, and runs the portal until Close.
func Start(ctx context.Context, options Options) (*Stand, error) {
	s := &Stand{options: options, Sink: options.Sink, Certificate: options.Certificate, log: &record{echo: options.Echo}, ended: make(chan struct{})}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.closeSink())
	}
	if err := s.launch(); err != nil {
		return nil, errors.Join(err, s.closeSink())
	}
	if err := s.await(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w; the portal's log:\n%s", err, s.Log()), s.Close())
	}
	return s, nil
}

func (s *Stand) prepare(ctx context.Context) error {
	if err := s.bringNeighbours(); err != nil {
		return err
	}
	if err := s.findPlace(); err != nil {
		return err
	}
	if _, err := os.Stat(s.keyFile()); errors.Is(err, os.ErrNotExist) {
		if _, err := s.Command(ctx, "keys", "create"); err != nil {
			return err
		}
	}
	_, err := s.Command(ctx, "migrate")
	return err
}

// bringNeighbours makes the certificate and the mail server that were not given.
func (s *Stand) bringNeighbours() error {
	var err error
	if s.Certificate == nil {
		if s.Certificate, err = NewCertificate(s.options.Dir); err != nil {
			return err
		}
	}
	if s.Sink != nil {
		return nil
	}
	s.Sink, err = mailsink.Start(mailsink.Options{Certificate: s.Certificate.Pair, WebAddress: s.options.SinkPage})
	s.ownSink = err == nil
	return err
}

// findPlace chooses the addresses and the database that were not given.
func (s *Stand) findPlace() error {
	var err error
	for _, address := range []*string{&s.options.Listen, &s.options.OpsListen} {
		if *address != "" {
			continue
		}
		if *address, err = freeport.Claim(); err != nil {
			return err
		}
	}
	if s.options.Database == "" {
		s.options.Database = filepath.Join(s.options.Dir, "portal.db")
	}
	_, port, err := net.SplitHostPort(s.options.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.Address = s.options.Listen
	// A name rather than an address: it is what a certificate of the web is for.
	s.URL, s.OpsURL = "https://localhost:"+port, "http://"+s.options.OpsListen
	return nil
}

func (s *Stand) keyFile() string { return filepath.Join(s.options.Dir, "portal.keys") }

// environment holds the settings; what is set where this runs is not the portal's.
func (s *Stand) environment() []string {
	settings := map[string]string{
		"LISTEN": s.options.Listen, "OPS_LISTEN": s.options.OpsListen, "ORIGIN": s.URL,
		"DATABASE": s.options.Database, "KEY_FILE": s.keyFile(),
		"MAIL_SERVER": s.Sink.SMTPAddress(), "MAIL_CA": s.Certificate.CAFile, "MAIL_FROM": "no-reply@lethe.example",
	}
	if s.options.BehindProxy {
		settings["BEHIND_PROXY"], settings["TRUSTED_PROXIES"] = "true", "127.0.0.1"
	} else {
		settings["TLS_CERT"], settings["TLS_KEY"] = s.Certificate.CertFile, s.Certificate.KeyFile
	}
	environment := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.options.Dir}
	for name, value := range settings {
		environment = append(environment, "LETHE_PORTAL_"+name+"="+value)
	}
	return environment
}

// Command runs another command of the portal on the same database and keys, and gives
// what it prints.
func (s *Stand) Command(ctx context.Context, args ...string) (string, error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, s.options.Program, append(args, s.options.Settings...)...) //nolint:gosec // our own program
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.environment(), s.options.Dir, &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("portal %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

func (s *Stand) launch() error {
	s.process = exec.Command(s.options.Program, append([]string{"serve"}, s.options.Settings...)...) //nolint:gosec,noctx // our own program; Close ends it
	s.process.Env, s.process.Dir = s.environment(), s.options.Dir
	s.process.Stdout, s.process.Stderr = s.log, s.log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("start the portal: %w", err)
	}
	go func() {
		s.err = s.process.Wait()
		close(s.ended)
	}()
	return nil
}

// await asks /readyz until it says yes.
func (s *Stand) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if s.ready(ctx) {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the portal ended by itself: %w", s.err)
		case <-ctx.Done():
			return fmt.Errorf("the portal was not ready within %s", startLimit)
		case <-ticker.C:
		}
	}
}

func (s *Stand) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.OpsURL+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Client speaks to the portal, trusting its authority alone, without following redirects.
func (s *Stand) Client() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Certificate.Pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}
}

// Invite gives an address a role, and the link that sets its password.
func (s *Stand) Invite(ctx context.Context, email, role string) (string, error) {
	out, err := s.Command(ctx, "admin", "invite", email, "--role="+role)
	if err != nil {
		return "", err
	}
	for word := range strings.FieldsSeq(out) {
		if strings.HasPrefix(word, s.URL+"/") {
			return word, nil
		}
	}
	return "", fmt.Errorf("the invitation has no link: %q", out)
}

// Log is what the portal has written so far.
func (s *Stand) Log() string { return s.log.String() }

// PID is the portal's process.
func (s *Stand) PID() int { return s.process.Process.Pid }

// Ended is closed when the portal has ended.
func (s *Stand) Ended() <-chan struct{} { return s.ended }

// Close stops the portal as a supervisor would, and gives an error unless it ended in
// order. A second Close does nothing.
func (s *Stand) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	select {
	case <-s.ended:
		errs = append(errs, fmt.Errorf("the portal had ended by itself: %w", s.err))
	default:
		errs = append(errs, s.stop())
	}
	return errors.Join(append(errs, s.closeSink())...)
}

func (s *Stand) stop() error {
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the portal: %w", err)
	}
	select {
	case <-s.ended:
		if s.err != nil {
			return fmt.Errorf("the portal did not end in order: %w; its log:\n%s", s.err, s.Log())
		}
		return nil
	case <-time.After(stopLimit):
		err := s.process.Process.Kill()
		<-s.ended
		return errors.Join(fmt.Errorf("the portal did not stop within %s and was killed", stopLimit), err)
	}
}

func (s *Stand) closeSink() error {
	if !s.ownSink {
		return nil
	}
	s.ownSink = false
	return s.Sink.Close()
}

// record keeps what a process writes.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
	echo io.Writer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.echo != nil {
		_, _ = r.echo.Write(p)
	}
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
