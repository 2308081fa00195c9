package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/progress"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

type artifactsOptions struct {
	broker   brokerFlags
	parallel int
}

func newArtifacts(open func() (*session, error)) *cobra.Command {
	var o artifactsOptions
	cmd := &cobra.Command{
		Use:   "artifacts RUN DIR",
		Short: "Download and verify the artifacts of a run",
		Long: "Downloads what the run published to DIR, which must not exist or be empty. The files appear there when\n" +
			"all of them have been verified. A download that was interrupted goes on from what it had fetched.",
		Example: "  kubectl lethe artifacts digits-1 ./model",
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := validParallel(o.parallel); err != nil {
				return usageError{err}
			}
			s, err := open()
			if err != nil {
				return err
			}
			return artifacts(cmd.Context(), s, o, args[0], args[1])
		},
	}
	o.broker.register(cmd.Flags())
	cmd.Flags().IntVar(&o.parallel, "parallel", 16, "how many files are fetched at once")
	return cmd
}

func artifacts(ctx context.Context, s *session, o artifactsOptions, name, dir string) error {
	run, err := cluster.GetRun(ctx, s.client, s.key(name))
	if err != nil {
		return err
	}
	if err := published(run); err != nil {
		return err
	}
	if run.Status.Artifacts.Objects == 0 {
		s.say("Run %s published no files, so there is nothing to download.\n", name)
		return nil
	}
	broker, err := s.broker(ctx, o.broker)
	if err != nil {
		return err
	}
	var meter progress.Meter
	display := s.display("Downloading")
	stop := display.Start(&meter)
	sum, err := transfer.Download(ctx, transfer.Options{
		Broker: broker, Connect: s.connect, Clock: s.clock, Meter: &meter, Notice: display.Notice, Parallel: o.parallel,
	}, run, dir)
	stop()
	if ctx.Err() != nil {
		return hintError{errInterrupted, "the same command goes on from what it has fetched"}
	}
	if err != nil {
		return err
	}
	s.say("The artifacts of run %s are in %s.\n", name, dir)
	s.say("  files     %d, verified\n", sum.Files)
	s.say("  size      %s\n", words.Bytes(sum.Bytes))
	s.say("  manifest  %s\n", sum.Digest)
	return nil
}

// published fails unless the run has artifacts.
func published(run *v1alpha1.TrainingRun) error {
	if run.Status.Artifacts != nil {
		return nil
	}
	line := overview.Summary(string(run.Status.State), run.Status.Reason, run.Status.Message)
	if run.Status.State.Finished() {
		return fmt.Errorf("run %s has published no artifacts. %s", run.Name, line)
	}
	return fmt.Errorf("run %s has not published its artifacts yet. %s. Wait for them with: kubectl lethe status -w %s -n %s",
		run.Name, line, run.Name, run.Namespace)
}
