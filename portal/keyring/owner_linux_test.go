package keyring_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lethe-dev/lethe/portal/keyring"
)

// The user and the group of the portal's Pod, and another one.
const (
	podUser  = 65532
	podGroup = 65532
	stranger = 1234
)

// TestLoadForTheOneBelow is no test: it is what TestAFileOfRootsMayBeReadByItsGroup runs as
// another user, with the file as its argument.
func TestLoadForTheOneBelow(t *testing.T) {
	t.Parallel()
	if flag.NArg() == 0 {
		return
	}
	if _, err := keyring.Load(flag.Arg(0)); err != nil {
		t.Fatal(err)
	}
}

// TestAFileOfRootsMayBeReadByItsGroup: what a Secret looks like in a Pod is taken, and nothing
// that lets more people read.
func TestAFileOfRootsMayBeReadByItsGroup(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: only root can make files of others, and be another user")
	}
	const ours = "may be read or written by others"
	for name, test := range map[string]struct {
		owner, group int
		mode         os.FileMode
		// refused is in the error; "" if the file is taken.
		refused string
	}{
		"a Secret with defaultMode 0400 and fsGroup":   {0, podGroup, 0o440, ""},
		"the group may read, root write":               {0, podGroup, 0o640, ""},
		"our own":                                      {podUser, podGroup, 0o600, ""},
		"our own, which the group may read":            {podUser, podGroup, 0o640, ours},
		"another user's, which the group may read":     {stranger, podGroup, 0o640, ours},
		"root's, which everybody may read":             {0, podGroup, 0o444, ours},
		"root's, which the group may write":            {0, podGroup, 0o660, ours},
		"root's, which others may run":                 {0, podGroup, 0o441, ours},
		"a Secret with defaultMode 0400 and no group":  {0, 0, 0o400, "permission denied"},
		"root's, whose group is not one of the portal": {0, stranger, 0o640, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path := filepath.Join(folder, "portal.keys")
			if err := os.WriteFile(path, read(t, newFile(t)), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{os.Chmod(folder, 0o755), os.Chmod(filepath.Dir(folder), 0o755), os.Chown(path, test.owner, test.group), os.Chmod(path, test.mode)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			checkLoads(t, path, test.refused)
		})
	}
}

// checkLoads loads a file in a process of the Pod's user and group.
func checkLoads(t *testing.T, path, refused string) {
	t.Helper()
	// By this name, because the folder of the test's program is root's alone.
	child := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestLoadForTheOneBelow$", path)
	child.Env, child.Dir = []string{}, "/"
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: podUser, Gid: podGroup}}
	out, err := child.CombinedOutput()
	if (err != nil) != (refused != "") || !strings.Contains(string(out), refused) {
		t.Errorf("got %v, want %q in:\n%s", err, refused, out)
	}
}
