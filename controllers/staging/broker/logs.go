package broker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// maxLogs bounds the logs that are read at a time, and maxLogsEach those of one
	// namespace. Each is worth some staging.MaxLogChunk three times: as it is, in
	// base64, and on its way.
	maxLogs     = 16
	maxLogsEach = 8
	// maxLogRead bounds what is read of a log for one answer, in bytes. More than a
	// chunk, because a log is only found by whole seconds.
	maxLogRead = 16 * staging.MaxLogChunk
	// followTime is how long the log of a pod that is being stopped is followed.
	followTime = 2 * time.Second
	// logSendTime is how long a caller may take to read an answer, because it
	// occupies a slot meanwhile.
	logSendTime = 10 * time.Second
)

// +kubebuilder:rbac:groups="",resources=pods/log,verbs=get

// Logs gives the output of containers; PodLogs is one. The reader is closed by the
// caller, also before its end. Errors are those of the API server.
type Logs interface {
	Stream(ctx context.Context, namespace, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error)
}

// PodLogs reads logs by way of the API server.
type PodLogs struct {
	// Pods is the client-go client's CoreV1().
	Pods corev1client.PodsGetter
}

// Stream implements Logs.
func (l PodLogs) Stream(ctx context.Context, namespace, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
	return l.Pods.Pods(namespace).GetLogs(pod, o).Stream(ctx)
}

// logAnswer keeps its slot until it is sent.
type logAnswer struct {
	staging.LogAnswer
	release func()
}

// trainerLog answers staging.PathLog.
func (s *Server) trainerLog(ctx context.Context, r *http.Request) (any, error) {
	m, _, err := s.known(ctx, r, leaving)
	if err != nil {
		return nil, err
	}
	if !s.logPace.allow(m.caller.podUID, s.clock.Now()) {
		return nil, tooMany()
	}
	var ask staging.LogRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	if _, err := s.runOf(ctx, m); err != nil {
		return nil, err
	}
	release, ok := s.logShares.take(m.caller.namespace)
	if !ok {
		return nil, tooMany()
	}
	answer, err := s.readLog(ctx, m.caller, ask.Since)
	if err != nil {
		release()
		return nil, err
	}
	s.metrics.logBytes.Add(float64(len(answer.Lines)))
	return &logAnswer{answer, release}, nil
}

// readLog reads the output of the caller's trainer after a time. Whether the trainer
// has ended is looked up before its log is read, so that nothing is missing at the end.
func (s *Server) readLog(ctx context.Context, caller identity, since time.Time) (staging.LogAnswer, error) {
	pod, err := s.podOf(ctx, caller)
	if err != nil {
		return staging.LogAnswer{}, err
	}
	state := stateOf(pod, staging.ContainerTrainer)
	nothing := staging.LogAnswer{Last: since, Ended: state.Terminated != nil}
	if state.Running == nil && state.Terminated == nil {
		return nothing, nil
	}
	if state.Running != nil && pod.DeletionTimestamp != nil {
		nothing.Ended = s.ceased(ctx, caller)
	}
	options := &corev1.PodLogOptions{
		Container: staging.ContainerTrainer, Timestamps: true, LimitBytes: ptr.To[int64](maxLogRead),
	}
	if !since.IsZero() {
		options.SinceTime = ptr.To(metav1.NewTime(since.Truncate(time.Second)))
	}
	stream, err := s.logs.Stream(ctx, caller.namespace, caller.podName, options)
	switch {
	case apierrors.IsBadRequest(err): // The kubelet has not started it, or cleared it away.
		return nothing, nil
	case apierrors.IsNotFound(err):
		return staging.LogAnswer{}, gone(staging.ProblemRunEnded, detailPodGone)
	case err != nil:
		return staging.LogAnswer{}, fmt.Errorf("read log of pod %s/%s: %w", caller.namespace, caller.podName, err)
	}
	defer func() { _ = stream.Close() }() // It was only read.
	answer, err := readLines(stream, since, nothing.Ended)
	if err != nil {
		return staging.LogAnswer{}, fmt.Errorf("read log of pod %s/%s: %w", caller.namespace, caller.podName, err)
	}
	return answer, nil
}

// ceased says whether the trainer of a pod that is being stopped has ended. The kubelet
// tells the API server of that only when all containers of such a pod have, but the
// stager waits for just this one, with the GPUs still in its pod: so the log is followed
// for a moment, which ends when the container does.
func (s *Server) ceased(ctx context.Context, caller identity) bool {
	ctx, cancel := context.WithTimeout(ctx, followTime)
	defer cancel()
	stream, err := s.logs.Stream(ctx, caller.namespace, caller.podName, &corev1.PodLogOptions{
		Container: staging.ContainerTrainer, Follow: true, TailLines: ptr.To[int64](0),
	})
	if err != nil {
		return false
	}
	defer func() { _ = stream.Close() }() // It was only read.
	_, err = io.Copy(io.Discard, stream)
	return err == nil && ctx.Err() == nil
}

// podOf gives the caller's pod, from the cache if it has it. The cache holds pods with
// the run's label only, and whoever may edit the pod can take that away.
func (s *Server) podOf(ctx context.Context, caller identity) (*corev1.Pod, error) {
	var pod corev1.Pod
	err := s.cached.Get(ctx, client.ObjectKey{Namespace: caller.namespace, Name: caller.podName}, &pod)
	if err == nil && string(pod.UID) == caller.podUID {
		return &pod, nil
	}
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read pod from the cache: %w", err)
	}
	pod = corev1.Pod{}
	found, err := s.get(ctx, caller.namespace, caller.podName, &pod)
	if err != nil {
		return nil, err
	}
	if !found || string(pod.UID) != caller.podUID {
		return nil, gone(staging.ProblemRunEnded, detailPodGone)
	}
	return &pod, nil
}

// stateOf gives the state of a container; the zero state if there is none yet.
func stateOf(pod *corev1.Pod, name string) corev1.ContainerState {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == name {
			return pod.Status.ContainerStatuses[i].State
		}
	}
	return corev1.ContainerState{}
}

// shares are slots of which each namespace gets a part.
type shares struct {
	all, each int

	mu    sync.Mutex
	taken int
	by    map[string]int
}

func newShares(all, each int) *shares { return &shares{all: all, each: each, by: map[string]int{}} }

// take takes a slot, which release gives back once, and reports false if there is none.
func (s *shares) take(namespace string) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.all || s.by[namespace] >= s.each {
		return nil, false
	}
	s.taken++
	s.by[namespace]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		if s.by[namespace]--; s.by[namespace] == 0 {
			delete(s.by, namespace)
		}
	}), true
}
