package selftest

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var destroy = flag.Bool("destroy-lab", false, "take down the lab of this machine and test with it")

// TestDownLeavesNothing brings the lab up, harms it in each of these ways,
// takes it down, and compares the machine with how it was before.
func TestDownLeavesNothing(t *testing.T) { //nolint:paralleltest // There is one lab per machine.
	if !*destroy {
		t.Skip("NOT TESTED: that lab down leaves nothing behind; it destroys the lab of this machine, so say -destroy-lab")
	}
	lab := buildLab(t)
	lab("down")
	before := snapshot(t)

	for name, harm := range map[string]func(t *testing.T){
		"nothing is harmed":                 func(*testing.T) {},
		"containerd and kubelet are killed": func(t *testing.T) { t.Helper(); kill(t, "containerd", "kubelet") },
		"every component is killed":         func(t *testing.T) { t.Helper(); kill(t, components(t)...) },
		"the records of what runs are lost": func(t *testing.T) { t.Helper(); remove(t, "run/components") },
		"most of the state folder is lost":  func(t *testing.T) { t.Helper(); remove(t, "credentials.json", "bin", "etc", "boot") },
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // As above.
			lab("up")
			harm(t)
			lab("down")
			if diff := cmp.Diff(before, snapshot(t)); diff != "" {
				t.Errorf("the machine differs from before (-before +after):\n%s", diff)
			}
		})
	}
	lab("down")
}

// buildLab builds the lab command and returns a function that must succeed running it.
func buildLab(t *testing.T) func(args ...string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "lab")
	must := func(name string, args ...string) {
		t.Helper()
		out, err := exec.CommandContext(context.Background(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		t.Logf("%s %v\n%s", filepath.Base(name), args, out)
	}
	must("go", "build", "-o", program, "../cmd/lab")
	return func(args ...string) { t.Helper(); must(program, args...) }
}

func components(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, path := range glob(t, "/var/lib/lethe-lab/run/components/*.json") {
		name := filepath.Base(path)
		names = append(names, name[:len(name)-len(".json")])
	}
	return names
}

func kill(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		data, err := os.ReadFile("/var/lib/lethe-lab/run/components/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var record struct{ PID int }
		if err := json.Unmarshal(data, &record); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(record.PID, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s: %v", name, err)
		}
	}
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.RemoveAll(filepath.Join("/var/lib/lethe-lab", path)); err != nil {
			t.Fatal(err)
		}
	}
}
