package datasetretention

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/internal/index"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// observed is everything that a decision about one dataset needs.
type observed struct {
	// now is the time of the whole reconcile, in whole seconds, as the API stores it.
	now time.Time
	// dataset as it was read: live where unsure says so, else cached.
	dataset *v1alpha1.DatasetRetention
	// limits are the administrator's.
	limits Limits
	// home is where the dataset's data must lie, derived from its UID; without the
	// store.
	home v1alpha1.ObjectLocation
	// store is the identity of the store that the data was put into; that of the
	// store as it is now if nothing says that any was. Read for a deleted dataset.
	store string
	// keyID names the key of a deleted dataset whose status does not; empty: it does,
	// or there is none.
	keyID string
	// recorded: the ledger says that data may be there. Read for a deleted dataset
	// without a place in its status.
	recorded bool
	// runs of the namespace that refer to the dataset, without those of a
	// predecessor of its name, in alphabetical order.
	runs []run
	// copies are the Jobs and Pods that may have a local copy, as "pod/name", in
	// alphabetical order. Read for a deleted dataset only.
	copies []string
	// seal is what the check of the manifest found; nil: it was not asked for, or
	// the store did not answer.
	seal *sealCheck
	// inventory is what an erase would remove; nil: not asked for, or storeErr.
	inventory *erasure.Inventory
	// placing is what came of giving the dataset its place, and noted is true once the
	// ledger knows what is new of its hold. Both are set when it was done.
	placing placing
	noted   bool
	// keyDestroyed is when the dataset's key was gone; zero: it was not destroyed now.
	keyDestroyed time.Time
	// closed: the ledger says that the data of this very dataset was erased before.
	closed bool
	// busy: the store should have been asked, but too many others are at it.
	busy bool
	// storeErr is why the store could not be asked; nil: it was not, or it answered.
	storeErr error
}

// run is what matters here of a TrainingRun that refers to the dataset.
type run struct {
	name string
	// finished in any way.
	finished bool
	// suspended: it has not ended, but nothing of it runs, and none of its Pods is left.
	suspended bool
	// bound to this dataset, by UID. False while it waits for it.
	bound bool
	// ended is its completion time; zero: it has none.
	ended time.Time
}

// observe reads what a decision about the dataset needs. The error is a NotFound
// API error when there is no such dataset.
func (r *Reconciler) observe(ctx context.Context, key types.NamespacedName) (observed, error) {
	seen, err := r.look(ctx, question{from: r.client}, key)
	if err != nil || seen.done() {
		return seen, err
	}
	if unsure(seen) {
		if seen, err = r.look(ctx, question{from: r.live, page: runsOnAPage}, key); err != nil || seen.done() {
			return seen, err
		}
	}
	if !seen.deleted() {
		r.lookAtSeal(ctx, &seen)
		r.lookAtStore(ctx, &seen)
		return seen, nil
	}
	if seen.copies, err = r.lookForCopies(ctx, seen.dataset); err != nil {
		return seen, err
	}
	if seen.storeErr = r.lookForPlace(ctx, &seen); seen.storeErr == nil {
		r.lookAtInventory(ctx, &seen)
		r.lookAtStore(ctx, &seen)
	}
	return seen, nil
}

// unsure reports whether what is to be done can not be undone, or would be done
// twice by who looks at an old version, so that the API server is asked.
func unsure(seen observed) bool {
	return seen.deleted() || due(seen) || seen.dataset.Status.Location == nil || holdNews(seen) != nil
}

// look reads the dataset and its runs through one reader. Of the runs it keeps only
// what matters here.
func (r *Reconciler) look(ctx context.Context, ask question, key types.NamespacedName) (observed, error) {
	d := &v1alpha1.DatasetRetention{}
	if err := ask.from.Get(ctx, key, d); err != nil {
		return observed{}, fmt.Errorf("get dataset: %w", err)
	}
	seen := observed{
		now:     r.opts.Clock.Now().UTC().Truncate(time.Second),
		dataset: d,
		limits:  r.opts.Limits,
		home: v1alpha1.ObjectLocation{
			Bucket: r.opts.DatasetsBucket,
			Prefix: objectkey.OwnerPrefix(d.Namespace, string(d.UID)),
		},
	}
	ask.what = runsOnDataset(d)
	err := eachPage(ctx, ask, newRuns, func(list *v1alpha1.TrainingRunList) error {
		seen.runs = append(seen.runs, runsOf(d.UID, list.Items)...)
		return nil
	})
	if err != nil {
		return observed{}, fmt.Errorf("list runs of the dataset: %w", err)
	}
	slices.SortFunc(seen.runs, func(a, b run) int { return cmp.Compare(a.name, b.name) })
	return seen, nil
}

