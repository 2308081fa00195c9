package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

func TestParseReadsFlagsBeforeTheEnvironment(t *testing.T) {
	t.Parallel()
	defaults := config{
		step: staging.StepStageIn, brokerURL: "https://b",
		tokenFile: staging.TokenFile, brokerCAFile: staging.BrokerCAFile,
		datasetDir: staging.DatasetDir, artifactsDir: staging.ArtifactsDir,
		terminationLog: "/dev/termination-log", grace: 25 * time.Second,
		node: agent.Node{Count: 1}, attempt: 1, interval: 10 * time.Minute, writers: "FirstNode",
	}
	cases := map[string]struct {
		args []string
		env  map[string]string
		want func(*config)
		err  string
	}{
		"the broker by flag":     {args: []string{"stage-in", "--broker-url=https://b"}},
		"the broker by variable": {args: []string{"stage-in"}, env: map[string]string{"LETHE_BROKER_URL": "https://b"}},
		"flags win": {
			args: []string{"stage-in", "--broker-url=https://b", "--patience=1h"},
			env:  map[string]string{"LETHE_BROKER_URL": "https://c", "LETHE_PATIENCE": "2h"},
			want: func(c *config) { c.patience = time.Hour },
		},
		"everything by variables": {
			args: []string{"stage-out"},
			env: map[string]string{
				"LETHE_BROKER_URL": "https://b", "LETHE_TOKEN_FILE": "t", "LETHE_BROKER_CA_FILE": "c",
				"LETHE_DATASET_DIR": "d", "LETHE_ARTIFACTS_DIR": "a", "LETHE_TERMINATION_LOG": "l",
				"LETHE_PATIENCE": "1m", "LETHE_GRACE": "2m",
				"LETHE_PARALLEL_SMALL": "1", "LETHE_PARALLEL_LARGE": "2", "LETHE_PARALLEL_RANGES": "3",
				"LETHE_ATTEMPT": "2", "LETHE_NODE_COUNT": "3", "LETHE_NODE_INDEX": "1", "LETHE_NODE_HOSTS": "x,y,z",
				"LETHE_GPUS_PER_NODE": "8", "LETHE_SHARD": "true", "LETHE_CHECKPOINT_INTERVAL": "30s",
				"LETHE_CHECKPOINT_WRITERS": "EveryNode",
			},
			want: func(c *config) {
				*c = config{
					step: staging.StepStageOut, brokerURL: "https://b", tokenFile: "t", brokerCAFile: "c",
					datasetDir: "d", artifactsDir: "a", terminationLog: "l", patience: time.Minute,
					grace: 2 * time.Minute, parallel: agent.Parallel{Small: 1, Large: 2, Ranges: 3},
					attempt: 2, node: agent.Node{Index: 1, Count: 3}, hosts: "x,y,z", gpus: 8, shard: true,
					interval: 30 * time.Second, writers: "EveryNode",
				}
			},
		},
		"no step":         {err: "name a step"},
		"an unknown step": {args: []string{"stage"}, err: "name a step"},
		"no broker":       {args: []string{"stage-in"}, err: "LETHE_BROKER_URL"},
		"an unknown flag": {args: []string{"stage-in", "--x"}, err: "not defined"},
		"an argument too many": {
			args: []string{"stage-in", "--broker-url=https://b", "x"}, err: "too many",
		},
		"not a duration": {
			args: []string{"stage-in"}, env: map[string]string{"LETHE_GRACE": "25"}, err: "LETHE_GRACE is not a duration",
		},
		"neither true nor false": {
			args: []string{"stage-in"}, env: map[string]string{"LETHE_SHARD": "maybe"}, err: "LETHE_SHARD is neither",
		},
		"a node that is none": {
			args: []string{"stage-out", "--broker-url=https://b", "--node-count=2", "--node-index=2"}, err: "LETHE_NODE_INDEX",
		},
		"too many nodes": {
			args: []string{"stage-out", "--broker-url=https://b", "--node-count=65"}, err: "LETHE_NODE_COUNT",
		},
		"nodes without names": {
			args: []string{"stage-in", "--broker-url=https://b", "--node-count=2", "--node-hosts=x"}, err: "LETHE_NODE_HOSTS",
		},
		"no attempt": {
			args: []string{"stage-out", "--broker-url=https://b"}, env: map[string]string{"LETHE_ATTEMPT": "0"}, err: "LETHE_ATTEMPT",
		},
		"writers that are unknown": {
			args: []string{"stage-out", "--broker-url=https://b", "--checkpoint-writers=Nobody"}, err: "LETHE_CHECKPOINT_WRITERS",
		},
		"not a number": {
			args: []string{"stage-in"}, env: map[string]string{"LETHE_PARALLEL_SMALL": "-1"}, err: "LETHE_PARALLEL_SMALL is not",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			got, err := parse(tc.args, func(name string) string { return tc.env[name] }, &out)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := defaults
			if tc.want != nil {
				tc.want(&want)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(config{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

// pod is a folder with what the kubelet gives a stager, and a broker.
type pod struct {
	folder string
	asked  chan string // the tokens that were shown
	env    map[string]string
}

func newPod(t *testing.T, answer http.HandlerFunc) *pod {
	t.Helper()
	p := &pod{folder: t.TempDir(), asked: make(chan string, 100)}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked <- r.Header.Get("Authorization")
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	p.put(t, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	p.put(t, "token", "first\n")
	p.put(t, "artifacts/model.bin", "x")
	p.put(t, "volume/lost+found/x", "")
	p.env = map[string]string{
		"LETHE_BROKER_URL": server.URL, "LETHE_TOKEN_FILE": p.path("token"), "LETHE_BROKER_CA_FILE": p.path("ca.crt"),
		"LETHE_DATASET_DIR": p.path("volume/dataset"), "LETHE_ARTIFACTS_DIR": p.path("artifacts"),
		"LETHE_TERMINATION_LOG": p.path("termination-log"), "GOMEMLIMIT": "off",
	}
	return p
}

func (p *pod) path(name string) string { return filepath.Join(p.folder, name) }

func (p *pod) put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.path(name)), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *pod) run(ctx context.Context, step string) (code int, report string) {
	var out bytes.Buffer
	code = run(ctx, []string{step}, func(name string) string { return p.env[name] }, &out)
	data, _ := os.ReadFile(p.path("termination-log")) // Empty says enough.
	return code, string(data)
}

func refuse(status int, reason string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(staging.Problem{Reason: reason, Detail: "it is being erased"})
	}
}

func TestRunLeavesAReportAndAnExitCode(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		step    string
		answer  http.HandlerFunc
		arrange func(*testing.T, *pod)
		code    int
		want    staging.Report
	}{
		"a refused stage-in": {
			step: "stage-in", answer: refuse(http.StatusGone, staging.ProblemDatasetErasing), code: staging.ExitDenied,
			want: staging.Report{
				Step: staging.StepStageIn, Message: "The operator refused: it is being erased (DatasetErasing).",
			},
		},
		"a failed trainer": {
			step: "stage-out",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(staging.TrainerStatus{Ended: true, ExitCode: 1})
			},
			want: staging.Report{Step: staging.StepStageOut},
		},
		"a store without TLS": {
			step: "stage-in",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(staging.StageGrant{Store: staging.StoreGrant{
					Endpoint: "http://store", IssuedAt: time.Unix(0, 0), ExpiresAt: time.Unix(3600, 0),
				}})
			},
			code: staging.ExitUsage,
			want: staging.Report{Step: staging.StepStageIn, Message: "The store that the broker named can not be " +
				"connected to: its address or certificates are wrong. Check the operator's store settings."},
		},
		"a key that would cross the network in the clear": {
			step: "stage-in",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(staging.StageGrant{Store: staging.StoreGrant{
					Endpoint: "http://store", InsecurePlaintext: true, EncryptionKey: []byte(canary),
					IssuedAt: time.Unix(0, 0), ExpiresAt: time.Unix(3600, 0),
				}})
			},
			code: staging.ExitUsage,
			want: staging.Report{Step: staging.StepStageIn, Message: "The dataset has a key of its own, which must not cross " +
				"the network in the clear, but the store has no TLS. Give the store a certificate, or use a dataset with " +
				"encryption Bucket."},
		},
		"no volume": {
			step: "stage-in", answer: refuse(http.StatusGone, ""), code: staging.ExitUsage,
			arrange: func(_ *testing.T, p *pod) { p.env["LETHE_DATASET_DIR"] = p.path("none/dataset") },
			want: staging.Report{Step: staging.StepStageIn, Message: "The dataset's volume can not be used (no such file " +
				"or directory). It must be mounted, writable, at the parent of the dataset's folder."},
		},
		"certificates that are none": {
			step: "stage-in", answer: refuse(http.StatusGone, ""), code: staging.ExitUsage,
			arrange: func(t *testing.T, p *pod) { t.Helper(); p.put(t, "ca.crt", "hello") },
			want: staging.Report{Step: staging.StepStageIn, Message: "The broker's address or certificates can not be used: " +
				"read the broker's CA: it holds no PEM certificate."},
		},
		"no token": {
			step: "stage-in", answer: refuse(http.StatusGone, ""), code: staging.ExitIOError,
			arrange: func(_ *testing.T, p *pod) { p.env["LETHE_TOKEN_FILE"] = p.path("none") },
			want:    staging.Report{Step: staging.StepStageIn, Message: "The broker can not be asked: no such file or directory."},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPod(t, tc.answer)
			if tc.arrange != nil {
				tc.arrange(t, p)
			}
			code, message := p.run(t.Context(), tc.step)
			got, ok := staging.ParseReport(message)
			if !ok {
				t.Errorf("not a report: %q", message)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || code != tc.code {
				t.Errorf("exit %d, want %d; report (-want +got):\n%s", code, tc.code, diff)
			}
		})
	}
}

