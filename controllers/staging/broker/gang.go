package broker

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// gangPoll is how often the local cache is looked at for the nodes of an attempt. One
// look serves all of them.
const gangPoll = 500 * time.Millisecond

// gang answers staging.PathGang: when all nodes of the attempt are there, after
// staging.TrainerWait, or when this server stops, whichever comes first.
func (s *Server) gang(ctx context.Context, r *http.Request) (any, error) {
	m, err := s.waiter(ctx, r, staying)
	if err != nil {
		return nil, err
	}
	return s.await(ctx, m.caller, patience{
		every: gangPoll,
		look: func(ctx context.Context) (any, bool, error) {
			ready, err := s.gathered(ctx, m)
			return staging.GangStatus{Ready: ready}, ready, err
		},
	})
}

// gathered reports whether all nodes of the member's attempt are there, as the cache
// has them.
func (s *Server) gathered(ctx context.Context, m member) (bool, error) {
	if m.nodes <= 1 {
		return true, nil
	}
	now := s.clock.Now()
	if ready, ok := s.gangs.get(m.jobUID, now); ok {
		return ready, nil
	}
	var pods corev1.PodList
	err := s.cached.List(ctx, &pods, client.InNamespace(m.run.Namespace),
		client.MatchingLabels{v1alpha1.LabelRun: m.run.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return false, fmt.Errorf("list pods of the cache: %w", err)
	}
	ready := complete(pods.Items, m)
	s.gangs.put(m.jobUID, ready, now)
	return ready, nil
}

// complete reports whether each node of the member's attempt has a pod that is there.
// Pods are told by their controller; the label only finds them.
func complete(pods []corev1.Pod, m member) bool {
	there := make(map[int]bool, m.nodes)
	for i := range pods {
		pod := &pods[i]
		ref := controllerOf(pod, "batch", "Job")
		if ref == nil || ref.UID != m.jobUID || !arrived(pod) {
			continue
		}
		if node, err := nodeOf(pod, m.jobName, m.nodes); err == nil {
			there[node] = true
		}
	}
	return len(there) == m.nodes
}

// arrived reports whether a pod has a node, and stages its data in or has done so.
func arrived(pod *corev1.Pod) bool {
	if pod.Spec.NodeName == "" || pod.DeletionTimestamp != nil ||
		pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return false
	}
	for i := range pod.Status.InitContainerStatuses {
		container := &pod.Status.InitContainerStatuses[i]
		if container.Name != staging.ContainerStageIn {
			continue
		}
		end := container.State.Terminated
		return container.State.Running != nil || end != nil && end.ExitCode == 0
	}
	return false
}

// gangs remembers for one gangPoll what was seen of attempts' nodes, by the UIDs of
// their Jobs.
type gangs struct {
	mu   sync.Mutex
	seen map[types.UID]sight
}

// sight is what was seen at a time.
type sight struct {
	ready bool
	at    time.Time
}

func newGangs() *gangs { return &gangs{seen: map[types.UID]sight{}} }

func (g *gangs) get(job types.UID, now time.Time) (ready, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen, ok := g.seen[job]
	return seen.ready, ok && now.Sub(seen.at) < gangPoll
}

// put remembers a look. No more wait at a time than there are slots for, so what is
// old is dropped when there are as many.
func (g *gangs) put(job types.UID, ready bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.seen) >= maxWaiting {
		for uid, seen := range g.seen {
			if now.Sub(seen.at) >= gangPoll {
				delete(g.seen, uid)
			}
		}
	}
	g.seen[job] = sight{ready, now}
}