// runsOnDataset lists the runs that refer to the dataset's name, by an index of the
// cache or by a field that the API server selects by.
func runsOnDataset(d *v1alpha1.DatasetRetention) []client.ListOption {
	return []client.ListOption{client.InNamespace(d.Namespace), client.MatchingFields{index.RunsByDataset: d.Name}}
}

func newRuns() *v1alpha1.TrainingRunList { return &v1alpha1.TrainingRunList{} }

func runsOf(uid types.UID, items []v1alpha1.TrainingRun) []run {
	var runs []run
	for i := range items {
		status := &items[i].Status
		if status.Dataset != nil && status.Dataset.UID != uid {
			continue
		}
		one := run{
			name: items[i].Name, bound: status.Dataset != nil,
			finished: status.State.Finished(), suspended: status.State == v1alpha1.RunSuspended,
		}
		if status.CompletionTime != nil {
			one.ended = status.CompletionTime.UTC()
		}
		runs = append(runs, one)
	}
	return runs
}

// lookForCopies asks the API server, because an erase must not overlook a Pod that
// the cache has not seen yet.
func (r *Reconciler) lookForCopies(ctx context.Context, d *v1alpha1.DatasetRetention) ([]string, error) {
	ask := question{from: r.live, page: copiesOnAPage, what: []client.ListOption{
		client.InNamespace(d.Namespace), client.MatchingLabels{v1alpha1.LabelDatasetUID: string(d.UID)},
	}}
	var copies []string
	err := eachPage(ctx, ask, func() *batchv1.JobList { return &batchv1.JobList{} }, func(jobs *batchv1.JobList) error {
		for i := range jobs.Items {
			if holdsCopy(&jobs.Items[i]) {
				copies = append(copies, "job/"+jobs.Items[i].Name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs of the dataset: %w", err)
	}
	err = eachPage(ctx, ask, func() *corev1.PodList { return &corev1.PodList{} }, func(pods *corev1.PodList) error {
		for i := range pods.Items {
			if holdsCopy(&pods.Items[i]) {
				copies = append(copies, "pod/"+pods.Items[i].Name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list pods of the dataset: %w", err)
	}
	slices.Sort(copies)
	return copies, nil
}

// lookAtSeal checks the manifest of a sealed dataset, once: what was found is in
// the status from then on, and the data can not be written to any more.
func (r *Reconciler) lookAtSeal(ctx context.Context, seen *observed) {
	if !sealCheckDue(seen.dataset) || due(*seen) {
		return
	}
	if seen.busy = !r.checks.take(ctx); seen.busy {
		return
	}
	defer r.checks.give()
	key, err := r.sealKey(ctx, seen.dataset)
	if errors.Is(err, datasetkey.ErrNotFound) {
		seen.seal = &sealCheck{reason: v1alpha1.ReasonKeyMissing}
		return
	}
	if err != nil {
		seen.storeErr = &keyFault{fmt.Errorf("get the dataset's key: %w", err)}
		return
	}
	found, err := checkSeal(ctx, r.opts.Store(key), seen.home, maxManifest)
	if err != nil {
		seen.storeErr = fmt.Errorf("check manifest: %w", err)
		return
	}
	seen.seal = &found
}

// sealKey is the key that the dataset's data is under; the zero key for none. One
// that took the place of another is none of the dataset's.
func (r *Reconciler) sealKey(ctx context.Context, d *v1alpha1.DatasetRetention) (objectstore.Key, error) {
	if !ownKey(d) {
		return objectstore.Key{}, nil
	}
	key, err := r.opts.Keys.Get(ctx, d.UID)
	if err == nil && d.Status.KeyID != "" && key.ID() != d.Status.KeyID {
		return objectstore.Key{}, datasetkey.ErrNotFound
	}
	return key, err
}

// lookForPlace finds out into which store the data of a deleted dataset was put. The
// status says so; if it was lost, or if the operator died before it was written, the
// ledger does. It is also asked before a hold on what may be erased already is noted.
func (r *Reconciler) lookForPlace(ctx context.Context, seen *observed) error {
	d := seen.dataset
	if d.Status.Location != nil {
		seen.store = d.Status.Location.Store
		if holdNews(*seen) == nil {
			return nil
		}
	}
	account, err := r.opts.Ledger.Read(ctx, d.Namespace, string(d.UID))
	if err != nil {
		return fmt.Errorf("read the dataset's account in the ledger: %w", err)
	}
	_, seen.closed = account.Last(objectkey.LedgerErased)
	if d.Status.Location != nil {
		return nil
	}
	if account.Record == nil {
		seen.store, err = r.opts.Eraser.Identity(ctx, seen.home.Bucket)
		return err
	}
	seen.recorded, seen.store = true, account.Record.Store
	if !ownKey(d) || begun(d) {
		return nil
	}
	key, err := r.opts.Keys.Get(ctx, d.UID)
	switch {
	case errors.Is(err, datasetkey.ErrNotFound), errors.Is(err, datasetkey.ErrMalformed):
		return nil // It is destroyed all the same, without a name.
	case err != nil:
		return &keyFault{fmt.Errorf("get the dataset's key: %w", err)}
	}
	seen.keyID = key.ID()
	return nil
}

// lookAtStore makes sure, right before the time takes data away for ever, that the store
// is there and the one that the data is in. The request is signed, and S3 refuses one
// whose time is a quarter of an hour off, so a clock that was set wrong ends nothing.
func (r *Reconciler) lookAtStore(ctx context.Context, seen *observed) {
	p := decide(*seen)
	if !p.expire && (!p.destroyKey || trigger(*seen) != objectkey.TriggerExpired) {
		return
	}
	want := seen.store
	if at := seen.dataset.Status.Location; at != nil {
		want = at.Store
	}
	is, err := r.opts.Eraser.Identity(ctx, seen.home.Bucket)
	switch placed := seen.dataset.Status.Location != nil || seen.recorded; {
	case err != nil:
		seen.storeErr = fmt.Errorf("read the store's identity: %w", err)
	case placed && is != want:
		seen.storeErr = fmt.Errorf("%w: it says to be %s", erasure.ErrUnknownStore, is)
	}
}

// lookAtInventory counts what an erase will remove, once: the counts of the first
// time are in the status, and a later one would find less.
func (r *Reconciler) lookAtInventory(ctx context.Context, seen *observed) {
	if counted(seen.dataset) || keyDue(*seen) || len(eraseVetoes(*seen)) > 0 {
		return
	}
	if seen.busy = !r.turns.take(ctx); seen.busy {
		return
	}
	defer r.turns.give()
	found, err := r.takeInventory(ctx, *seen)
	if err != nil {
		seen.storeErr = fmt.Errorf("take inventory: %w", err)
		return
	}
	seen.inventory = &found
}

// takeInventory looks with the auditor first where nothing should be: what never was
// there needs no guard.
func (r *Reconciler) takeInventory(ctx context.Context, seen observed) (erasure.Inventory, error) {
	if neverPlaced(seen) {
		if empty, err := r.opts.Eraser.Verify(ctx, target(seen)); err != nil || empty {
			return erasure.Inventory{}, err
		}
	}
	return r.opts.Eraser.Inventory(ctx, target(seen))
}

// deleted reports whether the dataset's object is deleted and waits for its erase.
func (o observed) deleted() bool { return o.dataset.DeletionTimestamp != nil }

// done reports whether the dataset is deleted and the finalizer is off already:
// nothing of it is our concern any more.
func (o observed) done() bool {
	return o.deleted() && !controllerutil.ContainsFinalizer(o.dataset, v1alpha1.FinalizerErase)
}

// active are the names of the runs that go on. An erase waits for all of them: one
// that is not bound may be about to be. It does not wait for those that are suspended,
// which may be so for ever: one that goes on meanwhile finds the dataset fenced.
func (o observed) active() []string {
	return o.runsThat(func(r run) bool { return !r.finished && !r.suspended })
}

// training are the names of the runs that work on the data now.
func (o observed) training() []string {
	return o.runsThat(func(r run) bool { return !r.finished && !r.suspended && r.bound })
}

// users are the names of the runs that are bound to the dataset and have not ended,
// also of those that are suspended and want to go on. A run that only waits uses
// nothing and holds nothing.
func (o observed) users() []string {
	return o.runsThat(func(r run) bool { return !r.finished && r.bound })
}

// holders are the runs that the status names: those that the dataset waits for.
func (o observed) holders() []string {
	if o.deleted() {
		return o.active()
	}
	return o.users()
}

func (o observed) runsThat(fit func(run) bool) []string {
	var names []string
	for _, r := range o.runs {
		if fit(r) {
			names = append(names, r.name)
		}
	}
	return names
}

// target is what an erase works on: always the derived place, never one that was read.
func target(seen observed) erasure.Target {
	return erasure.Target{
		Bucket: seen.home.Bucket, Prefix: seen.home.Prefix, UID: string(seen.dataset.UID), Store: seen.store,
	}
}
