package contract_test

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/contract"
)

func environment(change func(map[string]string)) func(string) string {
	values := map[string]string{
		contract.EnvVersion:       "1",
		contract.EnvDatasetDir:    "/d",
		contract.EnvArtifactsDir:  "/a",
		contract.EnvCheckpointDir: "/a/c",
		contract.EnvProgressFile:  "/p",
	}
	change(values)
	return func(name string) string { return values[name] }
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	got, err := contract.FromEnvironment(environment(func(map[string]string) {}))
	if err != nil {
		t.Fatal(err)
	}
	want := contract.Places{DatasetDir: "/d", ArtifactsDir: "/a", CheckpointDir: "/a/c", ProgressFile: "/p"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFromEnvironmentNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := contract.FromEnvironment(environment(func(values map[string]string) {
		values[contract.EnvVersion] = "2"
		delete(values, contract.EnvDatasetDir)
		delete(values, contract.EnvProgressFile)
	}))
	if !errors.Is(err, contract.ErrEnvironment) {
		t.Fatalf("error %v, want %v", err, contract.ErrEnvironment)
	}
	for _, name := range []string{contract.EnvVersion, contract.EnvDatasetDir, contract.EnvProgressFile} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %q does not name %s", err, name)
		}
	}
	if strings.Contains(err.Error(), contract.EnvArtifactsDir) {
		t.Errorf("error %q names %s, which is set", err, contract.EnvArtifactsDir)
	}
}

func TestNodesFromEnvironment(t *testing.T) {
	t.Parallel()
	two := map[string]string{
		contract.EnvNodeCount: "2", contract.EnvNodeIndex: "1", contract.EnvAttempt: "3",
		contract.EnvMasterAddr: "run-0.lethe-run.team.svc", contract.EnvMasterPort: "29500",
	}
	without := func(name, value string) map[string]string {
		changed := maps.Clone(two)
		changed[name] = value
		return changed
	}
	tests := map[string]struct {
		env  map[string]string
		want contract.Nodes
		says string
	}{
		"nothing is set":        {nil, contract.Nodes{Count: 1, Attempt: 1}, ""},
		"the second of two":     {two, contract.Nodes{Index: 1, Count: 2, Attempt: 3, Master: "run-0.lethe-run.team.svc:29500"}, ""},
		"no node 0":             {without(contract.EnvMasterAddr, ""), contract.Nodes{}, contract.EnvMasterAddr},
		"a port that is none":   {without(contract.EnvMasterPort, "0"), contract.Nodes{}, contract.EnvMasterPort},
		"a count that is none":  {without(contract.EnvNodeCount, "two"), contract.Nodes{}, contract.EnvNodeCount},
		"an index out of range": {without(contract.EnvNodeIndex, "2"), contract.Nodes{}, "node 2 of 2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := contract.NodesFromEnvironment(func(name string) string { return test.env[name] })
			if (err == nil) != (test.says == "") || err != nil && (!errors.Is(err, contract.ErrEnvironment) || !strings.Contains(err.Error(), test.says)) {
				t.Fatalf("error %v, want one that says %q", err, test.says)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDamagedCheckpointIsSetAsideUnderAHiddenName(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), contract.CheckpointName(7)
	if err := contract.WriteFile(dir, name, []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	if err := contract.SetAside(dir, name); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"." + name + ".unreadable"}, list(t, dir)); diff != "" {
		t.Errorf("what does not begin with a dot is stored as a checkpoint (-want +got):\n%s", diff)
	}
}

func TestProgressIsOneObjectPerLine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "progress.jsonl")
	at := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.FixedZone("east", 3600))
	for epoch := 1; epoch <= 2; epoch++ {
		err := contract.AppendProgress(file, contract.Progress{
			Time: at, Epoch: epoch, Epochs: 4, Step: epoch * 10, TotalSteps: 40, Percent: float64(epoch) * 25,
			Metrics: map[string]float64{"loss": 0.5, "accuracy": math.NaN(), "speed": math.Inf(1)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"time":"2026-01-02T02:04:05.6Z","epoch":1,"epochs":4,"step":10,"totalSteps":40,"percent":25,"metrics":{"loss":0.5}}
{"time":"2026-01-02T02:04:05.6Z","epoch":2,"epochs":4,"step":20,"totalSteps":40,"percent":50,"metrics":{"loss":0.5}}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line := range strings.Lines(string(got)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func TestWriteFileReplacesAndLeavesNothingElse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	for _, content := range []string{"a longer first version", "second"} {
		if err := contract.WriteFile(dir, "model.json", []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "model.json"))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != content {
			t.Errorf("read %q, want %q", got, content)
		}
	}
	if diff := cmp.Diff([]string{"model.json"}, list(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestWriteFileKeepsTheOldFileWhenItFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := contract.WriteFile(dir, "model.json", []byte("old")); err != nil {
		t.Fatal(err)
	}
	// A folder in the temporary file's place makes the write fail, for root too.
	if err := os.Mkdir(filepath.Join(dir, ".model.json.tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := contract.WriteFile(dir, "model.json", []byte("new")); err == nil {
		t.Fatal("no error")
	}
	if got, err := os.ReadFile(filepath.Join(dir, "model.json")); err != nil || string(got) != "old" {
		t.Errorf("read %q, %v; want the old content", got, err)
	}
}

func TestCheckpointsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{
		contract.CheckpointName(900), contract.CheckpointName(1000), contract.CheckpointName(20),
		".checkpoint-00002000.json.tmp", "checkpoint-3000.json", "checkpoint-x.json", "model.json",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, contract.CheckpointName(5000)), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := contract.Checkpoints(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"checkpoint-00001000.json", "checkpoint-00000900.json", "checkpoint-00000020.json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := contract.PruneCheckpoints(dir, 1); err != nil {
		t.Fatal(err)
	}
	if got, err = contract.Checkpoints(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[:1], got); diff != "" {
		t.Errorf("after pruning (-want +got):\n%s", diff)
	}
}

func TestMissingCheckpointFolderHasNone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "absent")
	if got, err := contract.Checkpoints(dir); err != nil || len(got) != 0 {
		t.Errorf("%v, %v; want none", got, err)
	}
	if err := contract.PruneCheckpoints(dir, 1); err != nil {
		t.Errorf("prune: %v", err)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
