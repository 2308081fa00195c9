package daemon

import (
	"os"
	"syscall"
	"testing"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const rest = " 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 424242 99 100"
	for name, test := range map[string]struct {
		stat  string
		state byte
		fails bool
	}{
		"a plain name":                     {stat: "7 (etcd) S" + rest, state: 'S'},
		"a name of blanks and parentheses": {stat: "7 (a) R (b c) Z" + rest, state: 'Z'},
		"a line cut short":                 {stat: "7 (etcd) S 1 2", fails: true},
		"no name at all":                   {stat: "", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start, state, err := parseStat(test.stat)
			if (err != nil) != test.fails {
				t.Fatalf("error: %v, want one: %t", err, test.fails)
			}
			if test.fails {
				return
			}
			if start != 424242 || state != test.state {
				t.Errorf("got start %d state %c, want 424242 %c", start, state, test.state)
			}
		})
	}
}

func TestHasVariableMatchesWholeEntriesOnly(t *testing.T) {
	t.Parallel()
	environ := []byte("A=1\x00LETHE_LAB=/var/lib/lethe-lab\x00B=2\x00")
	for variable, want := range map[string]bool{
		"LETHE_LAB=/var/lib/lethe-lab":       true,
		"LETHE_LAB=/var/lib/lethe":           false,
		"LETHE_LAB=/var/lib/lethe-lab/other": false,
		"LAB=/var/lib/lethe-lab":             false,
	} {
		if got := HasVariable(environ, variable); got != want {
			t.Errorf("HasVariable(%q) = %t, want %t", variable, got, want)
		}
	}
}

func TestInCgroup(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cgroups string
		want    bool
	}{
		"a pod with cgroup v1":   {cgroups: "8:pids:/lethe-lab/kubepods/pod1\n1:cpu:/\n", want: true},
		"a pod with cgroup v2":   {cgroups: "0::/lethe-lab/kubepods/besteffort/pod1/c\n", want: true},
		"the root itself":        {cgroups: "0::/lethe-lab\n", want: true},
		"another's alike name":   {cgroups: "0::/lethe-lab-2/x\n"},
		"deeper below another's": {cgroups: "0::/user/lethe-lab/x\n"},
		"no cgroup":              {cgroups: "0::/\n"},
		"a process that is gone": {cgroups: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := InCgroup(test.cgroups, "lethe-lab"); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func TestARecycledProcessIDIsNotTheProcess(t *testing.T) {
	t.Parallel()
	self, _, err := inspect(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !self.Alive() {
		t.Error("we are not alive")
	}
	earlier := Process{PID: self.PID, Start: self.Start - 1}
	if earlier.Alive() {
		t.Error("an earlier process of our id is alive")
	}
	if err := earlier.Kill(syscall.SIGKILL); err != nil {
		t.Errorf("kill a process that is gone: %v", err)
	}
}
