package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/doctor"
)

const outputJSON = "json"

func newDoctor(open func() (*session, error)) *cobra.Command {
	var output, tenant string
	var strict bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether the cluster is fit for Lethe, and say what to do",
		Long: "Looks at what was installed and at what the platform team has to provide, and says of each check whether it\n" +
			"passed, failed or can not tell, and what to do. Nothing is written: admission is tried by dry runs, in the\n" +
			"namespace of a tenant. Meant for cluster administrators; others see less, and are told what.\n\n" +
			"Exit code 0 if no check failed, 1 if one did; with --strict also if one can not tell.",
		Example: "  kubectl lethe doctor\n" +
			"  kubectl lethe doctor -o json | jq '.checks[] | select(.outcome != \"passed\")'",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != outputJSON {
				return usageError{errors.New("--output must be json")}
			}
			s, err := open()
			if err != nil {
				return err
			}
			return examine(cmd.Context(), s, tenant, output == outputJSON, strict)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write the checks as json")
	cmd.Flags().StringVar(&tenant, "tenant", "", "namespace in which admission is tried; any tenant's if not set")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 also if a check can not tell")
	return cmd
}

func examine(ctx context.Context, s *session, tenant string, asJSON, strict bool) error {
	cluster, err := doctor.Connect(s.config)
	if err != nil {
		return err
	}
	// Who does not get as far as this gets nowhere.
	if _, _, err := cluster.About(ctx); err != nil {
		return err
	}
	results := doctor.Decide(doctor.Gather(ctx, cluster, tenant, s.clock.Now()))
	if err := ctx.Err(); err != nil {
		return err
	}
	if asJSON {
		err = doctor.WriteJSON(s.streams.Out, results)
	} else {
		err = doctor.Write(s.stdout, results)
	}
	if err != nil {
		return err
	}
	failed, unknown := doctor.Count(results, doctor.Failed), doctor.Count(results, doctor.Unknown)
	switch {
	case failed > 0:
		return fmt.Errorf("%d checks failed", failed)
	case strict && unknown > 0:
		return fmt.Errorf("%d checks can not tell", unknown)
	}
	return nil
}
