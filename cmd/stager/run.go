package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"syscall"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// memoryLimit is the soft limit for the Go heap in bytes unless GOMEMLIMIT says
// otherwise: a stager needs less than 96 MiB whatever the size of the data.
const memoryLimit = 80 << 20

// run does one step and gives the process's exit code. The context is cancelled
// when the pod is told to stop.
func run(terminated context.Context, args []string, env func(string) string, out io.Writer) int {
	log := slog.New(slog.NewJSONHandler(out, nil))
	c, err := parse(args, env, out)
	if errors.Is(err, flag.ErrHelp) {
		return staging.ExitOK
	}
	if err != nil {
		log.Error("The stager was started wrongly", "cause", err.Error())
		return staging.ExitUsage
	}
	if env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	syscall.Umask(0o022) // The trainer may run as another user and must be able to read.
	report, err := stage(terminated, c, log)
	report = agent.Conclude(report, err)
	if err != nil {
		log.Error("The step failed", "step", c.step, "cause", report.Message, "exitCode", agent.ExitCode(err))
	}
	if err := leave(report, c.terminationLog); err != nil {
		log.Error("The report can not be left for the operator", "cause", err.Error())
	}
	return agent.ExitCode(err)
}

// leave writes the report to where the kubelet takes it from.
func leave(report staging.Report, file string) error {
	data, err := report.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

func stage(terminated context.Context, c config, log *slog.Logger) (staging.Report, error) {
	b := &broker{url: c.brokerURL, tokenFile: c.tokenFile, caFile: c.brokerCAFile}
	if _, err := b.current(); err != nil {
		return staging.Report{Step: c.step}, &agent.Failure{
			Exit:    staging.ExitUsage,
			Message: fmt.Sprintf("The broker's address or certificates can not be used: %s.", err),
		}
	}
	parallel := c.parallel.WithDefaults(c.step)
	options := agent.Options{
		Broker:   b,
		Connect:  connect(parallel.Connections()),
		Log:      log.With("step", c.step),
		Clock:    clock.RealClock{},
		Random:   rand.Float64,
		Node:     c.node,
		Patience: c.patience,
		Parallel: parallel,
	}
	if c.step == staging.StepStageIn {
		return agent.StageIn(terminated, agent.StageInOptions{
			Options: options, DatasetDir: c.datasetDir, ArtifactsDir: c.artifactsDir, FreeSpace: agent.FreeSpace,
			Shard: c.shard, Hosts: c.nodeHosts(), GPUs: c.gpus,
		})
	}
	return agent.StageOut(context.WithoutCancel(terminated), agent.StageOutOptions{
		Options: options, ArtifactsDir: c.artifactsDir, Terminated: terminated.Done(), Grace: c.grace,
		Attempt: c.attempt, Interval: c.interval, EveryNode: c.writers == everyNode,
	})
}

// connect makes the store's client, with a connection for each transfer.
func connect(connections int) func(staging.StoreGrant, agent.CredentialsFunc) (agent.Store, error) {
	return func(grant staging.StoreGrant, credentials agent.CredentialsFunc) (agent.Store, error) {
		return agent.ConnectStore(grant, credentials, connections)
	}
}
