package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/progress"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

type artifactsOptions struct {
	broker     brokerFlags
	parallel   int
	checkpoint string
	logs       bool
}

func newArtifacts(open func() (*session, error)) *cobra.Command {
	var o artifactsOptions
	cmd := &cobra.Command{
		Use:   "artifacts RUN DIR",
		Short: "Download and verify the artifacts of a run, a checkpoint or its logs",
		Long: "Downloads what the run published to DIR, which must not exist or be empty. The files appear there when\n" +
			"all of them have been verified. A download that was interrupted goes on from what it had fetched.\n\n" +
			"With --checkpoint, a checkpoint that the run has stored is downloaded instead, also while the run goes on: its\n" +
			"files, or where every node wrote its part, folders node-0, node-1 and so on. With --logs, what the trainer has\n" +
			"put out and told of its progress, by attempt and node.",
		Example: "  kubectl lethe artifacts digits-1 ./model\n" +
			"  kubectl lethe artifacts digits-1 ./checkpoint --checkpoint latest\n" +
			"  kubectl lethe artifacts digits-1 ./logs --logs",
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
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
	cmd.Flags().StringVar(&o.checkpoint, "checkpoint", "", "ID of a checkpoint, or latest, to download instead of the artifacts")
	cmd.Flags().BoolVar(&o.logs, "logs", false, "download the logs instead of the artifacts")
	return cmd
}

func (o artifactsOptions) validate() error {
	if o.logs && o.checkpoint != "" {
		return errors.New("--logs and --checkpoint exclude each other")
	}
	if o.checkpoint != "" && o.checkpoint != transfer.Latest && !objectkey.ValidCheckpointID(o.checkpoint) {
		return errors.New("--checkpoint must be an ID like 0001-000500, or latest")
	}
	return validParallel(o.parallel)
}

func artifacts(ctx context.Context, s *session, o artifactsOptions, name, dir string) error {
	run, err := cluster.GetRun(ctx, s.client, s.key(name))
	if err != nil {
		return err
	}
	d := download{session: s, options: o, run: run, dir: dir}
	switch {
	case o.logs:
		return d.logs(ctx)
	case o.checkpoint != "":
		return d.checkpoint(ctx)
	}
	return d.artifacts(ctx)
}

// download is one of what a run has stored.
type download struct {
	session *session
	options artifactsOptions
	run     *v1alpha1.TrainingRun
	dir     string
}

func (d download) artifacts(ctx context.Context) error {
	if err := published(d.run); err != nil {
		return err
	}
	if d.run.Status.Artifacts.Objects == 0 {
		d.session.say("Run %s published no files, so there is nothing to download.\n", d.run.Name)
		return nil
	}
	sum, err := d.fetch(ctx, func(o transfer.Options) (transfer.Sum, error) {
		return transfer.Download(ctx, o, d.run, d.dir)
	})
	if err != nil {
		return err
	}
	d.session.say("The artifacts of run %s are in %s.\n", d.run.Name, d.dir)
	d.session.say("  files     %d, verified\n", sum.Files)
	d.session.say("  size      %s\n", words.Bytes(sum.Bytes))
	d.session.say("  manifest  %s\n", sum.Digest)
	return nil
}

func (d download) checkpoint(ctx context.Context) error {
	checkpoint, err := transfer.FindCheckpoint(d.run, d.options.checkpoint)
	if err != nil {
		return err
	}
	sum, err := d.fetch(ctx, func(o transfer.Options) (transfer.Sum, error) {
		return transfer.DownloadCheckpoint(ctx, o, d.run, checkpoint, d.dir)
	})
	if err != nil {
		return err
	}
	d.session.say("Checkpoint %s of run %s is in %s.\n", checkpoint.ID, d.run.Name, d.dir)
	if checkpoint.Step > 0 {
		d.session.say("  step      %d\n", checkpoint.Step)
	}
	d.session.say("  files     %d, verified\n", sum.Files)
	d.session.say("  size      %s\n", words.Bytes(sum.Bytes))
	d.session.say("  record    %s\n", sum.Digest)
	return nil
}

func (d download) logs(ctx context.Context) error {
	broker, err := d.session.broker(ctx, d.options.broker)
	if err != nil {
		return err
	}
	sum, err := transfer.DownloadLogs(ctx, d.session.transferOptions(broker, &progress.Meter{}, 1), d.run, d.dir)
	if err != nil {
		return err
	}
	d.session.say("The logs of run %s are in %s.\n", d.run.Name, d.dir)
	d.session.say("  files     %d\n", sum.Files)
	d.session.say("  size      %s\n", words.Bytes(sum.Bytes))
	return nil
}

// fetch shows a download.
func (d download) fetch(ctx context.Context, do func(transfer.Options) (transfer.Sum, error)) (transfer.Sum, error) {
	broker, err := d.session.broker(ctx, d.options.broker)
	if err != nil {
		return transfer.Sum{}, err
	}
	var meter progress.Meter
	display := d.session.display("Downloading")
	stop := display.Start(&meter)
	o := d.session.transferOptions(broker, &meter, d.options.parallel)
	o.Notice = display.Notice
	sum, err := do(o)
	stop()
	if ctx.Err() != nil {
		return transfer.Sum{}, hintError{errInterrupted, "the same command goes on from what it has fetched"}
	}
	return sum, err
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
	return fmt.Errorf("run %s has not published its artifacts yet. %s. Wait for them with: kubectl lethe watch %s -n %s",
		run.Name, line, run.Name, run.Namespace)
}
