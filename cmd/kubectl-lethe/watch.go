package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/layout"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/runbar"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

func newWatch(open func() (*session, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "watch RUN",
		Short: "Show how far a run has come, until it ends",
		Long: "Shows state, progress, loss and the time that is left until the run ends: exit code 0 if it succeeded, 1 if it\n" +
			"failed. Ctrl-C stops the watching only. What is not a terminal gets lines without a bar.",
		Example: "  kubectl lethe watch digits-1",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := open()
			if err != nil {
				return err
			}
			return follow(cmd.Context(), s, s.stdout, s.key(args[0]))
		},
	}
}

// detached says how to go on with a run that nobody watches any more.
func detached(key client.ObjectKey) detachedError {
	return detachedError{fmt.Sprintf("Run %s goes on. Watch it again with: kubectl lethe watch %s -n %s; stop it with: kubectl lethe cancel %s -n %s",
		key.Name, key.Name, key.Namespace, key.Name, key.Namespace)}
}

// follow shows a run until it ends. It fails if the run does.
func follow(ctx context.Context, s *session, screen terminal.Screen, key client.ObjectKey) error {
	s.farewell.set(detached(key).text + "\n")
	display := &runbar.Display{Screen: screen, Clock: s.clock}
	stop := display.Start()
	var end *v1alpha1.TrainingRun
	var uid types.UID
	err := s.follower().Run(ctx, key, func(run *v1alpha1.TrainingRun) (bool, error) {
		if uid != "" && run.UID != uid {
			return false, errDeleted
		}
		display.Show(run)
		end, uid = run, run.UID
		return run.Status.State.Finished(), nil
	})
	stop()
	switch {
	case ctx.Err() != nil:
		return detached(key)
	case errors.Is(err, errDeleted), errors.Is(err, cluster.ErrNotFound) && end != nil:
		return fmt.Errorf("run %s %w", key.Name, errDeleted)
	case err != nil && end != nil:
		return hintError{err, fmt.Sprintf("the run goes on all the same; watch it again with: kubectl lethe watch %s -n %s", key.Name, key.Namespace)}
	case err != nil:
		return err
	}
	return sumUp(screen, end)
}

// errDeleted ends the watching of a run that is not there any more.
var errDeleted = errors.New("was deleted")

// sumUp says how a run has ended.
func sumUp(screen terminal.Screen, run *v1alpha1.TrainingRun) error {
	s := &layout.Sheet{Columns: screen.Columns()}
	status := run.Status
	if status.State == v1alpha1.RunFailed {
		overview.LogTail(s, status.Failure)
		if err := s.Write(screen.Out); err != nil {
			return err
		}
		return failure(run)
	}
	if status.State == v1alpha1.RunCancelled {
		return cancelledError(run)
	}
	text := fmt.Sprintf("Run %s succeeded", run.Name)
	if status.StartTime != nil && status.CompletionTime != nil {
		text += " in " + words.Duration(status.CompletionTime.Sub(status.StartTime.Time))
	}
	if status.Usage != nil {
		text += ", with " + words.Duration(time.Duration(status.Usage.GPUSeconds)*time.Second) + " of GPU time"
	}
	s.Line(text + ".")
	if a := status.Artifacts; a != nil && a.Objects > 0 {
		s.Line(fmt.Sprintf("Get its %s (%s) with: kubectl lethe artifacts %s DIR -n %s",
			words.Count(a.Objects, "artifact"), words.Bytes(a.Bytes), run.Name, run.Namespace))
	}
	return s.Write(screen.Out)
}

// cancelledError is the error of a run that was cancelled.
func cancelledError(run *v1alpha1.TrainingRun) error {
	err := fmt.Errorf("run %s was cancelled%s", run.Name, overview.Because("", run.Status.Reason, words.Plain(run.Status.Message)))
	return hintError{err, fmt.Sprintf("see how far it came with: kubectl lethe status %s -n %s", run.Name, run.Namespace)}
}

// failure is the error of a run that failed.
func failure(run *v1alpha1.TrainingRun) error {
	err := fmt.Errorf("run %s failed%s", run.Name, overview.Because("", run.Status.Reason, words.Plain(run.Status.Message)))
	return hintError{err, fmt.Sprintf("see what to do with: kubectl lethe why %s -n %s", run.Name, run.Namespace)}
}
