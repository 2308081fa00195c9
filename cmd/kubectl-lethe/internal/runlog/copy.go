package runlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// againAfter is the pause before a broken log is asked for again; maxAgain
	// times without a new line.
	againAfter = 2 * time.Second
	maxAgain   = 30
)

// OpenFunc opens the log of a pod's container.
type OpenFunc func(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error)

// StoredFunc calls visit with the parts of a log that is in the store, in their order.
// The error wraps transfer.ErrNoLog if there is nothing.
type StoredFunc func(ctx context.Context, run *v1alpha1.TrainingRun, attempt, node int, visit func(transfer.LogPiece) error) error

// Reader copies the logs of a run.
type Reader struct {
	Client client.WithWatch
	Open   OpenFunc
	// Stored reads what is in the store once a Pod is gone.
	Stored StoredFunc
	// Clock times the pauses before a broken connection is opened again.
	Clock clock.Clock
	// Out gets the log.
	Out io.Writer
	// Waiting is told what the start waits for, each time that changes.
	Waiting func(reason string)
	// Note is told what happens between two parts of the output.
	Note func(text string)
}

// Print copies what the container has logged so far. The error wraps ErrNoLog if
// it has not started, or if nothing of it is left.
func (r Reader) Print(ctx context.Context, key client.ObjectKey, source Source) error {
	run, err := cluster.GetRun(ctx, r.Client, key)
	if err != nil {
		return err
	}
	pods, err := cluster.Pods(ctx, r.Client, key)
	if err != nil {
		return err
	}
	at, err := locate(run, pods, source)
	if errors.Is(err, errGone) {
		return r.stored(ctx, run, source, err)
	}
	if err != nil {
		return err
	}
	if !at.started {
		return notYet(run, source, at)
	}
	body, err := r.Open(ctx, key.Namespace, at.pod, &corev1.PodLogOptions{Container: source.Container})
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", source.Container, err)
	}
	defer func() { _ = body.Close() }() // It was only read.
	if _, err := io.Copy(r.Out, body); err != nil {
		return fmt.Errorf("read the log of %s: %w", source.Container, err)
	}
	return nil
}

func notYet(run *v1alpha1.TrainingRun, source Source, at place) error {
	hint := fmt.Sprintf("Wait for it with: kubectl lethe logs -f %s -n %s", run.Name, run.Namespace)
	if last := int(run.Status.Attempt) - 1; last > 0 && source.Attempt == 0 {
		hint += fmt.Sprintf("; see the attempt before with: kubectl lethe logs %s --attempt %d -n %s", run.Name, last, run.Namespace)
	}
	return fmt.Errorf("%w yet: %s has not started. %s. %s", ErrNoLog, source.Container, at.waiting, hint)
}

// stored copies what is in the store of an attempt whose Pod is gone; gone says so.
func (r Reader) stored(ctx context.Context, run *v1alpha1.TrainingRun, source Source, gone error) error {
	attempt := source.Attempt
	if attempt == 0 {
		attempt = int(run.Status.Attempt)
	}
	if source.Container != staging.ContainerTrainer || attempt == 0 {
		return gone
	}
	lines := &lineWriter{out: r.Out}
	err := r.Stored(ctx, run, attempt, source.Node, func(piece transfer.LogPiece) error {
		if piece.Gap {
			r.Note("What came here was not kept: the log is too long.")
		}
		return lines.add(piece.Lines)
	})
	switch {
	case errors.Is(err, transfer.ErrNoLog):
		return gone
	case errors.Is(err, errOutput), err == nil:
		return err
	}
	return fmt.Errorf("its Pod is gone, and what is stored of attempt %d can not be read: %w", attempt, err)
}
