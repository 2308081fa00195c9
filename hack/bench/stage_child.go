package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// stageChildName is the argument by which a process of the benchmark is a method, and
// stageVariable holds its order.
const (
	stageChildName = "stage-method"
	stageVariable  = "LETHE_BENCH_STAGE"
)

// stageMemory is the soft limit that cmd/stager sets itself.
const stageMemory = 80 << 20

// stageOrder is what a child is to do, as JSON in its environment.
type stageOrder struct {
	Method, Direction string
	Endpoint          string
	CA                string // a file
	Credentials       objectstore.Credentials
	Bucket, Prefix    string
	Key               []byte
	// Folder is the dataset's or the artifacts' one.
	Folder string
	// Digest of the manifest to stage in.
	Digest string
	// Count and Size of the files.
	Count int
	Size  int64
}

// stageAnswer is what a child writes.
type stageAnswer struct {
	// Seconds of what is measured, without the process around it.
	Seconds float64
	// Digest of the manifest that was published or staged in.
	Digest string
	// Peak is the most memory that the process had, in bytes. What getrusage tells
	// includes the most that its parent had.
	Peak int64
}

func runStageChild(ctx context.Context, args []string, env environment) error {
	var o stageOrder
	if err := json.Unmarshal([]byte(env.getenv(stageVariable)), &o); err != nil || len(args) > 0 {
		return errors.New("this is for the benchmark itself")
	}
	methods := map[string]func(context.Context, stageOrder, environment) (stageAnswer, error){
		ours + inward: stageIn, ours + outward: stageOut, bare + inward: bareIn, bare + outward: bareOut,
	}
	method, ok := methods[o.Method+o.Direction]
	if !ok {
		return fmt.Errorf("there is no method %q", o.Method+o.Direction)
	}
	a, err := method(ctx, o, env)
	if err != nil {
		return err
	}
	if a.Peak, err = peakMemory(); err != nil {
		return err
	}
	return json.NewEncoder(env.stdout).Encode(a)
}

// peakMemory of this process since it was started.
func peakMemory() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read the process's memory: %w", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0, fmt.Errorf("understand the process's memory: %w", err)
	}
	return kib << 10, nil
}

// grantor is a broker that has one answer. A run of one node asks for no more.
type grantor struct {
	agent.Broker // For what is not asked.

	order stageOrder
	ca    string
}

// Stage implements agent.Broker.
func (g grantor) Stage(_ context.Context, step staging.Step) (staging.StageGrant, error) {
	now := time.Now()
	grant := staging.StageGrant{Store: staging.StoreGrant{
		Endpoint: g.order.Endpoint, CABundle: g.ca, Bucket: g.order.Bucket, Prefix: g.order.Prefix,
		AccessKeyID: g.order.Credentials.AccessKeyID, SecretAccessKey: g.order.Credentials.SecretAccessKey,
		SessionToken: g.order.Credentials.SessionToken, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		EncryptionKey: g.order.Key,
	}}
	if step == staging.StepStageIn {
		grant.ManifestDigest = g.order.Digest
	}
	return grant, nil
}

// Trainer implements agent.Broker: it has ended.
func (grantor) Trainer(context.Context) (staging.TrainerStatus, error) {
	return staging.TrainerStatus{Ended: true}, nil
}

// Log implements agent.Broker: it has put out nothing.
func (grantor) Log(_ context.Context, asked staging.LogRequest) (staging.LogAnswer, error) {
	return staging.LogAnswer{Last: asked.Since, Ended: true}, nil
}

// Progress implements agent.Broker.
func (grantor) Progress(context.Context, staging.ProgressRequest) error { return nil }

// agentOptions are those of cmd/stager.
func (o stageOrder) agentOptions(step staging.Step, env environment) (agent.Options, error) {
	ca, err := os.ReadFile(o.CA)
	if err != nil {
		return agent.Options{}, fmt.Errorf("read authority: %w", err)
	}
	debug.SetMemoryLimit(stageMemory)
	parallel := agent.Parallel{}.WithDefaults(step)
	return agent.Options{
		Broker: grantor{order: o, ca: string(ca)},
		Connect: func(grant staging.StoreGrant, credentials agent.CredentialsFunc) (agent.Store, error) {
			return agent.ConnectStore(grant, credentials, parallel.Connections())
		},
		Log:      slog.New(slog.NewTextHandler(env.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Clock:    clock.RealClock{},
		Random:   rand.Float64,
		Parallel: parallel,
	}, nil
}

func stageIn(ctx context.Context, o stageOrder, env environment) (stageAnswer, error) {
	options, err := o.agentOptions(staging.StepStageIn, env)
	if err != nil {
		return stageAnswer{}, err
	}
	start := time.Now()
	report, err := agent.StageIn(ctx, agent.StageInOptions{
		Options: options, DatasetDir: filepath.Join(o.Folder, staging.DatasetFolder), FreeSpace: agent.FreeSpace,
	})
	return stageAnswer{Seconds: time.Since(start).Seconds(), Digest: report.ManifestDigest}, err
}

func stageOut(ctx context.Context, o stageOrder, env environment) (stageAnswer, error) {
	options, err := o.agentOptions(staging.StepStageOut, env)
	if err != nil {
		return stageAnswer{}, err
	}
	start := time.Now()
	report, err := agent.StageOut(ctx, agent.StageOutOptions{Options: options, ArtifactsDir: o.Folder})
	if err == nil && !report.Published {
		err = errors.New("nothing was published")
	}
	return stageAnswer{Seconds: time.Since(start).Seconds(), Digest: report.ManifestDigest}, err
}
