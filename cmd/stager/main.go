// Command stager runs beside a trainer in a run's pod: "stager stage-in" brings the
// dataset, "stager stage-out" publishes the artifacts. What it does is the package
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
