package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// errKept says that the person does not want it.
var errKept = errors.New("nothing was changed")

func newCancel(open func() (*session, error)) *cobra.Command {
	var yes, suspend bool
	cmd := &cobra.Command{
		Use:   "cancel RUN",
		Short: "Stop a run and delete it, or only suspend it",
		Long: "Asks, and then deletes a run that has not ended: its trainer is asked to stop, a last checkpoint is stored, and\n" +
			"its GPUs are given back. What becomes of its artifacts, checkpoints and logs says its reclaimPolicy; they stay\n" +
			"unless it is Delete. Its dataset is not touched.\n\n" +
			"With --suspend the run stays, and goes on from its last checkpoint with: kubectl lethe resume RUN",
		Example: "  kubectl lethe cancel digits-1\n" +
			"  kubectl lethe cancel digits-1 --suspend",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := open()
			if err != nil {
				return err
			}
			if suspend {
				return setSuspend(cmd.Context(), s, args[0], true)
			}
			return cancelRun(cmd.Context(), s, args[0], yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&suspend, "suspend", false, "only suspend the run, which can be undone")
	cmd.MarkFlagsMutuallyExclusive("yes", "suspend")
	return cmd
}

func newResume(open func() (*session, error)) *cobra.Command {
	return &cobra.Command{
		Use:     "resume RUN",
		Short:   "Let a suspended run go on from its last checkpoint",
		Example: "  kubectl lethe resume digits-1",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := open()
			if err != nil {
				return err
			}
			return setSuspend(cmd.Context(), s, args[0], false)
		},
	}
}

func cancelRun(ctx context.Context, s *session, name string, yes bool) error {
	run, err := unfinished(ctx, s, name)
	if err != nil {
		return err
	}
	if !yes {
		sure, err := s.confirm(ctx, fmt.Sprintf("%s\n%s\nDelete run %s? [y/N] ", remains(run), lastCheckpoint(run), name))
		if err != nil {
			return err
		}
		if !sure {
			return fmt.Errorf("run %s goes on: %w", name, errKept)
		}
	}
	if err := cluster.DeleteRun(ctx, s.client, run); err != nil {
		return err
	}
	s.say("Run %s is being deleted. Its trainer has %s to stop.\n", name, words.Duration(run.Spec.Checkpoint.Grace()))
	if yes {
		s.say("%s\n", remains(run))
	}
	return nil
}

// unfinished reads a run that can still be stopped.
func unfinished(ctx context.Context, s *session, name string) (*v1alpha1.TrainingRun, error) {
	run, err := cluster.GetRun(ctx, s.client, s.key(name))
	if err != nil {
		return nil, err
	}
	if run.Status.State.Finished() {
		return nil, fmt.Errorf("run %s has ended (%s), so there is nothing to stop; delete it with: kubectl delete trainingrun %s -n %s",
			name, overview.Summary(string(run.Status.State), run.Status.Reason, ""), name, s.namespace)
	}
	if run.DeletionTimestamp != nil {
		return nil, fmt.Errorf("run %s is being deleted already", name)
	}
	return run, nil
}

// remains says what is left of a run that is deleted.
func remains(run *v1alpha1.TrainingRun) string {
	const what = "What the run has stored (artifacts, checkpoints, logs) "
	if run.Spec.Artifacts.ReclaimPolicy == v1alpha1.ReclaimDelete {
		return what + "is erased with it, with a receipt (its reclaimPolicy is Delete)."
	}
	return what + "stays in the store (its reclaimPolicy is Retain), but no command finds it without the run."
}

func lastCheckpoint(run *v1alpha1.TrainingRun) string {
	if n := len(run.Status.Checkpoints); n > 0 {
		return fmt.Sprintf("To stop it and keep it, with its checkpoint %s to go on from: kubectl lethe cancel %s --suspend -n %s",
			run.Status.Checkpoints[n-1].ID, run.Name, run.Namespace)
	}
	return fmt.Sprintf("To stop it and keep it: kubectl lethe cancel %s --suspend -n %s", run.Name, run.Namespace)
}

// setSuspend suspends a run or undoes that. That it is so already is no error.
func setSuspend(ctx context.Context, s *session, name string, suspend bool) error {
	run, err := unfinished(ctx, s, name)
	if err != nil {
		return err
	}
	if run.Spec.Suspend == suspend {
		s.say("Run %s is %s already.\n", name, map[bool]string{true: "suspended", false: "not suspended: it goes on"}[suspend])
		return nil
	}
	if err := cluster.SuspendRun(ctx, s.client, run, suspend); err != nil {
		return err
	}
	if suspend {
		s.say("Run %s is being suspended: its trainer has %s to stop at a checkpoint.\n", name, words.Duration(run.Spec.Checkpoint.Grace()))
		s.say("Let it go on with: kubectl lethe resume %s -n %s\n", name, s.namespace)
		return nil
	}
	s.say("Run %s goes on. Watch it with: kubectl lethe watch %s -n %s\n", name, name, s.namespace)
	return nil
}

// confirm asks a question; no answer is a no.
func (s *session) confirm(ctx context.Context, question string) (bool, error) {
	_, _ = fmt.Fprint(s.streams.ErrOut, question)
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() { // A read can not be interrupted; the program ends before it, then.
		text, err := bufio.NewReader(s.streams.In).ReadString('\n')
		answered <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		s.note("")
		return false, hintError{errInterrupted, errKept.Error()}
	case a := <-answered:
		if a.err != nil && !errors.Is(a.err, io.EOF) {
			return false, fmt.Errorf("read the answer: %w", a.err)
		}
		switch strings.ToLower(strings.TrimSpace(a.text)) {
		case "y", "yes":
			return true, nil
		}
		return false, nil
	}
}
