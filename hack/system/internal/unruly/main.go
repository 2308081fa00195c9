// Command unruly is a trainer that learns nothing and misbehaves as it is told by its
// environment. Beyond that it keeps the trainer's contract to the letter: it resumes
// from the newest checkpoint, verifies it, and publishes the trail of its attempts, so
// that a journey sees from outside what was repeated and what was lost.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(start()) }

func start() int {
	s, err := parse(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "unruly:", err)
		return exitUsage
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if s.deaf {
		signal.Ignore(syscall.SIGTERM)
	} else {
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
	}
	return trainer{settings: s, out: os.Stdout, problems: os.Stderr}.run(ctx)
}
