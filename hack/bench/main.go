package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/lethe-dev/lethe/hack/bench/internal/runs"
)

// environment is what comes from outside.
type environment struct {
	getenv         func(string) string
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], environment{getenv: os.Getenv, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, env environment) error {
	if len(args) == 0 {
		return errors.New("name a benchmark: erase, runs or stage")
	}
	switch args[0] {
	case "erase":
		return benchErase(ctx, args[1:], env)
	case "runs":
		return runs.Run(ctx, args[1:], env.exported())
	case runs.OperatorName:
		return runs.Operate(ctx, env.exported(), os.Stdin)
	case "stage":
		return benchStage(ctx, args[1:], env)
	case stageChildName:
		return runStageChild(ctx, args[1:], env)
	case childName:
		return runChild(ctx, args[1:], env)
	}
	return fmt.Errorf("there is no benchmark %q; there are: erase, runs and stage", args[0])
}

// exported is the same for a package of its own.
func (e environment) exported() runs.Environment {
	return runs.Environment{Getenv: e.getenv, Stdout: e.stdout, Stderr: e.stderr}
}
