package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

const usage = `Usage: stager stage-in|stage-out [flags]

stage-in brings a run's dataset to its volume and verifies it.
stage-out waits for the trainer's end and publishes its artifacts.

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
	case c.brokerURL == "":
		err = errors.New("--broker-url or LETHE_BROKER_URL must be set")
	}
	return c, err
}

// declare declares the flags, with their defaults from the environment.
func (c *config) declare(flags *flag.FlagSet, env func(string) string) (failed []error) {
	text := func(into *string, name, variable, fallback, help string) {
		value := env(variable)
		if value == "" {
			value = fallback
		}
		flags.StringVar(into, name, value, help+" ("+variable+")")
	}
	duration := func(into *time.Duration, name, variable string, fallback time.Duration, help string) {
		if s := env(variable); s != "" {
			value, err := time.ParseDuration(s)
			if err != nil || value < 0 {
				failed = append(failed, fmt.Errorf("%s is not a duration such as 90s or 6h", variable))
			}
			fallback = value
		}
		flags.DurationVar(into, name, fallback, help+" ("+variable+")")
	}
	number := func(into *int, name, variable, help string) {
		fallback := 0
		if s := env(variable); s != "" {
			value, err := strconv.Atoi(s)
			if err != nil || value < 0 {
				failed = append(failed, fmt.Errorf("%s is not a number from 0", variable))
			}
			fallback = value
		}
		flags.IntVar(into, name, fallback, help+"; 0 for the default ("+variable+")")
	}
	text(&c.brokerURL, "broker-url", staging.EnvBrokerURL, "", "address of the broker, https")
	text(&c.tokenFile, "token-file", "LETHE_TOKEN_FILE", staging.TokenFile, "file with the token for the broker")
	text(&c.brokerCAFile, "broker-ca-file", "LETHE_BROKER_CA_FILE", staging.BrokerCAFile,
		"file with the certificates that the broker's is verified with, PEM")
	text(&c.datasetDir, "dataset-dir", staging.EnvDatasetDir, staging.DatasetDir,
		"where the dataset appears; its volume is mounted at the parent")
	text(&c.artifactsDir, "artifacts-dir", staging.EnvArtifactsDir, staging.ArtifactsDir, "what is published")
	text(&c.terminationLog, "termination-log", "LETHE_TERMINATION_LOG", "/dev/termination-log",
		"file for the report to the operator")
	duration(&c.patience, "patience", "LETHE_PATIENCE", 0,
		"how long to wait for a store or broker that is away; 0 for 6h in stage-in, 24h in stage-out")
	duration(&c.grace, "grace", staging.EnvGrace, 25*time.Second,
		"how long an upload may go on after SIGTERM; keep it below the pod's grace period")
	number(&c.parallel.Small, "parallel-small", "LETHE_PARALLEL_SMALL", "files up to 16 MiB at once")
	number(&c.parallel.Large, "parallel-large", "LETHE_PARALLEL_LARGE", "larger files at once")
	number(&c.parallel.Ranges, "parallel-ranges", "LETHE_PARALLEL_RANGES", "ranges of each larger file at once")
	return failed
}
