package agent_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// always gives the same key with each grant.
func always(key string) func(int) []byte { return func(int) []byte { return []byte(key) } }

// TestTheKeyOfAStepStaysTheSame renews the grant of a download that takes longer
// than one lives.
func TestTheKeyOfAStepStaysTheSame(t *testing.T) {
	t.Parallel()
	const other = "Another-canary-of-just-32-bytes!"
	cases := map[string]struct {
		keys func(ask int) []byte
		code int
	}{
		"one key":                        {keys: always(canary)},
		"no key":                         {keys: always("")},
		"another key":                    {keys: func(ask int) []byte { return []byte([]string{canary, other}[min(ask-1, 1)]) }, code: staging.ExitDenied},
		"a key where there was none":     {keys: func(ask int) []byte { return []byte([]string{"", canary}[min(ask-1, 1)]) }, code: staging.ExitDenied},
		"none where there was a key":     {keys: func(ask int) []byte { return []byte([]string{canary, ""}[min(ask-1, 1)]) }, code: staging.ExitDenied},
		"another key after two the same": {keys: func(ask int) []byte { return []byte([]string{canary, canary, other}[min(ask-1, 2)]) }, code: staging.ExitDenied},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				files := map[string][]byte{}
				for i := range 200 {
					files[strings.Repeat("x", i+1)] = noise(10)
				}
				w.seal(t, files)
				w.broker.keys = tc.keys
				w.parallel.Small = 2
				w.store.faults = func(call) fault { return fault{slow: 59 * time.Second} } // 3.3 h; a grant lives for 2.
				report, code := w.stageIn(t.Context())
				if code != tc.code || (code != 0 && !strings.Contains(report.Message, "another key than before")) {
					t.Errorf("exit %d, want %d: %s", code, tc.code, report.Message)
				}
				if got := tree(t, folder); tc.code == 0 {
					if diff := cmp.Diff(sums("dataset", files), got); diff != "" {
						t.Errorf("volume (-want +got):\n%s", diff)
					}
				}
				for _, key := range []string{canary, other} {
					if shows(w.log.String()+fmt.Sprintf("%+v", report), key) {
						t.Errorf("the log or the report shows the key:\n%s", w.log.String())
					}
				}
			})
		})
	}
}

// TestWhatIsNotUnderTheKeyIsDamage: to wait for it would help nobody.
func TestWhatIsNotUnderTheKeyIsDamage(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"the manifest": prefix + "manifest.jsonl", "a small file": smallKey, "a large file": largeKey,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				w.seal(t, dataset())
				w.broker.keys = always(canary)
				w.store.faults = func(c call) fault {
					if c.key == key {
						return fault{err: fmt.Errorf("get object: %w", objectstore.ErrKey)}
					}
					return fault{}
				}
				started := bubble.Now()
				report, code := w.stageIn(t.Context())
				if code != staging.ExitDatasetCorrupt || !strings.Contains(report.Message, "not under the dataset's own key") ||
					!strings.Contains(report.Message, "Upload the data again") {
					t.Errorf("exit %d: %s", code, report.Message)
				}
				if waited := bubble.Since(started); waited > 0 {
					t.Errorf("waited %s for another key", waited)
				}
				if shows(w.log.String(), canary) {
					t.Error("the log shows the key")
				}
			})
		})
	}
}

func TestTheReasonForWhichNoStoreCanBeUsedIsTold(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err  error
		code int
		says string
	}{
		"a failure that is explained": {&agent.Failure{Exit: staging.ExitDenied, Message: "do this"}, staging.ExitDenied, "do this"},
		"any other":                   {errors.New("no certificate"), staging.ExitUsage, "address or certificates are wrong"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t.TempDir())
			w.broker.digest = "sha256:digits"
			o := w.options()
			o.Connect = func(staging.StoreGrant, agent.CredentialsFunc) (agent.Store, error) { return nil, tc.err }
			report, err := agent.StageIn(t.Context(), agent.StageInOptions{Options: o, DatasetDir: w.folder + "/dataset"})
			report = agent.Conclude(report, err)
			if code := agent.ExitCode(err); code != tc.code || !strings.Contains(report.Message, tc.says) {
				t.Errorf("exit %d, %q; want %d with %q", code, report.Message, tc.code, tc.says)
			}
		})
	}
}
