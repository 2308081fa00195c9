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
	m, err := s.waiter(ctx, r, leaving)
	if err != nil {
		return nil, err
	}
	return s.await(ctx, m.caller, patience{
		every: trainerPoll,
		look: func(ctx context.Context) (any, bool, error) {
			status, _, err := s.cachedTrainer(ctx, m.caller)
			return status, status.Ended, err
		},
		last: func(ctx context.Context) (any, error) { return s.lastLook(ctx, m.caller) },
	})
}

// waiter gives the pod that asks if it may wait, and takes the request from its share.
// A wait has no body.
func (s *Server) waiter(ctx context.Context, r *http.Request, d demand) (member, error) {
	m, remembered, err := s.known(ctx, r, d)
	if err != nil {
		return member{}, err
	}
	if remembered {
		if err := s.limit(m.caller); err != nil {
			return member{}, err
		}
	}
	return m, noBody(r)
}

// patience is what a pod waits for.
type patience struct {
	// every so often look is called until it reports true.
	every time.Duration
	look  func(context.Context) (any, bool, error)
	// last gives the answer when the wait is over; nil for what look said.
	last func(context.Context) (any, error)
}

// await waits for at most staging.TrainerWait.
func (s *Server) await(ctx context.Context, caller identity, p patience) (any, error) {
	begun, err := s.waits.begin(caller)
	if err != nil {
		return nil, err
	}
	defer s.waits.end(begun)
	deadline := s.clock.NewTimer(staging.TrainerWait)
	defer deadline.Stop()
	poll := s.clock.NewTicker(p.every)
	defer poll.Stop()
	for {
		status, done, err := p.look(ctx)
		if err != nil || done {
			return status, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("hold an answer back: %w", ctx.Err())
		case <-begun.superseded:
			return nil, tooMany()
		case <-s.stopping:
			return status, nil
		case <-deadline.C():
			if p.last == nil {
				return status, nil
			}
			return p.last(ctx)
		case <-poll.C():
		}
	}
}

// cachedTrainer looks at the caller's pod in the cache. A pod that the cache does
// not have, or not this one, is taken for one that runs and reported as not found:
// the API server has just vouched for it, so the cache is late.
func (s *Server) cachedTrainer(ctx context.Context, caller identity) (staging.TrainerStatus, bool, error) {
	var pod corev1.Pod
	err := s.cached.Get(ctx, client.ObjectKey{Namespace: caller.namespace, Name: caller.podName}, &pod)
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
	if end := stateOf(pod, staging.ContainerTrainer).Terminated; end != nil {
		return staging.TrainerStatus{Ended: true, ExitCode: end.ExitCode}
	}
	return staging.TrainerStatus{}
}
