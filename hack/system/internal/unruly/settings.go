package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// Settings, as environment variables.
const (
	// envSteps is how many steps there are, envStep how long each of them takes.
	envSteps = "UNRULY_STEPS"
	envStep  = "UNRULY_STEP"
	// envEvery is how many steps lie between two checkpoints, envKiB the size of each.
	envEvery = "UNRULY_CHECKPOINT_EVERY"
	envKiB   = "UNRULY_CHECKPOINT_KIB"
	// envAllWrite, if "true", makes every node write checkpoints, and not the first only.
	envAllWrite = "UNRULY_EVERY_NODE"
	// envDo is what to do wrong, envAt after which step.
	envDo = "UNRULY_DO"
	envAt = "UNRULY_AT"
	// envAttempt and envNode keep it to one attempt (0: each) and one node (-1: each).
	envAttempt = "UNRULY_ATTEMPT"
	envNode    = "UNRULY_NODE"
	// envCode is the exit code of doExit.
	envCode = "UNRULY_CODE"
	// envFor is how long doHang and doMumble last; without it for ever.
	envFor = "UNRULY_FOR"
	// envLines is how many lines doFlood writes.
	envLines = "UNRULY_LINES"
	// envDeaf, if "true", ignores SIGTERM.
	envDeaf = "UNRULY_DEAF"
)

// What can be done wrong.
const (
	// doExit ends with a code.
	doExit = "exit"
	// doMemory takes memory until something gives.
	doMemory = "memory"
	// doCUDA ends as PyTorch does when a GPU's memory is full.
	doCUDA = "cuda"
	// doHang says nothing any more; doMumble nothing but a line in the log now and then.
	doHang   = "hang"
	doMumble = "mumble"
	// doFlood writes a flood of progress, good and bad, and goes on.
	doFlood = "flood"
)

// settings are all that decides what the program does.
type settings struct {
	dataset, artifacts, checkpoints, progress, hostfile string

	attempt, node, nodes int

	steps, every, kib int
	step              time.Duration
	allWrite, deaf    bool

	do                          string
	at, onAttempt, onNode, code int
	lines                       int
	lasts                       time.Duration
}

// parse reads the environment, with defaults for what is not said.
func parse(env func(string) string) (settings, error) {
	var problems []error
	number := func(name string, otherwise int) int {
		value := env(name)
		if value == "" {
			return otherwise
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s is %q, not a number", name, value))
		}
		return n
	}
	duration := func(name string, otherwise time.Duration) time.Duration {
		value := env(name)
		if value == "" {
			return otherwise
		}
		d, err := time.ParseDuration(value)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s is %q, not a duration", name, value))
		}
		return d
	}
	s := settings{
		dataset: env(staging.EnvDatasetDir), artifacts: env(staging.EnvArtifactsDir),
		checkpoints: env(staging.EnvCheckpointDir), progress: env(staging.EnvProgressFile), hostfile: env(staging.EnvHostfile),
		attempt: number(staging.EnvAttempt, 1), node: number(staging.EnvNodeIndex, 0), nodes: number(staging.EnvNodeCount, 1),
		steps: number(envSteps, 20), every: number(envEvery, 5), kib: number(envKiB, 64),
		step: duration(envStep, 200*time.Millisecond), allWrite: env(envAllWrite) == "true", deaf: env(envDeaf) == "true",
		do: env(envDo), at: number(envAt, 10), onAttempt: number(envAttempt, 0), onNode: number(envNode, -1),
		code: number(envCode, 1), lines: number(envLines, 10_000), lasts: duration(envFor, 0),
	}
	if s.steps < 1 || s.every < 1 || s.step <= 0 {
		problems = append(problems, fmt.Errorf("%s, %s and %s must be above zero", envSteps, envEvery, envStep))
	}
	switch s.do {
	case "", doExit, doMemory, doCUDA, doHang, doMumble, doFlood:
	default:
		problems = append(problems, fmt.Errorf("%s is %q, which is not known", envDo, s.do))
	}
	return s, errors.Join(problems...)
}

// due says whether it is time to misbehave. What ends the program is due again after
// its step: an attempt that resumes from there would not come by otherwise.
func (s settings) due(step int) bool {
	ends := s.do == doExit || s.do == doMemory || s.do == doCUDA
	return s.do != "" && (step == s.at || ends && step > s.at) &&
		(s.onAttempt == 0 || s.onAttempt == s.attempt) && (s.onNode < 0 || s.onNode == s.node)
}

// writes says whether this node writes checkpoints.
func (s settings) writes() bool { return s.node == 0 || s.allWrite }
