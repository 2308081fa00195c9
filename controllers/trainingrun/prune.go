package trainingrun

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

const (
	// pruneTimeout bounds what one pass takes away of old checkpoints; the next goes on.
	pruneTimeout = 2 * time.Minute
	// pruneRetry is when it is tried again.
	pruneRetry = time.Minute
)

// pruning is what to clear away: all checkpoints under the target that are older than
// the newest of those to keep, and not among them.
type pruning struct {
	Target erasure.Target
	Keep   []string
}

// newest is the checkpoint up to which the pruning goes.
func (p pruning) newest() string { return p.Keep[len(p.Keep)-1] }

// prunedUpTo is what a process remembers of a run. It is lost when the process ends: a
// run that goes on is then pruned once more than needed, and one that has ended is left
// alone, because its last checkpoints were pruned when it ended.
type prunedUpTo struct {
	uid types.UID
	// store of the checkpoints, as the run's Job names it.
	store string
	// newest is the checkpoint up to which was pruned. "": nothing was.
	newest string
}

// prunable says what there is to clear away: once for each new checkpoint. Which store
// it is says the run's Job; the eraser refuses when it is connected to another one.
func prunable(o observed, options Options) *pruning {
	kept := o.Run.Status.Checkpoints
	if len(kept) == 0 || !o.Run.DeletionTimestamp.IsZero() {
		return nil
	}
	var done prunedUpTo
	switch {
	case o.Pruned != nil:
		done = *o.Pruned
	case o.ownJob() != nil:
		done.store = resources.ArtifactsStore(o.Job)
	}
	if done.store == "" || done.newest == kept[len(kept)-1].ID {
		return nil
	}
	at := place(o.Run, options)
	p := &pruning{Target: erasure.Target{Bucket: at.Bucket, Prefix: at.Prefix, UID: string(o.Run.UID), Store: done.store}}
	for _, c := range kept {
		p.Keep = append(p.Keep, c.ID)
	}
	return p
}

// prunings remembers how far runs are pruned.
type prunings struct {
	mu   sync.Mutex
	runs map[client.ObjectKey]prunedUpTo
}

func (p *prunings) of(run client.ObjectKey, uid types.UID) *prunedUpTo {
	p.mu.Lock()
	defer p.mu.Unlock()
	if done, there := p.runs[run]; there && done.uid == uid {
		return &done
	}
	return nil
}

func (p *prunings) note(run client.ObjectKey, done prunedUpTo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs == nil {
		p.runs = map[client.ObjectKey]prunedUpTo{}
	}
	p.runs[run] = done
}

func (p *prunings) forget(run client.ObjectKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.runs, run)
}

// prune clears old checkpoints away. That never holds a run up: what fails is tried
// again later, and goes at the latest with the run's artifacts. It gives when to look
// again.
func (r *Reconciler) prune(ctx context.Context, o observed, p plan) next {
	if p.Prune == nil {
		return next{}
	}
	key := client.ObjectKeyFromObject(o.Run)
	done := prunedUpTo{uid: o.Run.UID, store: p.Prune.Target.Store}
	if o.Pruned != nil {
		done.newest = o.Pruned.newest
	}
	err := r.pruneNow(ctx, *p.Prune)
	if err == nil {
		done.newest = p.Prune.newest()
	}
	r.pruned.note(key, done)
	if err == nil {
		return next{}
	}
	ctrl.LoggerFrom(ctx).Error(err, "Could not clear old checkpoints away; it is tried again")
	return next{After: pruneRetry, Why: "no event tells that the store can prune again"}
}

func (r *Reconciler) pruneNow(ctx context.Context, p pruning) error {
	if !r.prunes.take(ctx) {
		return errBusy
	}
	defer r.prunes.give()
	ctx, cancel := context.WithTimeout(ctx, pruneTimeout)
	defer cancel()
	if _, err := r.eraser.Prune(ctx, p.Target, p.Keep); err != nil {
		return fmt.Errorf("prune checkpoints: %w", err)
	}
	return nil
}
