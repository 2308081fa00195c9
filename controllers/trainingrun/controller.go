package trainingrun

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
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
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// Name of the controller, in logs, metrics and events.
const Name = "trainingrun"

const (
	// workers is how many runs are worked on at once. maxErases and maxBriefs of them
	// may be held up by the store; the others follow runs meanwhile.
	workers = 16
	// passTimeout bounds each observation and each write.
	passTimeout = time.Minute
	// reconcileTimeout leaves time for what comes before and after an erase.
	reconcileTimeout = eraseTimeout + 5*time.Minute
	// firstRetry and lastRetry bound the time between tries: a store that is back
	// after a long outage is noticed within a minute.
	firstRetry = 500 * time.Millisecond
	lastRetry  = time.Minute
)

// Options are the operator's settings that runs depend on.
type Options struct {
	// StagerImage is the image of stage-in and stage-out.
	StagerImage string
	// BrokerURL is the broker's address as pods reach it.
	BrokerURL string
	// TrustBundle is the name of the ClusterTrustBundle with the certificates that
	// the broker's is verified with.
	TrustBundle string
	// ArtifactsBucket is the bucket that stage-out publishes to.
	ArtifactsBucket string
	// BillingGrace is how long trainers go on whose tenant does not pay.
	BillingGrace time.Duration
}

func (o Options) validate() error {
	for name, value := range map[string]string{
		"StagerImage": o.StagerImage, "BrokerURL": o.BrokerURL,
		"TrustBundle": o.TrustBundle, "ArtifactsBucket": o.ArtifactsBucket,
	} {
		if value == "" {
			return fmt.Errorf("trainingrun options: %s is empty", name)
		}
	}
	if o.BillingGrace < 0 || o.BillingGrace > v1alpha1.MaxBillingGrace {
		return fmt.Errorf("trainingrun options: BillingGrace is not within 0 and %s", v1alpha1.MaxBillingGrace)
	}
	return nil
}

func (o Options) resources(of observed) resources.Options {
	options := resources.Options{
		StagerImage: o.StagerImage, BrokerURL: o.BrokerURL, TrustBundle: o.TrustBundle, ArtifactsStore: of.Identity,
	}
	if of.Tenant != nil {
		options.RuntimeClass = of.Tenant.RuntimeClass
	}
	return options
}

// Dependencies are what a Reconciler works with. All are required.
type Dependencies struct {
	// Client writes, and reads from the cache.
	Client client.Client
	// Live reads from the API server.
	Live     client.Reader
	Recorder Recorder
	Metrics  *Metrics
	Clock    clock.PassiveClock
	// Eraser, Ledger and Receipts are at the store.
	Eraser   Eraser
	Ledger   Ledger
	Receipts Receipts
}

// +kubebuilder:rbac:groups=lethe.dev,resources=trainingruns,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups=lethe.dev,resources=trainingruns/status,verbs=patch
// +kubebuilder:rbac:groups=lethe.dev,resources=trainingruns/finalizers,verbs=update
// +kubebuilder:rbac:groups=lethe.dev,resources=datasetretentions,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=services,verbs=get;create
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=create
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler makes TrainingRuns happen.
type Reconciler struct {
	client   client.Client
	live     client.Reader
	recorder Recorder
	metrics  *Metrics
	clock    clock.PassiveClock
	options  Options
	eraser   Eraser
	ledger   Ledger
	receipts Receipts
	// erases, briefs and prunes bound the work at the store.
	erases, briefs, prunes turns
	// pruned is what need not be asked of the store again.
	pruned *prunings
	// refusals is why Jobs have no Pods.
	refusals *refusals
}

// New makes a Reconciler. It fails when something required is missing.
func New(with Dependencies, options Options) (*Reconciler, error) {
	if with.Client == nil || with.Live == nil || with.Recorder == nil || with.Metrics == nil || with.Clock == nil ||
		with.Eraser == nil || with.Ledger == nil || with.Receipts == nil {
		return nil, errors.New("trainingrun: a dependency is missing")
	}
	if err := options.validate(); err != nil {
		return nil, err
	}
	return &Reconciler{
		client: with.Client, live: with.Live, recorder: with.Recorder,
		metrics: with.Metrics, clock: with.Clock, options: options,
		eraser: with.Eraser, ledger: with.Ledger, receipts: with.Receipts,
		erases: make(turns, maxErases), briefs: make(turns, maxBriefs), prunes: make(turns, maxPrunes),
		pruned: &prunings{}, refusals: &refusals{},
	}, nil
}

