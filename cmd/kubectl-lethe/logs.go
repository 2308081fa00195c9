package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/progress"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/runlog"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// containers of a run's pod, in the order in which they start.
var containers = []string{staging.ContainerStageIn, staging.ContainerTrainer, staging.ContainerStageOut}

type logsOptions struct {
	broker brokerFlags
	source runlog.Source
	follow bool
}

func newLogs(open func() (*session, error)) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs RUN",
		Short: "Show the log of a run's trainer",
		Long: "Shows what the trainer has put out in its newest attempt. Once its Pod is gone, that is read from the store.\n\n" +
			"With --follow, what comes is shown as well: also that of the next attempts and of Pods that replace others,\n" +
			"until the trainer has ended well or the run has ended.",
		Example: "  kubectl lethe logs -f digits-1\n" +
			"  kubectl lethe logs digits-1 --attempt 1 --node 3\n" +
			"  kubectl lethe logs digits-1 -c stage-in",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return usageError{err}
			}
			s, err := open()
			if err != nil {
				return err
			}
			return logs(cmd.Context(), s, o, args[0])
		},
	}
	o.broker.register(cmd.Flags())
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "wait for the container to start, and for what follows it")
	cmd.Flags().StringVarP(&o.source.Container, "container", "c", staging.ContainerTrainer, "one of "+strings.Join(containers, ", "))
	cmd.Flags().IntVar(&o.source.Node, "node", 0, "index of the node, from 0, where a run has several")
	cmd.Flags().IntVar(&o.source.Attempt, "attempt", 0, "number of the attempt, from 1, and no other (the newest, and those to come, unless given)")
	return cmd
}

func (o logsOptions) validate() error {
	switch {
	case !slices.Contains(containers, o.source.Container):
		return fmt.Errorf("--container must be one of %s", strings.Join(containers, ", "))
	case o.source.Node < 0 || o.source.Node >= objectkey.MaxNodes:
		return fmt.Errorf("--node must be from 0 to %d", objectkey.MaxNodes-1)
	case o.source.Attempt < 0:
		return errors.New("--attempt must be 1 or greater")
	}
	return nil
}

func logs(ctx context.Context, s *session, o logsOptions, name string) error {
	reader := runlog.Reader{
		Client: s.client, Open: s.openLog, Clock: s.clock, Out: s.streams.Out, Stored: s.storedLogs(o.broker),
		Waiting: func(reason string) { s.note("Waiting for %s to start. %s", o.source.Container, reason) },
		Note:    func(text string) { s.note("%s", text) },
	}
	if o.follow {
		return reader.Follow(ctx, s.key(name), o.source)
	}
	return reader.Print(ctx, s.key(name), o.source)
}

// storedLogs reads logs from the store. The broker is looked for only then.
func (s *session) storedLogs(flags brokerFlags) runlog.StoredFunc {
	return func(ctx context.Context, run *v1alpha1.TrainingRun, attempt, node int, visit func(transfer.LogPiece) error) error {
		broker, err := s.broker(ctx, flags)
		if err != nil {
			return err
		}
		return transfer.ReadLog(ctx, s.transferOptions(broker, &progress.Meter{}, 1), run, attempt, node, visit)
	}
}

// transferOptions are those of a transfer that shows nothing of itself.
func (s *session) transferOptions(broker transfer.Broker, meter *progress.Meter, parallel int) transfer.Options {
	return transfer.Options{
		Broker: broker, Connect: s.connect, Clock: s.clock, Meter: meter, Parallel: parallel,
		Notice: func(text string) { s.note("%s", text) },
	}
}
