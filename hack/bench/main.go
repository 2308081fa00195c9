package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
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
		return errors.New("name a benchmark: erase or stage")
	}
	switch args[0] {
	case "erase":
		return benchErase(ctx, args[1:], env)
	case "stage":
		return benchStage(ctx, args[1:], env)
	case stageChildName:
		return runStageChild(ctx, args[1:], env)
	case childName:
		return runChild(ctx, args[1:], env)
	}
	return fmt.Errorf("there is no benchmark %q; there are: erase and stage", args[0])
}