// SetupWithManager registers the index and the watches. Each watch names the
// facts that it keeps fresh; together they are all that a run depends on, so
// nothing is polled but what plan.Next gives a reason for.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := index.Register(ctx, mgr.GetCache()); err != nil {
		return err
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &corev1.Pod{}, podsByRun, runLabel); err != nil {
		return fmt.Errorf("index pods by run: %w", err)
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		// That a run exists, and that it was deleted.
		For(&v1alpha1.TrainingRun{}).
		// That the run's Job was made, has ended, or was deleted by somebody else.
		Owns(&batchv1.Job{}).
		// How far the Pod has come, and that it is gone.
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(runOfPod)).
		// That the dataset a run waits for has appeared, is ready, or is going.
		Watches(&v1alpha1.DatasetRetention{}, handler.EnqueueRequestsFromMapFunc(r.runsWaitingFor)).
		// That a tenant pays or not, and that it is set up.
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.runsOfTenant), builder.WithPredicates(tenantChanged())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			ReconciliationTimeout:   reconcileTimeout,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
}

// Reconcile brings one run a step further.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	o, p, err := r.look(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	if o.Run == nil {
		r.metrics.gone(req.NamespacedName)
		r.pruned.forget(req.NamespacedName)
		return ctrl.Result{}, r.freeOrphans(ctx, req.NamespacedName, o.Orphans)
	}
	actErr := r.act(ctx, o, p)
	status := report(o, p, actErr, r.options)
	written, writeErr := r.writeStatus(ctx, o.Run, status)
	if written {
		r.recordEvents(o.Run, status)
		r.metrics.count(o.Run, status)
	}
	r.metrics.observe(req.NamespacedName, status)
	if writeErr == nil && actErr == nil {
		// Their time is safe now, by this write or an earlier one.
		writeErr = errors.Join(r.freePods(ctx, o, status), r.freeOrphans(ctx, req.NamespacedName, o.Orphans))
		p.Next = sooner(p.Next, r.prune(ctx, o, p))
	}
	if err := errors.Join(settle(o.StoreErr), settle(actErr), settle(writeErr)); err != nil {
		return ctrl.Result{}, err
	}
	if errors.Is(actErr, errBusy) {
		p = busy()
	}
	return ctrl.Result{RequeueAfter: p.Next.After}, nil
}

// look decides on what the cache says; where that could not be taken back, it
// looks again at the API server, asks the store what has to be known, and decides on
// that.
func (r *Reconciler) look(ctx context.Context, key types.NamespacedName) (observed, plan, error) {
	o, err := r.observe(ctx, r.cached(), key)
	if err != nil {
		return o, plan{}, err
	}
	p := decide(o, r.options)
	if !p.irreversible() {
		return o, p, nil
	}
	o, err = r.observe(ctx, r.straight(), key)
	if err != nil {
		return o, plan{}, err
	}
	p = decide(o, r.options)
	for p.Ask != askNothing {
		if err := r.ask(ctx, &o, p.Ask); err != nil {
			return o, plan{}, err
		}
		p = decide(o, r.options)
	}
	return o, p, nil
}

// settle drops an error after which the next pass comes by itself: the run was
// written by somebody else since it was observed, or is gone, or goes with its namespace,
// or nothing was done for want of a turn.
func settle(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || namespaceGoes(err) || errors.Is(err, errBusy) {
		return nil
	}
	return err
}

// runOfPod finds the run of a Pod by its label. A label that lies costs one pass
// over a run that finds nothing to do.
func runOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	name := pod.GetLabels()[v1alpha1.LabelRun]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
}

// runsWaitingFor finds the runs that a change of this dataset may let start, or end. Runs
// that have a Job do not depend on it any more.
func (r *Reconciler) runsWaitingFor(ctx context.Context, dataset client.Object) []reconcile.Request {
	var runs v1alpha1.TrainingRunList
	err := r.client.List(ctx, &runs, client.InNamespace(dataset.GetNamespace()),
		client.MatchingFields{index.RunsByDataset: dataset.GetName()})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list the runs of a dataset", "namespace", dataset.GetNamespace(), "dataset", dataset.GetName())
		return nil
	}
	var requests []reconcile.Request
	for i := range runs.Items {
		run := &runs.Items[i]
		if waitsForDataset(run.Status) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(run)})
		}
	}
	return requests
}

// waitsForDataset says that the next thing that a run does is to start an attempt.
func waitsForDataset(status v1alpha1.TrainingRunStatus) bool {
	if status.State.Finished() {
		return false
	}
	last := len(status.Attempts) - 1
	return status.Dataset == nil || last >= 0 && status.Attempts[last].Result != ""
}
