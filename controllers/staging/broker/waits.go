package broker

import "sync"

// waits knows who waits for a trainer's end: each pod once, and of each namespace
// no more than maxWaitingEach.
type waits struct {
	mu          sync.Mutex
	byPod       map[string]*wait // by UID
	byNamespace map[string]int
}

// wait is one that is under way.
type wait struct {
	caller identity
	// superseded is closed when a later one of the same pod takes its place.
	superseded chan struct{}
}

func newWaits() *waits {
	return &waits{byPod: map[string]*wait{}, byNamespace: map[string]int{}}
}

// begin takes a place, or gives a refusal when the namespace has no more. An
// earlier wait of the same pod is ended and not the later one: whose connection
// broke asks again before the server knows of it. Who gets a wait calls end.
func (w *waits) begin(caller identity) (*wait, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if earlier := w.byPod[caller.podUID]; earlier != nil {
		close(earlier.superseded)
		w.drop(earlier)
	}
	if w.byNamespace[caller.namespace] >= maxWaitingEach {
		return nil, tooMany()
	}
	begun := &wait{caller: caller, superseded: make(chan struct{})}
	w.byPod[caller.podUID] = begun
	w.byNamespace[caller.namespace]++
	return begun, nil
}

// end gives the place back, unless a later wait has it.
func (w *waits) end(over *wait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byPod[over.caller.podUID] == over {
		w.drop(over)
	}
}

func (w *waits) drop(over *wait) {
	delete(w.byPod, over.caller.podUID)
	w.byNamespace[over.caller.namespace]--
	if w.byNamespace[over.caller.namespace] == 0 {
		delete(w.byNamespace, over.caller.namespace)
	}
}
