package pytorch_test

import (
	"os"
	"os/exec"
	"path/filepath"
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
