package cluster_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/cluster"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	namespace = "t-abcdefghijkmnpqrstuvwxyz22"
	runName   = "r-abcdefghijkmnpqrstuvwxyz22"
	dataName  = "d-abcdefghijkmnpqrstuvwxyz22"
)

// least is the run that says least.
func least() portal.RunOrder {
	return portal.RunOrder{
		Namespace: namespace, Object: runName, Dataset: dataName,
		Spec: portal.RunSpec{Image: "registry.example/digits@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
	}
}

// most is the run that says all.
func most() portal.RunOrder {
	o := least()
	o.ResumeFrom = "r-22zyxwvutsrqpnmkjihgfedcba"
	o.Spec = portal.RunSpec{
		Image: "registry.example/digits:v1", Command: []string{"python", "train.py"}, Args: []string{"--epochs", "3"},
		Env: map[string]string{"SEED": "7", "BATCH": "64"}, CPU: "4", Memory: "16Gi",
		Nodes: 2, GPUs: 8, Product: "NVIDIA-H200", Sharded: true,
		MaxDuration: 90 * time.Minute, MaxGPUSeconds: 86_400, StartWithin: time.Hour, StalledAfter: 10*time.Minute + 300*time.Millisecond,
		Retries: 2, CheckpointEvery: 5 * time.Minute, KeepLast: 3,
	}
	return o
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestARunAsKubectlWouldTakeIt(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]portal.RunOrder{"run-least.yaml": least(), "run-most.yaml": most()} {
		got, err := cluster.RunYAML(order)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, got)
	}
}

func TestObjectsOfTenantsAndDatasets(t *testing.T) {
	t.Parallel()
	objects := map[string]any{
		"tenant.yaml": cluster.TenantObject(portal.TenantOrder{
			Namespace: namespace, Label: "abc", GPUs: 4, Billing: portal.BillingActive, Tier: "trusted",
		}),
		"tenant-least.yaml": cluster.TenantObject(portal.TenantOrder{Namespace: namespace, Label: "abc", Billing: portal.BillingSuspended}),
		"dataset.yaml": cluster.DatasetObject(portal.DatasetOrder{
			Namespace: namespace, Object: dataName, AfterTraining: 2 * time.Hour, MaxAge: 240 * time.Hour,
		}),
		"dataset-at-once.yaml": cluster.DatasetObject(portal.DatasetOrder{Namespace: namespace, Object: dataName}),
	}
	for name, object := range objects {
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		text, err := yaml.JSONToYAML(data)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, text)
	}
}

func TestWhatIsNoAmountIsToldBesideItsField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*portal.RunSpec)
		field  string
	}{
		"a word as memory": {func(s *portal.RunSpec) { s.Memory = "lots" }, "memory"},
		"a word as CPU":    {func(s *portal.RunSpec) { s.CPU = "four" }, "cpu"},
		"a number that keeps a parser busy": {
			func(s *portal.RunSpec) { s.CPU = "1e" + "999999999999999999999999999999999" }, "cpu",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			order := least()
			c.change(&order.Spec)
			_, err := cluster.RunYAML(order)
			var told *portal.Error
			if !errors.As(err, &told) || told.Kind != portal.KindInvalid || told.Field != c.field {
				t.Errorf("got %v, want %s refused", err, c.field)
			}
		})
	}
}
