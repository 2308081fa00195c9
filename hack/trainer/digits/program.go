package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/contract"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/training"
)

// Exit codes beside contract.ExitStopped.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `digits learns to read handwritten digits.

  digits train     learn from $LETHE_DATASET_DIR; the default when $LETHE_CONTRACT_VERSION is set
  digits evaluate  judge a model on held-out images
  digits export    write the shipped dataset as a folder to upload

"digits COMMAND -h" lists the flags.
`

var (
	// errUsage: the command line is wrong; its text has been printed.
	errUsage = errors.New("wrong usage")
	// errBelow: the model is worse than asked for.
	errBelow = errors.New("accuracy is below the bar")
)

// program is the command with its surroundings as values.
type program struct {
	env           func(string) string
	out, problems io.Writer
	clock         training.Clock
}

// run returns the exit code.
func (p program) run(ctx context.Context, args []string) int {
	err := p.dispatch(ctx, args)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.Is(err, training.ErrStopped):
		return contract.ExitStopped
	}
	_, _ = fmt.Fprintln(p.problems, "digits:", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

func (p program) dispatch(ctx context.Context, args []string) error {
	command := ""
	switch {
	case len(args) > 0:
		command, args = args[0], args[1:]
	case p.env(contract.EnvVersion) != "":
		command = "train"
	}
	switch command {
	case "train":
		return p.train(ctx, args)
	case "evaluate":
		return p.evaluate(args)
	case "export":
		return p.export(args)
	case "-h", "-help", "--help", "help":
		_, _ = io.WriteString(p.out, usage)
		return nil
	}
	_, _ = io.WriteString(p.problems, usage)
	return fmt.Errorf("%w: no command %q", errUsage, command)
}

// flags makes a flag set that prints its help to p.problems.
func (p program) flags(command string) *flag.FlagSet {
	set := flag.NewFlagSet("digits "+command, flag.ContinueOnError)
	set.SetOutput(p.problems)
	return set
}

// parse reads args; what is wrong becomes errUsage. At most rest arguments may follow the flags.
func parse(set *flag.FlagSet, args []string, rest int) error {
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	case set.NArg() > rest:
		return fmt.Errorf("%w: unexpected argument %q", errUsage, set.Arg(rest))
	}
	return nil
}

// wallClock is the real time.
type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
