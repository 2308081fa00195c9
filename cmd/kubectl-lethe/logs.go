package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/runlog"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// containers of a run's pod, in the order in which they start.
var containers = []string{staging.ContainerStageIn, staging.ContainerTrainer, staging.ContainerStageOut}

func newLogs(open func() (*session, error)) *cobra.Command {
	var follow bool
	var container string
	cmd := &cobra.Command{
		Use:   "logs RUN",
		Short: "Show the log of a run's trainer",
		Example: "  kubectl lethe logs -f digits-1\n" +
			"  kubectl lethe logs digits-1 -c stage-in",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(containers, container) {
				return usageError{fmt.Errorf("--container must be one of %s", strings.Join(containers, ", "))}
			}
			s, err := open()
			if err != nil {
				return err
			}
			return logs(cmd.Context(), s, args[0], container, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for the container to start, and end when it ends")
	cmd.Flags().StringVarP(&container, "container", "c", staging.ContainerTrainer, "one of "+strings.Join(containers, ", "))
	return cmd
}

func logs(ctx context.Context, s *session, name, container string, follow bool) error {
	reader := runlog.Reader{
		Client: s.client, Open: s.openLog, Clock: s.clock, Out: s.streams.Out,
		Waiting: func(reason string) { s.note("Waiting for %s to start. %s", container, reason) },
	}
	if follow {
		return reader.Follow(ctx, s.key(name), container)
	}
	return reader.Print(ctx, s.key(name), container)
}
