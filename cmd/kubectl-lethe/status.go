package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
)

func newStatus(open func() (*session, error)) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [RUN|DATASET]",
		Short: "Show runs and datasets, and when data goes",
		Long: "Without a name, all runs and datasets of the namespace. Where a run and a dataset share a name, both are\n" +
			"shown; trainingrun/NAME or datasetretention/NAME picks one.\n\n" +
			"With --watch, a run is followed until it ends (exit code 0 if it succeeded, 1 if it failed) and a dataset\n" +
			"until it is erased.",
		Example: "  kubectl lethe status\n" +
			"  kubectl lethe status -w digits-1",
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if watch && len(args) == 0 {
				return usageError{errors.New("--watch needs the name of a run or a dataset")}
			}
			s, err := open()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return list(cmd.Context(), s)
			}
			return show(cmd.Context(), s, args[0], watch)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "follow a run until it ends, or a dataset until it is erased")
	return cmd
}

func list(ctx context.Context, s *session) error {
	runs, datasets, err := cluster.List(ctx, s.client, s.namespace)
	if err != nil {
		return err
	}
	if len(runs)+len(datasets) == 0 {
		s.note("There are no runs and no datasets in namespace %s. Begin with: kubectl lethe upload DIR DATASET -n %s",
			s.namespace, s.namespace)
		return nil
	}
	return overview.Tables(s.stdout, runs, datasets, s.clock.Now())
}

// named is what a name stands for; nil where there is nothing of that kind.
type named struct {
	run     *v1alpha1.TrainingRun
	dataset *v1alpha1.DatasetRetention
}

func show(ctx context.Context, s *session, arg string, watch bool) error {
	found, err := find(ctx, s, arg)
	if err != nil {
		return err
	}
	switch {
	case watch && found.run != nil:
		return watchRun(ctx, s, found.run.Name)
	case watch:
		return watchDataset(ctx, s, found.dataset.Name)
	}
	if found.run != nil {
		if err := overview.Run(s.stdout, found.run, s.clock.Now()); err != nil {
			return err
		}
	}
	if found.dataset == nil {
		return nil
	}
	if found.run != nil {
		s.say("\n")
	}
	return overview.Dataset(s.stdout, found.dataset, s.clock.Now())
}

// The kinds as they stand in front of a name.
const (
	kindRun     = "trainingrun"
	kindDataset = "datasetretention"
)

// split takes the kind from the front of a name; it is empty where none is given.
// The plural and the group behind the kind, as kubectl writes it, are understood.
func split(arg string) (kind, name string, err error) {
	front, name, qualified := strings.Cut(arg, "/")
	if !qualified {
		return "", arg, nil
	}
	front = strings.TrimSuffix(strings.ToLower(front), "."+v1alpha1.GroupVersion.Group)
	switch kind := strings.TrimSuffix(front, "s"); {
	case name == "":
	case kind == kindRun, kind == kindDataset:
		return kind, name, nil
	}
	return "", "", usageError{fmt.Errorf("%q names neither a run nor a dataset; write %s/NAME or %s/NAME", arg, kindRun, kindDataset)}
}

// find looks a name up. The kind may be given in front of it.
func find(ctx context.Context, s *session, arg string) (named, error) {
	kind, name, err := split(arg)
	if err != nil {
		return named{}, err
	}
	var found named
	var errRun, errDataset error
	if kind != kindDataset {
		found.run, errRun = cluster.GetRun(ctx, s.client, s.key(name))
	}
	if kind != kindRun {
		found.dataset, errDataset = cluster.GetDataset(ctx, s.client, s.key(name))
	}
	for _, err := range []error{errRun, errDataset} {
		if err != nil && (!errors.Is(err, cluster.ErrNotFound) || kind != "") {
			return named{}, err
		}
	}
	if found.run == nil && found.dataset == nil {
		return named{}, fmt.Errorf("there is no run and no dataset %s in namespace %s; see what is there with: kubectl lethe status -n %s",
			name, s.namespace, s.namespace)
	}
	return found, nil
}

// changes writes a line each time the state is another one.
type changes struct {
	session *session
	last    string
}

func (c *changes) show(line string) {
	if line == c.last {
		return
	}
	c.last = line
	c.session.say("%s  %s\n", c.session.clock.Now().Format(time.TimeOnly), line)
}

func watchRun(ctx context.Context, s *session, name string) error {
	var end *v1alpha1.TrainingRun
	seen := changes{session: s}
	err := s.follower().Run(ctx, s.key(name), func(run *v1alpha1.TrainingRun) (bool, error) {
		seen.show(overview.Summary(string(run.Status.State), run.Status.Reason, run.Status.Message))
		end = run
		return run.Status.State.Finished(), nil
	})
	if err != nil {
		return err
	}
	s.say("\n")
	if err := overview.Run(s.stdout, end, s.clock.Now()); err != nil {
		return err
	}
	if end.Status.State == v1alpha1.RunFailed {
		return fmt.Errorf("run %s failed (%s)", name, end.Status.Reason)
	}
	if end.Status.State == v1alpha1.RunCancelled {
		return cancelledError(end)
	}
	return nil
}

func watchDataset(ctx context.Context, s *session, name string) error {
	seen := changes{session: s}
	err := s.follower().Dataset(ctx, s.key(name), func(ds *v1alpha1.DatasetRetention) (bool, error) {
		seen.show(overview.Summary(string(ds.Status.State), ds.Status.Reason, ds.Status.Message))
		return false, nil
	})
	if errors.Is(err, cluster.ErrNotFound) && seen.last != "" {
		seen.show("Dataset " + name + " is erased.")
		return nil
	}
	return err
}
