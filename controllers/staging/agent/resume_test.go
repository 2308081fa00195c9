package agent_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// Each case is what an earlier try, or somebody else, left on the volume. The
// dataset must arrive, and nothing outside of the volume may be touched.
func TestStageInStartsFromWhatIsThere(t *testing.T) {
	t.Parallel()
	whole := func(below string) func(*testing.T, string, string) {
		return func(t *testing.T, volume, _ string) {
			t.Helper()
			write(t, filepath.Join(volume, below), dataset())
		}
	}
	link := func(name string) func(*testing.T, string, string) {
		return func(t *testing.T, volume, outside string) {
			t.Helper()
			name := filepath.Join(volume, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := map[string]struct {
		leave func(t *testing.T, volume, outside string)
		// fetched is how many files are downloaded.
		fetched int
	}{
		"nothing":                          {leave: func(*testing.T, string, string) {}, fetched: 5},
		"a complete dataset":               {leave: whole("dataset"), fetched: 0},
		"all files, not yet moved":         {leave: whole(".stage-in/files"), fetched: 0},
		"an empty folder for the dataset":  {leave: func(t *testing.T, v, _ string) { t.Helper(); write(t, v, nil); mkdir(t, v, "dataset") }, fetched: 5},
		"an empty folder beside the files": {leave: func(t *testing.T, v, o string) { t.Helper(); whole(".stage-in/files")(t, v, o); mkdir(t, v, "dataset") }, fetched: 0},
		"a shorter file": {
			leave: func(t *testing.T, v, o string) {
				t.Helper()
				whole(".stage-in/files")(t, v, o)
				write(t, v, map[string][]byte{".stage-in/files/a/deep/secret.bin": noise(10)})
			},
			fetched: 1,
		},
		"a file of the right size with other bytes": {
			leave: func(t *testing.T, v, o string) {
				t.Helper()
				whole(".stage-in/files")(t, v, o)
				write(t, v, map[string][]byte{".stage-in/files/large.bin": make([]byte, 33*mib+7)})
			},
			fetched: 1,
		},
		"parts and an old manifest": {
			leave: func(t *testing.T, v, _ string) {
				t.Helper()
				write(t, v, map[string][]byte{".stage-in/parts/4": noise(5), ".stage-in/manifest.jsonl": noise(9)})
			},
			fetched: 5,
		},
		"a link for the working folder":     {leave: link(".stage-in"), fetched: 5},
		"a link for the files":              {leave: link(".stage-in/files"), fetched: 5},
		"a link for the parts":              {leave: link(".stage-in/parts"), fetched: 5},
		"a link for the dataset":            {leave: link("dataset"), fetched: 5},
		"a link for a folder of a dataset":  {leave: link("dataset/a"), fetched: 5},
		"a link for a folder of the files":  {leave: link(".stage-in/files/a/deep"), fetched: 5},
		"a link for a file":                 {leave: link(".stage-in/files/z"), fetched: 5},
		"a file for the working folder":     {leave: func(t *testing.T, v, _ string) { t.Helper(); write(t, v, map[string][]byte{".stage-in": {}}) }, fetched: 5},
		"something of others on the volume": {leave: func(t *testing.T, v, _ string) { t.Helper(); mkdir(t, v, "lost+found") }, fetched: 5},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume, outside := t.TempDir(), t.TempDir()
			mine := map[string][]byte{"z": []byte("mine"), "deep/secret.bin": []byte("mine"), "files/z": []byte("mine")}
			write(t, outside, mine)
			tc.leave(t, volume, outside)
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(volume)
				w.seal(t, dataset())
				if report, code := w.stageIn(t.Context()); code != staging.ExitOK {
					t.Fatalf("exit %d: %s", code, report.Message)
				}
				if diff := cmp.Diff(sums("dataset", dataset()), tree(t, volume)); diff != "" {
					t.Errorf("volume (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(sums("", mine), tree(t, outside)); diff != "" {
					t.Errorf("outside of the volume (-want +got):\n%s", diff)
				}
				if got := w.store.fetched(); got != tc.fetched {
					t.Errorf("fetched %d files, want %d", got, tc.fetched)
				}
			})
		})
	}
}

// fetched counts the files that were asked for at all.
func (m *memoryStore) fetched() int {
	keys := map[string]bool{}
	for _, c := range m.calls {
		keys[c.key] = true
	}
	return len(keys) - 1 // the manifest
}

func mkdir(t *testing.T, volume, name string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(volume, name), 0o750); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatIsNotOfTheDatasetKeepsItFromAppearing(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	write(t, volume, map[string][]byte{".stage-in/files/planted": []byte("x")})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(volume)
		w.seal(t, dataset())
		report, code := w.stageIn(t.Context())
		if code != staging.ExitIOError {
			t.Errorf("exit %d: %s, want %d", code, report.Message, staging.ExitIOError)
		}
		if _, err := os.Stat(filepath.Join(volume, "dataset")); err == nil {
			t.Error("the dataset appeared")
		}
	})
}
