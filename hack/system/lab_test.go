// Package system_test drives whole journeys through Lethe on the lab, and asserts
// each step from outside: with kubectl's eyes (the API server) and with the
// store's root credentials, never with the operator's own.
//
// `make test-system` runs it. It needs the lab, so it is skipped elsewhere.
package system_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Names that the lab gives to its parts.
const (
	operatorNamespace = "lethe-system"
	artifactsBucket   = "lethe-artifacts"
	receiptsBucket    = "lethe-receipts"
	trainerImage      = "lethe.dev/digits:dev"
)

// patience bounds every wait; the lab has two cores and runs several journeys at once.
const patience = 4 * time.Minute

// lab is what all journeys share; set once by TestMain.
var lab struct {
	cache string
	kube  client.Client
	core  kubernetes.Interface
	store *objectstore.Client
	// dataset is the folder that journeys upload: the sample trainer's own.
	dataset string
	// aged is the namespace of datasets that are sealed some time before they are
	// needed, see age.
	aged string
}

// Datasets of the namespace aged.
const (
	agedStoreStops   = "store-stops"
	agedOperatorDies = "operator-dies"
)

func TestMain(m *testing.M) {
	if os.Getenv("LETHE_TEST_SYSTEM") != "1" {
		fmt.Println("SKIPPED: the journeys through the whole system need the lab; run `make test-system`")
		os.Exit(0)
	}
	logf.SetLogger(logr.Discard())
	work, err := os.MkdirTemp("", "lethe-system-")
	if err != nil {
		log.Fatal(err)
	}
	if err := connect(work); err != nil {
		log.Fatalf("system tests: %v\nIs the lab up? make lab-status", err)
	}
	code := m.Run()
	if err := checkRights(); err != nil {
		fmt.Printf("FAIL: %v\n", err)
		code = max(code, 1)
	}
	if lab.aged != "" {
		// The rest is the operator's work, and of no interest any more.
		_, _ = command(context.Background(), tool("kubectl"), "delete", "namespace", lab.aged, "--wait=false")
	}
	_ = os.RemoveAll(work) // a temporary folder; the system cleans up after us
	os.Exit(code)
}

// age makes the datasets that later journeys erase. An erase waits until credentials
// to upload have ended, a good minute; so not each of these journeys has to.
func age(t *testing.T) {
	t.Helper()
	if lab.aged != "" {
		return
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "system-aged-"}}
	create(t, ns)
	lab.aged = ns.Name
	kubectl(t, "-n", ns.Name, "apply", "-f", "../../config/samples/uploader.yaml")
	for _, name := range []string{agedStoreStops, agedOperatorDies} {
		upload(t, ns.Name, name)
	}
}

// agedDataset gives one of them.
func agedDataset(t *testing.T, name string) v1alpha1.DatasetRetention {
	t.Helper()
	age(t)
	return dataset(t, lab.aged, name)
}

func connect(work string) error {
	lab.cache = os.Getenv("LETHE_CACHE")
	cfg, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	cfg.QPS = -1
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	if lab.kube, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if lab.core, err = kubernetes.NewForConfig(cfg); err != nil {
		return err
	}
	ca, err := os.ReadFile(os.Getenv("LETHE_S3_CA"))
	if err != nil {
		return err
	}
	lab.store, err = objectstore.New(objectstore.Config{
		Endpoint: os.Getenv("LETHE_S3_ENDPOINT"),
		CABundle: ca,
		Credentials: objectstore.Static(objectstore.Credentials{
			AccessKeyID:     os.Getenv("LETHE_S3_ACCESS_KEY"),
			SecretAccessKey: os.Getenv("LETHE_S3_SECRET_KEY"),
		}),
	})
	if err != nil {
		return err
	}
	if out, err := exec.Command(tool("digits"), "export", filepath.Join(work, "digits")).CombinedOutput(); err != nil {
		return fmt.Errorf("export the sample dataset: %w: %s", err, out)
	}
	lab.dataset = filepath.Join(work, "digits")
	return nil
}

func tool(name string) string { return filepath.Join(lab.cache, "bin", name) }

// command runs a program and gives everything that it prints.
func command(ctx context.Context, name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := command(t.Context(), name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return out
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return mustRun(t, tool("kubectl"), args...)
}

func lethe(t *testing.T, args ...string) string {
	t.Helper()
	return mustRun(t, tool("kubectl-lethe"), args...)
}

// newNamespace makes a namespace with the service account that the lab's user, who
// has a client certificate, uploads as. What is left of it when the test ends is
// printed if the test failed, and deleted.
func newNamespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "system-"}}
	if err := lab.kube.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if t.Failed() {
			out, _ := command(ctx, tool("kubectl"), "-n", ns.Name, "get", "trainingruns,datasetretentions,jobs,pods,events", "-o", "wide")
			t.Logf("what %s looked like:\n%s", ns.Name, out)
		}
		if err := lab.kube.Delete(ctx, ns); client.IgnoreNotFound(err) != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})
	kubectl(t, "-n", ns.Name, "apply", "-f", "../../config/samples/uploader.yaml")
	return ns.Name
}

