// Command stager runs beside a trainer in a run's pod: "stager stage-in" brings the
// dataset and the checkpoint to begin with, "stager stage-out" stores checkpoints and
// output, tells of progress, and publishes the artifacts. What it does is the package
// agent; here are flags, signals and the report for the operator.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	terminated, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(terminated, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	os.Exit(code)
}
