package site

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindTakesTheCloneAroundAndTheOverrides(t *testing.T) {
	t.Parallel()
	repo := t.TempDir()
	below := filepath.Join(repo, "hack", "lab")
	if err := os.MkdirAll(below, 0o750); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		filepath.Join(repo, "go.mod"):  "module github.com/lethe-dev/lethe\n",
		filepath.Join(below, "go.mod"): "module github.com/lethe-dev/lethe/hack/lab\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		env  map[string]string
		want Site
	}{
		"by default":               {want: Site{Repo: repo, Cache: repo + "/.cache", State: DefaultState}},
		"a cache elsewhere":        {env: map[string]string{"LETHE_CACHE": "/c"}, want: Site{Repo: repo, Cache: "/c", State: DefaultState}},
		"a cache from the clone":   {env: map[string]string{"LETHE_CACHE": "c"}, want: Site{Repo: repo, Cache: repo + "/c", State: DefaultState}},
		"a state folder for tests": {env: map[string]string{"LETHE_LAB_STATE": "/s"}, want: Site{Repo: repo, Cache: repo + "/.cache", State: "/s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Find(below, func(key string) string { return test.env[key] })
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestFindOutsideOfACloneSaysSo(t *testing.T) {
	t.Parallel()
	if _, err := Find(t.TempDir(), func(string) string { return "" }); err == nil {
		t.Error("found a clone where there is none")
	}
}
