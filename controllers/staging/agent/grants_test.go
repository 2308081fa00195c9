package agent_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// Each case is a download of a dataset that takes longer than credentials live
// (2 h), and what broker and store think of that.
func TestCredentialsAreRenewedWhileDataMoves(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		arrange func(*world)
		granted int
		code    int
		message string
	}{
		"renewed at half of their life": {
			arrange: func(*world) {}, granted: 4,
		},
		"the old ones serve while the operator is away": {
			arrange: func(w *world) {
				start := bubble.Now()
				w.broker.refuse = func(int) error {
					if gone := bubble.Since(start); gone > 30*time.Minute && gone < 110*time.Minute {
						return errors.New("no route to the broker")
					}
					return nil
				}
			},
			granted: 3,
		},
		"all wait when the operator is away for longer": {
			arrange: func(w *world) {
				start := bubble.Now()
				w.broker.refuse = func(int) error {
					if gone := bubble.Since(start); gone > 30*time.Minute && gone < 300*time.Minute {
						return errors.New("no route to the broker")
					}
					return nil
				}
			},
			granted: 3,
		},
		"they end early in the store's eyes": {
			arrange: func(w *world) {
				start := bubble.Now()
				w.store.accepts = func(key string) bool { return key != "key-1" || bubble.Since(start) < 10*time.Minute }
			},
			granted: 5,
		},
		"the broker refuses the next ones": {
			arrange: func(w *world) {
				w.broker.refuse = func(ask int) error {
					if ask == 1 {
						return nil
					}
					return problem(http.StatusGone, staging.ProblemDatasetErasing)
				}
			},
			granted: 1, code: staging.ExitDenied, message: "(DatasetErasing)",
		},
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
				w.parallel.Small = 2
				// 200 files by 2 workers, two reads of 59 s each: 3.3 h.
				w.store.faults = func(call) fault { return fault{slow: 59 * time.Second} }
				tc.arrange(w)
				report, code := w.stageIn(t.Context())
				if code != tc.code || !strings.Contains(report.Message, tc.message) {
					t.Fatalf("exit %d: %s\n%s", code, report.Message, w.log.String())
				}
				if w.broker.granted != tc.granted {
					t.Errorf("%d grants in %v, want %d", w.broker.granted, w.log.String(), tc.granted)
				}
				if tc.code != staging.ExitOK {
					return
				}
				if diff := cmp.Diff(sums("dataset", files), tree(t, folder)); diff != "" {
					t.Errorf("volume (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestOneCallerAsksTheBrokerForAll(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.seal(t, dataset())
		w.store.accepts = func(key string) bool { return key != "key-1" }
		if report, code := w.stageIn(context.WithoutCancel(t.Context())); code != staging.ExitOK {
			t.Fatalf("exit %d: %s", code, report.Message)
		}
		if w.broker.asked != 2 {
			t.Errorf("asked the broker %d times, want 2", w.broker.asked)
		}
	})
}
