package pytorch_test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python returns a command of python3 that writes no compiled files beside the sources.
func python(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: python3 is missing, so the PyTorch trainer is not checked")
	}
	command := exec.CommandContext(t.Context(), path, args...) // #nosec G204 -- fixed arguments of this test.
	command.Env = append(os.Environ(), "PYTHONPYCACHEPREFIX="+t.TempDir())
	return command
}

func TestPartsThatNeedNoTorch(t *testing.T) {
	t.Parallel()
	if out, err := python(t, "-m", "unittest", "discover", "-p", "test_*.py").CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestEveryFileCompiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.py")
	if err != nil || len(files) < 4 {
		t.Fatalf("found %v, %v", files, err)
	}
	if out, err := python(t, append([]string{"-m", "py_compile"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestSnippetsCompile: what people copy from the README is at least Python.
func TestSnippetsCompile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```python\n")[1:]
	if len(blocks) != 5 {
		t.Errorf("found %d snippets, want JAX, the common part, PyTorch, Lightning and Hugging Face", len(blocks))
	}
	for i, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		file := filepath.Join(t.TempDir(), "snippet.py")
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := python(t, "-m", "py_compile", file).CombinedOutput(); err != nil {
			t.Errorf("snippet %d: %v:\n%s", i+1, err, out)
		}
	}
}

// hasTorch is a python3 that can import torch; the one in the path may be another than the system's.
func hasTorch(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		path, err := exec.LookPath(name)
		if err == nil && exec.CommandContext(t.Context(), path, "-c", "import torch.distributed").Run() == nil { // #nosec G204 -- fixed names.
			return path
		}
	}
	t.Skip("SKIPPED: torch is missing, so train.py is compiled only, not run (Debian: apt-get install python3-torch)")
	return ""
}

// TestTwoProcessesLearnWhatOneDoes runs train.py for one epoch, alone and on two nodes.
func TestTwoProcessesLearnWhatOneDoes(t *testing.T) {
	t.Parallel()
	path := hasTorch(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err := errors.Join(err, listener.Close()); err != nil {
		t.Fatal(err)
	}
	train := func(extra ...string) (string, *exec.Cmd) {
		dir := t.TempDir()
		command := exec.CommandContext(t.Context(), path, "train.py", "--epochs=1") // #nosec G204 -- as above.
		command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "OMP_NUM_THREADS=1", "LETHE_CONTRACT_VERSION=1",
			"LETHE_DATASET_DIR=../digits/data", "LETHE_ARTIFACTS_DIR="+dir, "LETHE_CHECKPOINT_DIR="+dir+"/checkpoints",
			"LETHE_PROGRESS_FILE="+dir+"/progress.jsonl")
		command.Env = append(command.Env, extra...)
		return dir, command
	}
	alone, one := train()
	if out, err := one.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	nodes := []string{"LETHE_NODE_COUNT=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port}
	together, first := train(append(nodes, "LETHE_NODE_INDEX=0")...)
	other, second := train(append(nodes, "LETHE_NODE_INDEX=1")...)
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	if out, err := first.CombinedOutput(); err != nil {
		t.Errorf("node 0: %v:\n%s", err, out)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("node 1: %v", err)
	}
	want, got := lossIn(t, alone), lossIn(t, together)
	if got < 0.999*want || got > 1.001*want {
		t.Errorf("loss %v on two nodes, want the %v of one", got, want)
	}
	if left, err := os.ReadDir(other); err != nil || len(left) > 0 {
		t.Errorf("node 1 wrote something: %v, %v", left, err)
	}
}

func lossIn(t *testing.T, artifacts string) float64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(artifacts, "metrics.json"))
	if err != nil {
		t.Fatal(err)
	}
	var metrics struct{ Loss float64 }
	if err := json.Unmarshal(text, &metrics); err != nil || metrics.Loss == 0 {
		t.Fatalf("metrics %s: %v", text, err)
	}
	return metrics.Loss
}
