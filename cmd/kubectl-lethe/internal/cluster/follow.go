package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// A connection that breaks is opened again after reopenAfter, maxReopen times in
// a row: long enough for an API server to restart.
const (
	reopenAfter = 2 * time.Second
	maxReopen   = 30
)

// errBroken says that a watch ended before it had shown enough.
var errBroken = errors.New("the API server does not answer")

// Follower waits for changes.
type Follower struct {
	Client client.WithWatch
	// Clock times the pauses before a broken connection is opened again.
	Clock clock.Clock
}

// Dataset calls visit with the dataset as it is now and after each change,
// until visit reports true or fails; its error is returned as it is. The error
// wraps ErrNotFound when the dataset is not there or goes away. A state may be
// visited twice.
func (f Follower) Dataset(
	ctx context.Context, key client.ObjectKey, visit func(*v1alpha1.DatasetRetention) (bool, error),
) error {
	sources := []source{{&v1alpha1.DatasetRetentionList{}, byName(key)}}
	return f.follow(ctx, sources, func() (bool, error) {
		ds, err := GetDataset(ctx, f.Client, key)
		if err != nil {
			return false, classify(err)
		}
		return visit(ds)
	})
}

// Run does for a run what Dataset does for a dataset.
func (f Follower) Run(
	ctx context.Context, key client.ObjectKey, visit func(*v1alpha1.TrainingRun) (bool, error),
) error {
	sources := []source{{&v1alpha1.TrainingRunList{}, byName(key)}}
	return f.follow(ctx, sources, func() (bool, error) {
		run, err := GetRun(ctx, f.Client, key)
		if err != nil {
			return false, classify(err)
		}
		return visit(run)
	})
}

// Pods does the same for a run together with its pods.
func (f Follower) Pods(
	ctx context.Context, key client.ObjectKey, visit func(*v1alpha1.TrainingRun, []corev1.Pod) (bool, error),
) error {
	sources := []source{{&v1alpha1.TrainingRunList{}, byName(key)}, {&corev1.PodList{}, ofRun(key)}}
	return f.follow(ctx, sources, func() (bool, error) {
		run, err := GetRun(ctx, f.Client, key)
		if err != nil {
			return false, classify(err)
		}
		pods, err := Pods(ctx, f.Client, key)
		if err != nil {
			return false, classify(err)
		}
		return visit(run, pods)
	})
}

// Pods lists the pods of a run.
func Pods(ctx context.Context, c client.Reader, key client.ObjectKey) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, ofRun(key)...); err != nil {
		return nil, fmt.Errorf("list the pods of run %s: %w", key.Name, err)
	}
	return pods.Items, nil
}

func byName(key client.ObjectKey) []client.ListOption {
	return []client.ListOption{client.InNamespace(key.Namespace), client.MatchingFields{"metadata.name": key.Name}}
}

func ofRun(key client.ObjectKey) []client.ListOption {
	return []client.ListOption{client.InNamespace(key.Namespace), client.MatchingLabels{v1alpha1.LabelRun: key.Name}}
}

// source is something to watch.
type source struct {
	list    client.ObjectList
	options []client.ListOption
}

// follow calls check once and after each change in the sources. A check reads
// live, so it never sees an older state than the one before.
func (f Follower) follow(ctx context.Context, sources []source, check func() (bool, error)) error {
	for broken := 0; ; {
		checked, err := followOnce(ctx, f.Client, sources, check)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, errBroken) {
			return err
		}
		if checked {
			broken = 0
		}
		if broken++; broken > maxReopen {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.Clock.After(reopenAfter):
		}
	}
}

// followOnce follows until check has enough or a connection breaks, and reports
// whether a check succeeded.
func followOnce(ctx context.Context, c client.WithWatch, sources []source, check func() (bool, error)) (checked bool, err error) {
	changed := make(chan error)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, s := range sources {
		events, err := c.Watch(ctx, s.list, s.options...)
		if err != nil {
			return checked, classify(fmt.Errorf("watch: %w", translate(err)))
		}
		defer events.Stop()
		go forward(ctx, events, changed)
	}
	for {
		if done, err := check(); done || err != nil {
			return checked, err
		}
		checked = true
		select {
		case <-ctx.Done():
			return checked, context.Cause(ctx)
		case err := <-changed:
			if err != nil {
				return checked, err
			}
		}
	}
}

// forward turns events into wake-ups until the context ends.
func forward(ctx context.Context, events watch.Interface, changed chan<- error) {
	for {
		var wake error
		select {
		case <-ctx.Done():
			return
		case event, open := <-events.ResultChan():
			switch {
			case !open:
				wake = errBroken
			case event.Type == watch.Error:
				wake = classify(apierrors.FromObject(event.Object))
			}
		}
		select {
		case <-ctx.Done():
			return
		case changed <- wake:
		}
		if wake != nil {
			return
		}
	}
}

// classify marks errors that another try may overcome with errBroken.
func classify(err error) error {
	permanent := errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotInstalled) ||
		apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsBadRequest(err)
	if permanent {
		return err
	}
	return fmt.Errorf("%w: %w", errBroken, err)
}
