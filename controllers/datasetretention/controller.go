package datasetretention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/internal/index"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Name of the controller, and of the reporter of its events.
const Name = "datasetretention"

const (
	// workers is how many datasets are worked on at once; at the store, maxTurns and
	// maxChecks of them. An erase or the check of a large manifest keeps one busy for minutes;
	// the others go on meanwhile.
	workers = 16
	// workTimeout bounds what one reconcile does at the store. Ten million objects
	// at the 3,000 a second that a small MinIO removes take 55 minutes. An erase
	// that is cut off goes on from what is left; a check begins anew.
	workTimeout = 60 * time.Minute
	// reconcileTimeout leaves time to report what workTimeout has cut off.
	reconcileTimeout = workTimeout + 2*time.Minute
	// firstRetry and lastRetry bound the time between tries: a store that is back
	// after a long outage is noticed within a minute.
	firstRetry = 500 * time.Millisecond
	lastRetry  = time.Minute
)

// +kubebuilder:rbac:groups=lethe.dev,resources=datasetretentions,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups=lethe.dev,resources=datasetretentions/status,verbs=patch
// +kubebuilder:rbac:groups=lethe.dev,resources=trainingruns,verbs=get;list;watch
// +kubebuilder:rbac:groups=lethe.dev,resources=trainingruns/status,verbs=patch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Options of a Reconciler. All but Limits are required.
type Options struct {
	// DatasetsBucket is the bucket that every dataset lies in.
	DatasetsBucket string
	// Store gives the view of the store under a key; under none for the zero key.
	Store func(objectstore.Key) Store
	// Eraser takes data out of the store.
	Eraser Eraser
	// Keys, Ledger and Receipts keep what their interfaces say.
	Keys     Keys
	Ledger   Ledger
	Receipts Receipts
	// Limits bound what owners may ask for; none by default.
	Limits Limits
	// Clock gives the time.
	Clock clock.PassiveClock
	// Events takes the events for users.
	Events events.EventRecorder
	// Metrics is where the controller's metrics are registered.
	Metrics prometheus.Registerer
}

func (o Options) validate() error {
	switch {
	case o.DatasetsBucket == "":
		return errors.New("datasetretention needs the name of the datasets bucket")
	case o.Store == nil || o.Eraser == nil:
		return errors.New("datasetretention needs a store and an eraser")
	case o.Keys == nil || o.Ledger == nil || o.Receipts == nil:
		return errors.New("datasetretention needs keys, a ledger and receipts")
	case o.Clock == nil || o.Events == nil || o.Metrics == nil:
		return errors.New("datasetretention needs a clock, an event recorder and a metrics registry")
	}
	if err := o.Limits.validate(); err != nil {
		return fmt.Errorf("limits of retention: %w", err)
	}
	return nil
}

// Reconciler reconciles DatasetRetention objects.
type Reconciler struct {
	// client writes, and reads from the cache.
	client client.Client
	// live reads from the API server.
	live    client.Reader
	opts    Options
	metrics *metrics
	// turns bounds the erases at the store, and checks the reading of manifests.
	turns, checks turns
	// sites remembers what new datasets need to know of the bucket.
	sites sites
}

// New makes a Reconciler that reads from cached, or from live before it does
// something that can not be undone. It fails when an option is missing.
func New(cached client.Client, live client.Reader, opts Options) (*Reconciler, error) {
	if cached == nil || live == nil {
		return nil, errors.New("datasetretention needs a client and a live reader")
	}
	if err := opts.validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(opts.Metrics, opts.Clock)
	if err != nil {
		return nil, err
	}
	return &Reconciler{client: cached, live: live, opts: opts, metrics: m, turns: newTurns(maxTurns), checks: newTurns(maxChecks)}, nil
}

// SetupWithManager registers the controller and its watches. The context bounds
// the set-up only.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := index.Register(ctx, mgr.GetCache()); err != nil {
		return err
	}
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry)
	err := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		// The dataset itself, without a predicate: our own status writes carry the
		// check of a manifest and the erase on.
		For(&v1alpha1.DatasetRetention{}).
		// A run that begins or ends to use a dataset: InUse, lastUsedTime, and
		// erases that wait for it. Its progress does not wake the dataset.
		Watches(&v1alpha1.TrainingRun{}, handler.EnqueueRequestsFromMapFunc(datasetOfRun),
			builder.WithPredicates(useChanges())).
		// The end of a Job or Pod with a local copy: erases that wait for it.
		Watches(&batchv1.Job{}, handler.EnqueueRequestsFromMapFunc(r.waitingForCopy),
			builder.WithPredicates(copyEnds())).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.waitingForCopy),
			builder.WithPredicates(copyEnds())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			ReconciliationTimeout:   reconcileTimeout,
			RateLimiter:             limiter,
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
}

// Reconcile brings one dataset one step further. It writes the status at most
// once, or twice around the destruction of its key and when the erase that it has
// announced fails.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	work, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	seen, err := r.observe(work, req.NamespacedName)
	if apierrors.IsNotFound(err) || (err == nil && seen.done()) {
		r.metrics.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	p := decide(seen)
	if err := r.adopt(ctx, seen.dataset, p); err != nil {
		return outdated(err)
	}
	r.place(work, &seen, p)
	r.noteHold(work, &seen, p)
	if err := r.writeReport(ctx, seen, p, nil); err != nil {
		return outdated(err)
	}
	switch err := r.act(work, seen, p); {
	case errors.Is(err, errBusy):
		if err := r.writeReport(ctx, seen, p, err); err != nil {
			return outdated(err)
		}
		return ctrl.Result{RequeueAfter: busyRetry}, nil
	case apierrors.IsConflict(err), withoutNamespace(err):
		return outdated(err)
	case err != nil:
		return ctrl.Result{}, errors.Join(err, r.writeReport(ctx, seen, p, err))
	}
	return ctrl.Result{RequeueAfter: nextLook(seen, p)}, seen.storeErr
}

// nextLook is when to look again; zero: when a watch says so.
func nextLook(seen observed, p plan) time.Duration {
	if seen.placing.refused == v1alpha1.ReasonStoreUnsuitable {
		return soonest(p.next, siteRetry)
	}
	return p.next
}

// strayRetry is when to look again at a dataset that outlived its namespace, which was
// finalized by force: the API server takes no change of it until somebody creates the
// namespace again, and nothing that is watched would tell.
const strayRetry = time.Minute

// withoutNamespace reports whether a write was refused because the namespace is gone.
func withoutNamespace(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}

// outdated drops errors that only say that the dataset has changed or gone since
// it was read: the watch brings it again.
func outdated(err error) (ctrl.Result, error) {
	if withoutNamespace(err) {
		return ctrl.Result{RequeueAfter: strayRetry}, nil
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, err
}