func TestARotatedTokenAndCertificateAreUsedAtOnce(t *testing.T) {
	t.Parallel()
	var p *pod
	asked := 0
	p = newPod(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != staging.PathTrainer {
			_ = json.NewEncoder(w).Encode(staging.LogAnswer{Ended: true})
			return
		}
		asked++
		p.put(t, "token", "second")
		ca, _ := os.ReadFile(p.path("ca.crt"))
		p.put(t, "ca.crt", string(ca)+"\n"+string(ca))
		_ = json.NewEncoder(w).Encode(staging.TrainerStatus{Ended: asked == 2, ExitCode: 1})
	})
	if code, report := p.run(t.Context(), "stage-out"); code != staging.ExitOK {
		t.Fatalf("exit %d: %s", code, report)
	}
	close(p.asked)
	var last string
	for token := range p.asked {
		if last == "Bearer second" && token != last {
			t.Errorf("the old token was used after the new one: %q", token)
		}
		last = token
	}
	if last != "Bearer second" {
		t.Errorf("the last token is %q", last)
	}
}

func TestRunStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"stage-in", "stage-out"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			p := newPod(t, func(w http.ResponseWriter, _ *http.Request) {
				cancel()
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			if code, report := p.run(ctx, step); code != staging.ExitTerminated || !strings.Contains(report, "told to stop") {
				t.Errorf("exit %d: %s", code, report)
			}
		})
	}
}

func TestRunToldWronglyOrAskedForHelp(t *testing.T) {
	t.Parallel()
	for want, args := range map[int][]string{
		staging.ExitUsage: {"stage"},
		staging.ExitOK:    {"stage-in", "--help"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), args, func(string) string { return "" }, &out); code != want {
			t.Errorf("exit %d, want %d", code, want)
		}
		if !strings.Contains(out.String(), "Usage: stager stage-in|stage-out") {
			t.Errorf("no usage: %s", out.String())
		}
	}
}
