package runlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
)

// Follow waits for the container to start, copies its log until it ends, and goes on
// with those that follow it, until one has ended well or the run, or the attempt that
// was asked for, has ended.
func (r Reader) Follow(ctx context.Context, key client.ObjectKey, source Source) error {
	f := &following{Reader: r, key: key, source: source, done: map[types.UID]bool{}}
	for {
		next, err := f.next(ctx)
		if err != nil {
			return err
		}
		if next.pod == "" {
			return nil
		}
		f.announce(next)
		if err := f.copy(ctx, next); err != nil {
			return err
		}
		f.done[next.uid], f.last = true, next
	}
}

// following is one person's look at a run.
type following struct {
	Reader
	key    client.ObjectKey
	source Source
	// done are the pods that are not read any more; last is the one that was.
	done map[types.UID]bool
	last place
	// well: the container of the last one ended with success, of its own accord.
	well bool
}

// next waits for the pod to read. There is none any more where the place has no pod.
func (f *following) next(ctx context.Context) (place, error) {
	var found place
	var waiting string
	follower := cluster.Follower{Client: f.Client, Clock: f.Clock}
	err := follower.Pods(ctx, f.key, func(run *v1alpha1.TrainingRun, pods []corev1.Pod) (bool, error) {
		at, over, err := f.choose(ctx, run, pods)
		if err != nil || over {
			found = place{}
			return true, err
		}
		found = at
		if !at.started && at.waiting != waiting {
			waiting = at.waiting
			f.Waiting(waiting)
		}
		return at.started, nil
	})
	return found, err
}

// choose takes the newest pod at first, and then each that comes; over says that there
// will be none.
func (f *following) choose(ctx context.Context, run *v1alpha1.TrainingRun, pods []corev1.Pod) (at place, over bool, err error) {
	if f.last.pod == "" {
		at, err := f.first(run, pods)
		if errors.Is(err, errGone) {
			return place{}, true, f.stored(ctx, run, f.source, err)
		}
		return at, false, err
	}
	if f.well && !run.Spec.Suspend {
		return place{}, true, nil
	}
	left := slices.DeleteFunc(f.source.of(run, pods), func(pod corev1.Pod) bool {
		return f.done[pod.UID] || dead(&pod) && !look(&pod, f.source.Container).started
	})
	if len(left) == 0 {
		at, err := locate(run, nil, f.source)
		return at, err != nil, nil // That the last Pod is gone is the end.
	}
	pod := slices.MinFunc(left, older)
	at = look(&pod, f.source.Container)
	if !at.started && f.source.over(run) {
		return place{}, true, nil
	}
	waiting, _ := locate(run, nil, f.source)
	at.waiting = waiting.waiting
	return at, false, nil
}

// first leaves out a pod that failed before the container started while others follow.
func (f *following) first(run *v1alpha1.TrainingRun, pods []corev1.Pod) (place, error) {
	at, err := locate(run, pods, f.source)
	if errors.Is(err, ErrNoLog) && !errors.Is(err, errGone) && !f.source.over(run) {
		return locate(run, nil, f.source)
	}
	for _, pod := range pods {
		f.done[pod.UID] = pod.UID != at.uid
	}
	return at, err
}

func (f *following) announce(next place) {
	switch {
	case f.last.pod == "":
	case next.attempt != f.last.attempt:
		f.Note(fmt.Sprintf("Attempt %d has begun.", next.attempt))
	default:
		f.Note(fmt.Sprintf("The Pod was replaced; attempt %d begins anew.", next.attempt))
	}
}

// copy copies the log of a pod's container until that has ended or the pod is gone.
func (f *following) copy(ctx context.Context, at place) error {
	lines := &lineWriter{out: f.Out}
	for again := 0; ; {
		written := lines.count
		// The state is read before the log, so that a log that is read to its
		// end after the container's is complete.
		ended, err := f.ended(ctx, at)
		if err == nil {
			err = f.stream(ctx, f.key.Namespace, at.pod, f.source.Container, lines)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case apierrors.IsNotFound(err):
			f.well = false
			f.Note("The Pod is gone.")
			return nil
		case errors.Is(err, errOutput) || permanent(err):
			return err
		case err == nil && ended:
			return nil
		case lines.count > written:
			again = 0
		}
		if again++; again > maxAgain {
			return fmt.Errorf("follow the log of %s: the connection breaks again and again: %w", f.source.Container, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.Clock.After(againAfter):
		}
	}
}

// ended looks whether the container has ended, and how. Another pod of the same name
// stands for one that is gone.
func (f *following) ended(ctx context.Context, at place) (bool, error) {
	var pod corev1.Pod
	if err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.key.Namespace, Name: at.pod}, &pod); err != nil {
		return false, fmt.Errorf("read pod %s: %w", at.pod, err)
	}
	if pod.UID != at.uid {
		return false, apierrors.NewNotFound(corev1.Resource("pods"), at.pod)
	}
	status, ok := containerStatus(&pod, f.source.Container)
	if !ok || status.State.Terminated == nil {
		return dead(&pod), nil
	}
	f.well = status.State.Terminated.ExitCode == 0 && pod.DeletionTimestamp == nil
	return true, nil
}
