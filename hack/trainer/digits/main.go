package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(start()) }

func start() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return program{env: os.Getenv, out: os.Stdout, problems: os.Stderr, clock: wallClock{}}.run(ctx, os.Args[1:])
}
