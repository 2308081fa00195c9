package broker

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// trainerPoll is how often the local cache is looked at for a trainer's end. The
// cache is fed by the watch that the reconcilers have anyway, so a look is a map
// access and one copy of a pod, and nothing reaches the API server; a subscription
// of each waiting request would be more code for the same traffic. The GPU is held
// until the artifacts are out, so the pause is kept short.
const trainerPoll = 250 * time.Millisecond

// trainer answers staging.PathTrainer: when the trainer has ended, after
// staging.TrainerWait, or when this server stops, whichever comes first. Then the
// pod asks again.
func (s *Server) trainer(ctx context.Context, r *http.Request) (any, error) {
	caller, err := s.cachedPod(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := noBody(r); err != nil {
		return nil, err
	}
	deadline := s.clock.NewTimer(staging.TrainerWait)
	defer deadline.Stop()
	poll := s.clock.NewTicker(trainerPoll)
	defer poll.Stop()
	for {
		status, err := s.trainerOf(ctx, caller)
		if err != nil || status.Ended {
			return status, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for trainer: %w", ctx.Err())
		case <-s.stopping:
			return status, nil
		case <-deadline.C():
			return status, nil
		case <-poll.C():
		}
	}
}

// trainerOf looks at the caller's pod in the cache. A pod that the cache does not
// have, or not this one, is taken for one that runs: the API server has just
// vouched for it, so the cache is late.
func (s *Server) trainerOf(ctx context.Context, caller identity) (staging.TrainerStatus, error) {
	var pod corev1.Pod
	err := s.pods.Get(ctx, client.ObjectKey{Namespace: caller.namespace, Name: caller.podName}, &pod)
	if apierrors.IsNotFound(err) || (err == nil && string(pod.UID) != caller.podUID) {
		return staging.TrainerStatus{}, nil
	}
	if err != nil {
		return staging.TrainerStatus{}, fmt.Errorf("read pod from the cache: %w", err)
	}
	if controllerOf(&pod, "batch", "Job") == nil {
		return staging.TrainerStatus{}, forbidden(detailNotOfRun)
	}
	return trainerStatus(&pod), nil
}

// trainerStatus reads the end of the trainer off its pod.
func trainerStatus(pod *corev1.Pod) staging.TrainerStatus {
	for i := range pod.Status.ContainerStatuses {
		container := &pod.Status.ContainerStatuses[i]
		if container.Name != staging.ContainerTrainer {
			continue
		}
		if end := container.State.Terminated; end != nil {
			return staging.TrainerStatus{Ended: true, ExitCode: end.ExitCode}
		}
	}
	return staging.TrainerStatus{}
}
