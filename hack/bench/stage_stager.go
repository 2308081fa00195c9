package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// stager is the program that runs in a run's pod, and a broker for it.
type stager struct {
	program           string
	broker            *httptest.Server
	brokerCA, token   string // files
	terminationFolder string
	// order is what the next grant is for.
	order atomic.Pointer[stageOrder]
	ca    string
}

// newStager builds the program and starts the broker.
func newStager(s *script, env environment, storeCA []byte) (*stager, error) {
	dir := s.TempDir()
	st := &stager{
		program: filepath.Join(dir, "stager"), brokerCA: filepath.Join(dir, "ca.crt"), token: filepath.Join(dir, "token"),
		terminationFolder: dir, ca: string(storeCA),
	}
	build := exec.CommandContext(s.Context(), "go", "build", "-trimpath", "-o", st.program, "github.com/lethe-dev/lethe/cmd/stager") //nolint:gosec // G204: our own program.
	build.Stderr = env.stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the stager: %w", err)
	}
	st.broker = httptest.NewTLSServer(http.HandlerFunc(st.answer))
	s.Cleanup(st.broker.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: st.broker.Certificate().Raw})
	return st, errors.Join(os.WriteFile(st.brokerCA, ca, 0o600), os.WriteFile(st.token, []byte("token"), 0o600))
}

// answer is the broker: it grants what the order says, and knows of a trainer that has
// ended well and has put out nothing.
func (st *stager) answer(w http.ResponseWriter, r *http.Request) {
	answers := map[string]any{
		staging.PathStage:    st.grant(),
		staging.PathTrainer:  staging.TrainerStatus{Ended: true},
		staging.PathLog:      staging.LogAnswer{Ended: true},
		staging.PathProgress: staging.ProgressAnswer{},
	}
	answer, known := answers[r.URL.Path]
	if !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // The stager has gone.
}

func (st *stager) grant() staging.StageGrant {
	o, now := st.order.Load(), time.Now()
	return staging.StageGrant{ManifestDigest: o.Digest, Store: staging.StoreGrant{
		Endpoint: o.Endpoint, CABundle: st.ca, Bucket: o.Bucket, Prefix: o.Prefix,
		AccessKeyID: o.Credentials.AccessKeyID, SecretAccessKey: o.Credentials.SecretAccessKey,
		SessionToken: o.Credentials.SessionToken, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		EncryptionKey: o.Key,
	}}
}

// step is a process of the stager.
type step struct {
	command *exec.Cmd
	log     bytes.Buffer
	report  string // a file
	ended   chan struct{}
	err     error // of the end; valid once it has ended
	peak    int64
}

// start starts a step for an order.
func (st *stager) start(ctx context.Context, o stageOrder) (*step, error) {
	st.order.Store(&o)
	s := &step{report: filepath.Join(st.terminationFolder, "report"), ended: make(chan struct{})}
	args := []string{
		string(staging.StepStageIn), "--broker-url=" + st.broker.URL, "--broker-ca-file=" + st.brokerCA,
		"--token-file=" + st.token, "--termination-log=" + s.report,
	}
	if o.Direction == outward {
		args[0] = string(staging.StepStageOut)
		args = append(args, "--artifacts-dir="+o.Folder)
	} else {
		args = append(args, "--dataset-dir="+filepath.Join(o.Folder, staging.DatasetFolder), "--artifacts-dir="+filepath.Join(o.Folder, "none"))
	}
	s.command = exec.CommandContext(ctx, st.program, args...) //nolint:gosec // G204: the program that was just built.
	s.command.Env = []string{}
	s.command.Stderr = &s.log
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("start the stager: %w", err)
	}
	go s.watch()
	go func() {
		defer close(s.ended)
		s.err = s.command.Wait()
	}()
	return s, nil
}

// watch notes the most memory that the process has had: what getrusage tells of it
// includes the most that this process has had.
func (s *step) watch() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-tick.C:
		}
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.command.Process.Pid), "status"))
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		var kib int64
		if _, errScan := fmt.Sscan(rest, &kib); err == nil && errScan == nil {
			atomic.StoreInt64(&s.peak, max(atomic.LoadInt64(&s.peak), kib<<10))
		}
	}
}

// wait gives the digest that the step reports.
func (s *step) wait() (digest string, err error) {
	<-s.ended
	if s.err != nil {
		return "", fmt.Errorf("the stager: %w\n%s", s.err, s.log.String())
	}
	data, err := os.ReadFile(s.report)
	if err != nil {
		return "", fmt.Errorf("read the stager's report: %w", err)
	}
	report, ok := staging.ParseReport(string(data))
	if !ok {
		return "", errors.New("the stager's report is none")
	}
	return report.ManifestDigest, nil
}

// run does a whole step and measures it.
func (st *stager) run(ctx context.Context, o stageOrder) (got sample, digest string, err error) {
	before, err := childrenCPU()
	if err != nil {
		return got, "", err
	}
	started := time.Now()
	s, err := st.start(ctx, o)
	if err != nil {
		return got, "", err
	}
	<-s.ended
	got.took = time.Since(started)
	after, err := childrenCPU()
	if err != nil {
		return got, "", err
	}
	state := s.command.ProcessState
	got.cpu, got.server, got.peak = state.UserTime()+state.SystemTime(), after-before, atomic.LoadInt64(&s.peak)
	digest, err = s.wait()
	return got, digest, err
}

// runKilled starts a step and kills it when it is time.
func (st *stager) runKilled(ctx context.Context, o stageOrder, due func() bool) error {
	s, err := st.start(ctx, o)
	if err != nil {
		return err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !due() {
		select {
		case <-s.ended:
			return fmt.Errorf("the stager ended before it was killed: %w\n%s", s.err, s.log.String())
		case <-tick.C:
		}
	}
	if err := s.command.Process.Kill(); err != nil {
		return fmt.Errorf("kill the stager: %w", err)
	}
	if <-s.ended; s.err == nil {
		return errors.New("the stager ended before it was killed")
	}
	return nil
}
