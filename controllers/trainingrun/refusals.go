package trainingrun

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// refusalsAge is how old an answer about a namespace's Jobs may be.
const refusalsAge = 10 * time.Second

// refusals is what the API server last said to the Job controller, by namespace. The
// API server goes through all events of a namespace whatever is asked of them, so it
// is asked for all Jobs at once: a thousand runs that wait ask as often as one.
type refusals struct {
	mu sync.Mutex
	in map[string]*namespaceRefusals
}

type namespaceRefusals struct {
	mu   sync.Mutex
	read time.Time
	of   map[types.UID]rejection
}

type rejection struct {
	message string
	seen    time.Time
}

// of gives what was last said about a Job; "" for nothing.
func (r *refusals) of(ctx context.Context, from source, job client.Object, now time.Time) (string, error) {
	here := r.namespace(job.GetNamespace())
	here.mu.Lock()
	defer here.mu.Unlock()
	if here.read.IsZero() || now.Sub(here.read) >= refusalsAge {
		found, err := readRefusals(ctx, from, job.GetNamespace())
		if err != nil {
			return "", err
		}
		here.of, here.read = found, now
	}
	return here.of[job.GetUID()].message, nil
}

func (r *refusals) namespace(name string) *namespaceRefusals {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in == nil {
		r.in = map[string]*namespaceRefusals{}
	}
	if r.in[name] == nil {
		r.in[name] = &namespaceRefusals{}
	}
	return r.in[name]
}

func readRefusals(ctx context.Context, from source, namespace string) (map[types.UID]rejection, error) {
	found := map[types.UID]rejection{}
	err := eachPage(ctx, from, eventList, func(list *corev1.EventList) {
		for i := range list.Items {
			event := &list.Items[i]
			job, seen := event.InvolvedObject.UID, lastSeen(event)
			if last, known := found[job]; !known || seen.After(last.seen) {
				found[job] = rejection{message: event.Message, seen: seen}
			}
		}
	}, client.InNamespace(namespace), client.MatchingFields{"reason": "FailedCreate"})
	if err != nil {
		return nil, fmt.Errorf("list events of the jobs of namespace %s: %w", namespace, err)
	}
	return found, nil
}
