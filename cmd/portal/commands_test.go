package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// office is where commands are typed.
type office struct {
	t   *testing.T
	dir string
	env []string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	dir := t.TempDir()
	return &office{t, dir, []string{
		"LETHE_PORTAL_DATABASE=" + filepath.Join(dir, "portal.db"), "LETHE_PORTAL_KEY_FILE=" + filepath.Join(dir, "portal.keys"),
		"LETHE_PORTAL_ORIGIN=https://portal.example.org", "LETHE_PORTAL_HASH_MEMORY=19",
	}}
}

// types runs a command and gives what it prints, errors too.
func (o *office) types(want int, args ...string) string {
	o.t.Helper()
	var out, errOut bytes.Buffer
	if got := run(o.t.Context(), args, o.env, &out, &errOut); got != want {
		o.t.Errorf("portal %s: status %d, want %d: %s%s", strings.Join(args, " "), got, want, out.String(), errOut.String())
	}
	return out.String() + errOut.String()
}

func (o *office) says(text, want string) {
	o.t.Helper()
	if !strings.Contains(text, want) {
		o.t.Errorf("it does not say %q: %s", want, text)
	}
}

func TestCommandsOfALife(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.says(o.types(exitFailed, "admin", "invite", "ada@people.example"), "portal keys create")
	o.types(exitOK, "keys", "create")
	o.says(o.types(exitFailed, "keys", "create"), "exists")
	o.says(o.types(exitFailed, "purge"), "portal migrate")
	o.types(exitOK, "migrate")
	o.types(exitOK, "migrate")
	o.says(o.types(exitOK, "audit", "verify"), "has 0 rows")

	invited := o.types(exitOK, "admin", "invite", "ada@people.example", "--role", "security")
	o.says(invited, "https://portal.example.org/reset?token=")
	o.says(o.types(exitOK, "audit", "verify"), "has 1 rows")
	o.says(o.types(exitUsage, "admin", "invite", "ada@people.example", "--role=user"), "none of support")
	o.says(o.types(exitUsage, "admin", "invite", "ada"), "not an email address")
	o.says(o.types(exitOK, "purge"), "Removed: 0 security events")

	copied := filepath.Join(o.dir, "copy.db")
	o.types(exitOK, "backup", copied)
	o.types(exitFailed, "backup", copied)
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	restored := newOffice(t)
	restored.env = append(o.env, "LETHE_PORTAL_DATABASE="+filepath.Join(restored.dir, "again.db"))
	restored.says(restored.types(exitOK, "restore", copied), "portal migrate")
	restored.says(restored.types(exitFailed, "restore", copied), "is there already")
	restored.says(restored.types(exitOK, "audit", "verify"), "has 1 rows")
}

func TestKeysAreRotatedInSteps(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.types(exitOK, "keys", "create")
	o.types(exitOK, "migrate")
	o.says(o.types(exitOK, "keys", "rotate"), "k2 is the newest")
	o.says(o.types(exitOK, "keys", "reseal"), "0 seeds")
	o.says(o.types(exitUsage, "keys", "retire", "k9"), "the file has k1, k2")
	o.says(o.types(exitFailed, "keys", "retire", "k2"), "current")
	o.types(exitOK, "keys", "retire", "k1")
	o.says(o.types(exitUsage, "keys", "retire", "k1"), "the file has k2")
}

func TestWrongCommandsAreToldOff(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want int
		says string
	}{
		"no command":           {want: exitOK, says: "usage: portal COMMAND"},
		"help":                 {args: []string{"--help"}, want: exitOK, says: "LETHE_PORTAL_TRUSTED_PROXIES"},
		"help of a command":    {args: []string{"keys", "retire", "--help"}, want: exitOK, says: "--force"},
		"a command of nobody":  {args: []string{"dance"}, want: exitUsage, says: `no command "dance"`},
		"half a command":       {args: []string{"keys"}, want: exitUsage, says: `no command "keys"`},
		"a flag of nobody":     {args: []string{"serve", "--dance"}, want: exitUsage, says: "-dance"},
		"an argument too few":  {args: []string{"backup"}, want: exitUsage, says: "usage: portal backup FILE"},
		"an argument too many": {args: []string{"migrate", "now"}, want: exitUsage, says: "usage: portal migrate"},
		"all that serve lacks": {args: []string{"serve"}, want: exitUsage, says: "mail-server is required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &office{t: t}
			o.says(o.types(test.want, test.args...), test.says)
		})
	}
}

// TestHelpShowsNoPassword: what DATABASE_URL says is no default to print.
func TestHelpShowsNoPassword(t *testing.T) {
	t.Parallel()
	o := &office{t: t, env: []string{"DATABASE_URL=postgres://portal:hunter2@db/portal"}}
	if text := o.types(exitOK, "serve", "--help"); strings.Contains(text, "hunter2") {
		t.Error("the help shows the database's password")
	}
}
