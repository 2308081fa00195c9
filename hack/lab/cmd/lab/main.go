// Command lab builds and runs a real Kubernetes on one bare Linux machine: no
// Docker, no registry, no kind. See the README beside it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}
