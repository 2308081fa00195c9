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
	"sync/atomic"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// stager is the program that runs in a run's pod, and a broker for it.
type stager struct {
	program                 string
	broker                  *httptest.Server
	brokerCA, token, report string // files
	// order is what the next grant is for.
	order atomic.Pointer[stageOrder]
	ca    string
}

// newStager builds the program and starts the broker.
func newStager(s *script, env environment, storeCA []byte) (*stager, error) {
	dir := s.TempDir()
	st := &stager{
		program: filepath.Join(dir, "stager"), ca: string(storeCA),
		brokerCA: filepath.Join(dir, "ca.crt"), token: filepath.Join(dir, "token"), report: filepath.Join(dir, "report"),
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

// command is a step for an order, which is the broker's from now on, and the log that
// it writes.
func (st *stager) command(ctx context.Context, o stageOrder) (*exec.Cmd, *bytes.Buffer) {
	st.order.Store(&o)
	args := []string{
		string(staging.StepStageIn), "--broker-url=" + st.broker.URL, "--broker-ca-file=" + st.brokerCA,
		"--token-file=" + st.token, "--termination-log=" + st.report,
	}
	if o.Direction == outward {
		args[0] = string(staging.StepStageOut)
		args = append(args, "--artifacts-dir="+o.Folder)
	} else {
		args = append(args, "--dataset-dir="+filepath.Join(o.Folder, staging.DatasetFolder), "--artifacts-dir="+filepath.Join(o.Folder, "none"))
	}
	var log bytes.Buffer
	c := exec.CommandContext(ctx, st.program, args...) //nolint:gosec // G204: the program that was just built.
	c.Env, c.Stderr = []string{}, &log
	return c, &log
}

// run does a whole step, measures it, and gives the digest that it reports.
func (st *stager) run(ctx context.Context, o stageOrder) (got sample, digest string, err error) {
	command, log := st.command(ctx, o)
	if got, err = measure(command); err != nil {
		return got, "", fmt.Errorf("%w\n%s", err, log.String())
	}
	data, err := os.ReadFile(st.report)
	if err != nil {
		return got, "", fmt.Errorf("read the stager's report: %w", err)
	}
	report, ok := staging.ParseReport(string(data))
	if !ok {
		return got, "", errors.New("the stager's report is none")
	}
	return got, report.ManifestDigest, nil
}

// runKilled starts a step and kills it when it is time.
func (st *stager) runKilled(ctx context.Context, o stageOrder, due func() bool) error {
	command, log := st.command(ctx, o)
	w, err := watch(command)
	if err != nil {
		return err
	}
	if err := w.kill(due); err != nil {
		return fmt.Errorf("the stager: %w\n%s", err, log.String())
	}
	return nil
}
