package main

import (
	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/diagnosis"
)

func newWhy(open func() (*session, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "why RUN",
		Short: "Explain why a run waits, stands still or failed, and what to do",
		Long: "Says in plain words what the run's state means, since when, who can do something about it and what, and shows\n" +
			"what supports that: attempts, events, the GPUs that there are, the last lines of the log. What you may not\n" +
			"read is left out and named.",
		Example: "  kubectl lethe why digits-1",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := open()
			if err != nil {
				return err
			}
			run, err := cluster.GetRun(cmd.Context(), s.client, s.key(args[0]))
			if err != nil {
				return err
			}
			return diagnosis.Write(s.stdout, diagnosis.Gather(cmd.Context(), s.client, run), s.clock.Now())
		},
	}
}