// eventually polls until check says yes. It fails the test with what check saw last.
func eventually(t *testing.T, what string, check func(ctx context.Context) (done bool, saw string, err error)) {
	t.Helper()
	within(t, patience, what, check)
}

// within is eventually for what may take another time.
func within(t *testing.T, limit time.Duration, what string, check func(ctx context.Context) (done bool, saw string, err error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	last := "nothing"
	for {
		done, saw, err := check(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			last = "error: " + err.Error()
		case done:
			return
		case saw != "":
			last = saw
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s; saw last: %s", limit, what, last)
		case <-tick.C:
		}
	}
}

// upload makes a sealed dataset of the sample folder.
func upload(t *testing.T, ns, name string, flags ...string) v1alpha1.DatasetRetention {
	t.Helper()
	lethe(t, append([]string{"upload", lab.dataset, name, "-n", ns}, flags...)...)
	return dataset(t, ns, name)
}

func dataset(t *testing.T, ns, name string) v1alpha1.DatasetRetention {
	t.Helper()
	var ds v1alpha1.DatasetRetention
	if err := lab.kube.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &ds); err != nil {
		t.Fatal(err)
	}
	return ds
}

// aRun is a short run of the sample trainer.
func aRun(ns, name, dataset string, change ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
	gpus := int32(1)
	run := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: dataset},
			Trainer:    v1alpha1.Trainer{Image: trainerImage, Env: []v1alpha1.EnvVar{{Name: "DIGITS_EPOCHS", Value: "2"}}},
			Nodes:      v1alpha1.Nodes{GPUsPerNode: &gpus},
		},
	}
	for _, f := range change {
		f(run)
	}
	return run
}

// slowly makes the trainer take its time, so that something can happen meanwhile.
func slowly(seconds string) func(*v1alpha1.TrainingRun) {
	return func(run *v1alpha1.TrainingRun) {
		run.Spec.Trainer.Env = []v1alpha1.EnvVar{
			{Name: "DIGITS_EPOCHS", Value: "2"},
			{Name: "DIGITS_SECONDS_PER_EPOCH_MIN", Value: seconds},
		}
	}
}

func create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := lab.kube.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func waitRun(t *testing.T, ns, name string, want v1alpha1.RunState) v1alpha1.TrainingRun {
	t.Helper()
	var run v1alpha1.TrainingRun
	eventually(t, fmt.Sprintf("run %s to be %s", name, want), func(ctx context.Context) (bool, string, error) {
		err := lab.kube.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, &run)
		s := run.Status
		if err == nil && s.State.Finished() && s.State != want {
			t.Fatalf("run %s ended as %s (%s: %s), want %s", name, s.State, s.Reason, s.Message, want)
		}
		return s.State == want, fmt.Sprintf("%s %s: %s", s.State, s.Reason, s.Message), err
	})
	return run
}

// waitRunReason waits until the run waits or has failed for this reason.
func waitRunReason(t *testing.T, ns, name, want string) v1alpha1.TrainingRun {
	t.Helper()
	var run v1alpha1.TrainingRun
	eventually(t, fmt.Sprintf("run %s to say %s", name, want), func(ctx context.Context) (bool, string, error) {
		err := lab.kube.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, &run)
		return run.Status.Reason == want, fmt.Sprintf("%s %s: %s", run.Status.State, run.Status.Reason, run.Status.Message), err
	})
	return run
}

func waitDataset(t *testing.T, ns, name, what string, ok func(v1alpha1.DatasetRetention) bool) v1alpha1.DatasetRetention {
	t.Helper()
	var ds v1alpha1.DatasetRetention
	eventually(t, fmt.Sprintf("dataset %s %s", name, what), func(ctx context.Context) (bool, string, error) {
		err := lab.kube.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, &ds)
		return err == nil && ok(ds), fmt.Sprintf("%s %s: %s", ds.Status.State, ds.Status.Reason, ds.Status.Message), err
	})
	return ds
}

func waitGone(t *testing.T, obj client.Object) {
	t.Helper()
	eventually(t, fmt.Sprintf("%T %s to be gone", obj, obj.GetName()), func(ctx context.Context) (bool, string, error) {
		err := lab.kube.Get(ctx, client.ObjectKeyFromObject(obj), obj)
		if apierrors.IsNotFound(err) {
			return true, "", nil
		}
		return false, "it is there", err
	})
}

// holdings counts everything that the store holds at a place.
func holdings(t *testing.T, at *v1alpha1.ObjectLocation) int {
	t.Helper()
	n := 0
	for _, err := range lab.store.ListVersions(t.Context(), at.Bucket, at.Prefix) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	for _, err := range lab.store.ListUploads(t.Context(), at.Bucket, at.Prefix) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func readObject(t *testing.T, bucket, key string) []byte {
	t.Helper()
	return readFrom(t, lab.store, bucket, key)
}

func readFrom(t *testing.T, store *objectstore.Client, bucket, key string) []byte {
	t.Helper()
	body, err := store.Get(t.Context(), bucket, key, 0, -1)
	if err != nil {
		t.Fatalf("get s3://%s/%s: %v", bucket, key, err)
	}
	defer func() { _ = body.Close() }() // read to its end below
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
