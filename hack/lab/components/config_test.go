package components

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/lab/site"
)

func TestReachableNameserversLeavesOutWhatAPodCannotReach(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		resolvConf string
		want       []string
	}{
		"servers of the network": {resolvConf: "search x\nnameserver 10.0.0.2\nnameserver 2001:db8::1\n", want: []string{"10.0.0.2", "2001:db8::1"}},
		"a resolver on the host": {resolvConf: "nameserver 127.0.0.53\noptions edns0\n"},
		"a comment and nonsense": {resolvConf: "# nameserver 1.2.3.4\nnameserver\nnameserver x\n"},
		"nothing":                {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, reachableNameservers(test.resolvConf)); diff != "" {
				t.Errorf("servers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryInputOfEveryComponentIsWritten(t *testing.T) {
	t.Parallel()
	s := site.Site{State: t.TempDir()}
	if err := WriteConfig(s, "a2V5", "pause"); err != nil {
		t.Fatal(err)
	}
	if err := IssueAll(s, fixedNow); err != nil {
		t.Fatal(err)
	}
	for _, c := range All(s, Store{}, nil) {
		for _, input := range c.Inputs {
			content, err := os.ReadFile(input)
			if err != nil {
				t.Errorf("%s reads %s: %v", c.Name, input, err)
			}
			if strings.Contains(string(content), "{{") {
				t.Errorf("%s has an unfilled place", input)
			}
		}
	}
}

func TestWritingConfigurationAgainTouchesNothing(t *testing.T) {
	t.Parallel()
	s := site.Site{State: t.TempDir()}
	path := configFile(s, "kube-proxy.yaml")
	var before os.FileInfo
	for range 2 {
		if err := WriteConfig(s, "a2V5", "pause"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if before != nil && !os.SameFile(before, info) {
			t.Error("kube-proxy ends itself when its configuration is written again")
		}
		before = info
	}
}
