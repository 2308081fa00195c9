package runlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
)

const (
	// againAfter is the pause before a broken log is asked for again; maxAgain
	// times without a new line.
	againAfter = 2 * time.Second
	maxAgain   = 30
)

// OpenFunc opens the log of a pod's container.
type OpenFunc func(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error)

// Reader copies the logs of a run.
type Reader struct {
	Client client.WithWatch
	Open   OpenFunc
	// Clock times the pauses before a broken connection is opened again.
	Clock clock.Clock
	// Out gets the log.
	Out io.Writer
	// Waiting is told what the start waits for, each time that changes.
	Waiting func(reason string)
}

// Print copies what the container has logged so far. The error wraps ErrNoLog if
// it has not started.
func (r Reader) Print(ctx context.Context, key client.ObjectKey, container string) error {
	run, err := cluster.GetRun(ctx, r.Client, key)
	if err != nil {
		return err
	}
	pods, err := cluster.Pods(ctx, r.Client, key)
	if err != nil {
		return err
	}
	at, err := locate(run, pods, container)
	if err != nil {
		return err
	}
	if !at.started {
		return fmt.Errorf("%w yet: %s has not started. %s. Wait for it with: kubectl lethe logs -f %s -n %s",
			ErrNoLog, container, at.waiting, key.Name, key.Namespace)
	}
	body, err := r.Open(ctx, key.Namespace, at.pod, &corev1.PodLogOptions{Container: container})
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", container, err)
	}
	defer func() { _ = body.Close() }() // It was only read.
	if _, err := io.Copy(r.Out, body); err != nil {
		return fmt.Errorf("read the log of %s: %w", container, err)
	}
	return nil
}

// Follow waits for the container to start and copies its log until it ends.
func (r Reader) Follow(ctx context.Context, key client.ObjectKey, container string) error {
	pod, err := r.wait(ctx, key, container)
	if err != nil {
		return err
	}
	lines := &lineWriter{out: r.Out}
	for again := 0; ; {
		written := lines.count
		// The state is read before the log, so that a log that is read to its
		// end after the container's is complete.
		ended, err := r.ended(ctx, key, pod, container)
		if err == nil {
			err = r.stream(ctx, key.Namespace, pod, container, lines)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errOutput) || permanent(err):
			return err
		case err == nil && ended:
			return nil
		case lines.count > written:
			again = 0
		}
		if again++; again > maxAgain {
			return fmt.Errorf("follow the log of %s: the connection breaks again and again: %w", container, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.Clock.After(againAfter):
		}
	}
}

// wait gives the pod in which the container has started.
func (r Reader) wait(ctx context.Context, key client.ObjectKey, container string) (string, error) {
	var pod, last string
	follower := cluster.Follower{Client: r.Client, Clock: r.Clock}
	err := follower.Pods(ctx, key, func(run *v1alpha1.TrainingRun, pods []corev1.Pod) (bool, error) {
		at, err := locate(run, pods, container)
		if err != nil {
			return false, err
		}
		if !at.started && at.waiting != last {
			last = at.waiting
			r.Waiting(at.waiting)
		}
		pod = at.pod
		return at.started, nil
	})
	return pod, err
}

func (r Reader) ended(ctx context.Context, key client.ObjectKey, name, container string) (bool, error) {
	var pod corev1.Pod
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: name}, &pod); err != nil {
		return false, fmt.Errorf("read pod %s: %w", name, err)
	}
	status, ok := containerStatus(&pod, container)
	return ok && status.State.Terminated != nil, nil
}

func (r Reader) stream(ctx context.Context, namespace, pod, container string, lines *lineWriter) error {
	options := &corev1.PodLogOptions{Container: container, Follow: true, Timestamps: true}
	if !lines.last.IsZero() {
		options.SinceTime = &metav1.Time{Time: lines.last}
	}
	body, err := r.Open(ctx, namespace, pod, options)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", container, err)
	}
	defer func() { _ = body.Close() }() // It was only read.
	return lines.copy(body)
}

func permanent(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

// errOutput marks errors of the output; a pipe that was closed ends the reading.
var errOutput = errors.New("write log")

// lineWriter writes lines without their times, and those that were written
// before not again.
type lineWriter struct {
	out   io.Writer
	last  time.Time
	count int
}

func (w *lineWriter) copy(in io.Reader) error {
	lines := bufio.NewReader(in)
	behind := w.last
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			if errWrite := w.line(line, behind); errWrite != nil {
				return errWrite
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
}

func (w *lineWriter) line(line []byte, behind time.Time) error {
	if stamp, rest, ok := bytes.Cut(line, []byte(" ")); ok {
		if at, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil {
			if !at.After(behind) {
				return nil
			}
			w.last, line = at, rest
		}
	}
	w.count++
	if _, err := w.out.Write(line); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
