package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

const usage = `Usage: stager stage-in|stage-out [flags]

stage-in brings a run's dataset to its volume and verifies it, and the checkpoint to
begin with; on several nodes it then waits for all of them.
stage-out stores the trainer's checkpoints and output, tells of its progress, waits for
its end and publishes its artifacts.

Every flag can be set by the variable in parentheses.

`

// config is what the command line and the environment say.
type config struct {
	step           staging.Step
	brokerURL      string
	tokenFile      string
	brokerCAFile   string
	datasetDir     string
	artifactsDir   string
	terminationLog string
	patience       time.Duration
	grace          time.Duration
	parallel       agent.Parallel
	node           agent.Node
	hosts          string
	gpus           int
	shard          bool
	attempt        int
	interval       time.Duration
	writers        string
}

// parse reads arguments and environment. It has told the user about any error.
func parse(args []string, env func(string) string, out io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("stager", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		_, _ = io.WriteString(out, usage) // There is nobody else to tell.
		flags.PrintDefaults()
	}
	if len(args) > 0 {
		c.step = staging.Step(args[0])
	}
	if !slices.Contains([]staging.Step{staging.StepStageIn, staging.StepStageOut}, c.step) {
		flags.Usage()
		return c, errors.New("name a step: stage-in or stage-out")
	}
	err := errors.Join(c.declare(flags, env)...)
	if err == nil {
		err = flags.Parse(args[1:])
	}
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = errors.New("there is an argument too many after the flags")
	default:
		err = c.check()
	}
	return c, err
}

// declare declares the flags, with their defaults from the environment.
func (c *config) declare(flags *flag.FlagSet, env func(string) string) []error {
	d := &declaration{flags: flags, env: env}
	c.declarePlaces(d)
	c.declareRun(d)
	return d.failed
}

func (c *config) declarePlaces(d *declaration) {
	d.text(&c.brokerURL, "broker-url", staging.EnvBrokerURL, "", "address of the broker, https")
	d.text(&c.tokenFile, "token-file", "LETHE_TOKEN_FILE", staging.TokenFile, "file with the token for the broker")
	d.text(&c.brokerCAFile, "broker-ca-file", "LETHE_BROKER_CA_FILE", staging.BrokerCAFile,
		"file with the certificates that the broker's is verified with, PEM")
	d.text(&c.datasetDir, "dataset-dir", staging.EnvDatasetDir, staging.DatasetDir,
		"where the dataset appears; its volume is mounted at the parent")
	d.text(&c.artifactsDir, "artifacts-dir", staging.EnvArtifactsDir, staging.ArtifactsDir,
		"what is published, but for the folder "+staging.CheckpointFolder+" in it, where checkpoints are")
	d.text(&c.terminationLog, "termination-log", "LETHE_TERMINATION_LOG", "/dev/termination-log",
		"file for the report to the operator")
	d.duration(&c.patience, "patience", "LETHE_PATIENCE", 0,
		"how long to wait for a store or broker that is away; 0 for 6h in stage-in, 24h in stage-out")
	d.number(&c.parallel.Small, "parallel-small", "LETHE_PARALLEL_SMALL", 0, "files up to 16 MiB at once; 0 for the default")
	d.number(&c.parallel.Large, "parallel-large", "LETHE_PARALLEL_LARGE", 0, "larger files at once; 0 for the default")
	d.number(&c.parallel.Ranges, "parallel-ranges", "LETHE_PARALLEL_RANGES", 0,
		"ranges of each larger file at once; 0 for the default")
}

func (c *config) declareRun(d *declaration) {
	d.duration(&c.grace, "grace", staging.EnvGrace, 25*time.Second,
		"how long stage-out may go on after SIGTERM; keep it below the pod's grace period")
	d.number(&c.attempt, "attempt", staging.EnvAttempt, 1, "number of the run's attempt, from 1")
	d.number(&c.node.Count, "node-count", staging.EnvNodeCount, 1, "number of the run's nodes")
	d.number(&c.node.Index, "node-index", staging.EnvNodeIndex, 0, "index of this node, from 0")
	d.number(&c.gpus, "gpus-per-node", staging.EnvGPUsPerNode, 0, "number of GPUs of each node")
	d.text(&c.hosts, "node-hosts", staging.EnvNodeHosts, "", "DNS names of all nodes, with commas between them")
	d.truth(&c.shard, "shard", staging.EnvShard, "bring this node's share of the dataset only")
	d.duration(&c.interval, "checkpoint-interval", staging.EnvCheckpointInterval, 10*time.Minute,
		"how often a new checkpoint is stored; 0 for only at the end")
	d.text(&c.writers, "checkpoint-writers", staging.EnvCheckpointWriters, firstNode,
		"nodes that write checkpoints: "+firstNode+" or "+everyNode)
}

// The values of staging.EnvCheckpointWriters.
const (
	firstNode = "FirstNode"
	everyNode = "EveryNode"
)

// check says what does not fit together.
func (c *config) check() error {
	switch {
	case c.brokerURL == "":
		return errors.New("--broker-url or LETHE_BROKER_URL must be set")
	case c.attempt < 1 || c.attempt > maxAttempt:
		return fmt.Errorf("--attempt or %s must be from 1 to %d", staging.EnvAttempt, maxAttempt)
	case c.node.Count < 1 || c.node.Count > objectkey.MaxNodes:
		return fmt.Errorf("--node-count or %s must be from 1 to %d", staging.EnvNodeCount, objectkey.MaxNodes)
	case c.node.Index < 0 || c.node.Index >= c.node.Count:
		return fmt.Errorf("--node-index or %s must be from 0 to below the number of nodes", staging.EnvNodeIndex)
	case c.writers != firstNode && c.writers != everyNode:
		return fmt.Errorf("--checkpoint-writers or %s must be %s or %s", staging.EnvCheckpointWriters, firstNode, everyNode)
	case c.step == staging.StepStageIn && c.node.Count > 1 && len(c.nodeHosts()) != c.node.Count:
		return fmt.Errorf("--node-hosts or %s must name each of the %d nodes", staging.EnvNodeHosts, c.node.Count)
	}
	return nil
}

// maxAttempt is what the name of a checkpoint has room for.
const maxAttempt = 9999

// nodeHosts are the names of all nodes; nil for none.
func (c *config) nodeHosts() []string {
	if c.hosts == "" {
		return nil
	}
	return strings.Split(c.hosts, ",")
}
