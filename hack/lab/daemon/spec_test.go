package daemon

import (
	"os"
	"testing"
)

func TestFingerprintChangesWithWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a.conf": "one"}
	read := func(path string) ([]byte, error) {
		content, ok := files[path]
		if !ok {
			return nil, os.ErrNotExist
		}
		return []byte(content), nil
	}
	base := func() Spec {
		return Spec{Name: "x", Exe: "/bin/x", Args: []string{"-a", "b"}, Env: []string{"K=v"}, Inputs: []string{"a.conf"}, Stamp: "s1"}
	}
	want, err := Fingerprint(base(), read)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change  func(*Spec)
		restart bool
	}{
		"nothing differs":         {change: func(*Spec) {}},
		"the log has moved":       {change: func(s *Spec) { s.Log = "/elsewhere" }},
		"another build":           {change: func(s *Spec) { s.Stamp = "s2" }, restart: true},
		"another argument":        {change: func(s *Spec) { s.Args = []string{"-a", "c"} }, restart: true},
		"arguments cut otherwise": {change: func(s *Spec) { s.Args = []string{"-a b"} }, restart: true},
		"another environment":     {change: func(s *Spec) { s.Env = nil }, restart: true},
		"an input less":           {change: func(s *Spec) { s.Inputs = nil }, restart: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := base()
			test.change(&spec)
			got, err := Fingerprint(spec, read)
			if err != nil {
				t.Fatal(err)
			}
			if restart := got != want; restart != test.restart {
				t.Errorf("restart: got %t, want %t", restart, test.restart)
			}
		})
	}
}

func TestFingerprintChangesWithTheContentOfAnInput(t *testing.T) {
	t.Parallel()
	spec := Spec{Name: "x", Inputs: []string{"a.conf"}}
	of := func(content string) string {
		print, err := Fingerprint(spec, func(string) ([]byte, error) { return []byte(content), nil })
		if err != nil {
			t.Fatal(err)
		}
		return print
	}
	if of("one") == of("two") {
		t.Error("a changed configuration file does not restart its program")
	}
}

func TestFingerprintNeedsEveryInput(t *testing.T) {
	t.Parallel()
	missing := func(string) ([]byte, error) { return nil, os.ErrNotExist }
	if _, err := Fingerprint(Spec{Name: "x", Inputs: []string{"gone"}}, missing); err == nil {
		t.Error("a missing input is no error")
	}
}
