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
	caller, err := s.waiter(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := noBody(r); err != nil {
		return nil, err
	}
	begun, err := s.waits.begin(caller)
	if err != nil {
		return nil, err
	}
	defer s.waits.end(begun)
	return s.await(ctx, begun)
}

// waiter gives the pod that asks if it may wait: it is one of a run that goes on.
// That is looked up live before it waits, and then remembered for a while, so that
// nobody holds places with pods that have no trainer.
func (s *Server) waiter(ctx context.Context, r *http.Request) (identity, error) {
	token, err := bearer(r)
	if err != nil {
		return identity{}, err
	}
	now := s.clock.Now()
	if caller, ok := s.waiters.get(token, now); ok {
		return caller, s.limit(caller)
	}
	// Until it is known that this one may wait, it is a request like any other and
	// does not get to keep the others from waiting.
	select {
	case s.working <- struct{}{}:
		defer func() { <-s.working }()
	default:
		return identity{}, tooMany()
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	caller, err := s.pod(ctx, r)
	if err != nil {
		return identity{}, err
	}
	if _, err := s.runOf(ctx, caller); err != nil {
		return identity{}, err
	}
	s.waiters.put(token, caller, now)
	return caller, nil
}

// await looks at the pod until its trainer has ended or the wait is over.
func (s *Server) await(ctx context.Context, begun *wait) (any, error) {
	deadline := s.clock.NewTimer(staging.TrainerWait)
	defer deadline.Stop()
	poll := s.clock.NewTicker(trainerPoll)
	defer poll.Stop()
	for {
		status, _, err := s.cachedTrainer(ctx, begun.caller)
		if err != nil || status.Ended {
			return status, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for trainer: %w", ctx.Err())
		case <-begun.superseded:
			return nil, tooMany()
		case <-s.stopping:
			return status, nil
		case <-deadline.C():
			return s.lastLook(ctx, begun.caller)
		case <-poll.C():
		}
	}
}

// cachedTrainer looks at the caller's pod in the cache. A pod that the cache does
// not have, or not this one, is taken for one that runs and reported as not found:
// the API server has just vouched for it, so the cache is late.
func (s *Server) cachedTrainer(ctx context.Context, caller identity) (staging.TrainerStatus, bool, error) {
	var pod corev1.Pod
	err := s.pods.Get(ctx, client.ObjectKey{Namespace: caller.namespace, Name: caller.podName}, &pod)
	if apierrors.IsNotFound(err) || (err == nil && string(pod.UID) != caller.podUID) {
		return staging.TrainerStatus{}, false, nil
	}
	if err != nil {
		return staging.TrainerStatus{}, false, fmt.Errorf("read pod from the cache: %w", err)
	}
	return trainerStatus(&pod), true, nil
}

// lastLook ends a wait. A pod that the cache still does not have is read live: the
// cache holds pods with the run's label only, and whoever may edit the pod can take
// that away, so that its trainer's end would never be seen.
func (s *Server) lastLook(ctx context.Context, caller identity) (any, error) {
	status, found, err := s.cachedTrainer(ctx, caller)
	if err != nil || found {
		return status, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	var pod corev1.Pod
	found, err = s.get(ctx, caller.namespace, caller.podName, &pod)
	if err != nil {
		return nil, err
	}
	if !found || string(pod.UID) != caller.podUID {
		return nil, gone(staging.ProblemRunEnded, detailPodGone)
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
