package runs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetretention"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/trainingrun"
	"github.com/lethe-dev/lethe/hack/bench/internal/memorystore"
)

// OperatorName is the argument by which a process of the benchmark is the operator.
const OperatorName = "runs-operator"

// orderVariable holds the operator's order, as JSON.
const orderVariable = "LETHE_BENCH_OPERATOR"

// order is what an operator is to look after.
type order struct{ Kubeconfig string }

// account is what an operator tells of itself when it is asked, after a garbage
// collection.
type account struct {
	// Reconciles since it began, and what waits for one now.
	Reconciles, Waiting float64
	// Errors of reconciles.
	Errors float64
	// Heap that is in use and memory that the process holds, in bytes.
	Heap, Resident int64
	// CPU that it has used.
	CPU time.Duration
}

// Operate is the operator's process: it says "ready", and then an account for every
// line that comes, until there are no more.
func Operate(ctx context.Context, e Environment, in io.Reader) error {
	var o order
	if err := json.Unmarshal([]byte(e.Getenv(orderVariable)), &o); err != nil {
		return errors.New("this is for the benchmark itself")
	}
	e.setLogs()
	mgr, err := newManager(ctx, o)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return errors.Join(errors.New("the operator's cache is not filled"), <-ended)
	}
	if _, err := fmt.Fprintln(e.Stdout, `"ready"`); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if err := answer(e.Stdout); err != nil {
			return err
		}
	}
	stop()
	return <-ended
}

// setLogs has the libraries tell only what went wrong.
func (e Environment) setLogs() {
	logs := logr.FromSlogHandler(slog.NewTextHandler(e.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctrl.SetLogger(logs)
	klog.SetLogger(logs)
}

func newManager(ctx context.Context, o order) (ctrl.Manager, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS = -1 // As ctrl.GetConfig has it.
	scheme := apiruntime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), batchv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	cached, err := cacheOptions()
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Cache: cached,
		Client:                 client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
	})
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	return mgr, reconcilers(ctx, mgr)
}

// reconcilers are those of the operator; see reconcilers in cmd/manager.
func reconcilers(ctx context.Context, mgr ctrl.Manager) error {
	store, err := memorystore.New()
	if err != nil {
		return err
	}
	runMetrics, err := trainingrun.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	runs, err := trainingrun.New(trainingrun.Dependencies{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Recorder: mgr.GetEventRecorder(trainingrun.Name), Metrics: runMetrics, Clock: clock.RealClock{},
		Eraser: store, Ledger: store, Receipts: store,
	}, trainingrun.Options{
		StagerImage: "registry.example/stager:v1", BrokerURL: "https://broker.example", TrustBundle: "lethe-broker", ArtifactsBucket: "artifacts",
	})
	if err != nil {
		return err
	}
	datasets, err := datasetretention.New(mgr.GetClient(), mgr.GetAPIReader(), datasetretention.Options{
		DatasetsBucket: "datasets",
		Store:          func(objectstore.Key) datasetretention.Store { return store },
		Eraser:         store, Keys: memorystore.Keys{}, Ledger: store, Receipts: store,
		Clock: clock.RealClock{}, Events: mgr.GetEventRecorder(datasetretention.Name), Metrics: metrics.Registry,
	})
	if err != nil {
		return err
	}
	return errors.Join(runs.SetupWithManager(ctx, mgr), datasets.SetupWithManager(ctx, mgr))
}

func answer(out io.Writer) error {
	runtime.GC()
	debug.FreeOSMemory()
	var a account
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	a.Heap = int64(heap.HeapAlloc) //nolint:gosec // G115: No machine has that much.
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return fmt.Errorf("ask for what was used: %w", err)
	}
	a.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	var err error
	if a.Resident, err = resident(); err != nil {
		return err
	}
	families, err := metrics.Registry.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case "controller_runtime_reconcile_total":
				a.Reconciles += m.GetCounter().GetValue()
			case "controller_runtime_reconcile_errors_total":
				a.Errors += m.GetCounter().GetValue()
			case "workqueue_depth", "controller_runtime_active_workers":
				a.Waiting += m.GetGauge().GetValue()
			}
		}
	}
	return json.NewEncoder(out).Encode(a)
}

// resident reads how much memory this process holds; see proc_pid_statm(5).
func resident() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("read the process's memory: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errors.New("understand the process's memory: it has too few fields")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
