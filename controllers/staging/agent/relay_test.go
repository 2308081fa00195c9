package agent_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// tells lets the trainer append to its progress file after a while.
func (w *world) tells(t *testing.T, at time.Duration, text string) {
	t.Helper()
	w.after(at, func() {
		f, err := os.OpenFile(filepath.Join(w.folder, "progress.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		_, err = f.WriteString(text)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Each case is a trainer that runs for five minutes, and the last that the broker hears.
func TestTheBrokerIsToldWhatTheTrainerTells(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		arrange func(*testing.T, *world)
		// count of messages and the last of them, but for its number.
		count int
		want  staging.ProgressRequest
	}{
		"nothing, but that it is there": {
			arrange: func(*testing.T, *world) {}, count: 5, want: staging.ProgressRequest{IdleSeconds: 290},
		},
		"everything": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.tells(t, 2*time.Second, `{"time":"2026-01-02T03:04:05Z","epoch":1,"epochs":4,"step":10,"totalSteps":40,"percent":25,"metrics":{"loss":0.5}}`+"\n")
				w.tells(t, 4*time.Minute+57*time.Second, `{"epoch":2,"step":20,"percent":50,"metrics":{"loss":0.25,"accuracy":0.9},"other":[{}]}`+"\n")
			},
			// At once, each minute while nothing is new, and at the end.
			count: 6,
			want: staging.ProgressRequest{
				Percent: ptr.To(50.), Epoch: ptr.To[int64](2), Epochs: ptr.To[int64](4), Step: ptr.To[int64](20),
				TotalSteps: ptr.To[int64](40), Metrics: map[string]float64{"loss": 0.25, "accuracy": 0.9},
				RemainingSeconds: ptr.To[int64](590),
			},
		},
		"steps, from which the rest follows": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				for i := range 240 {
					w.tells(t, time.Duration(i)*time.Second+time.Second/2, fmt.Sprintf(`{"step":%d,"totalSteps":1000}`+"\n", 500+i))
				}
			},
			count: 25, // Every ten seconds for four minutes.
			want: staging.ProgressRequest{
				Percent: ptr.To(73.9), Step: ptr.To[int64](739), TotalSteps: ptr.To[int64](1000),
				RemainingSeconds: ptr.To[int64](256), IdleSeconds: 5,
			},
		},
		"in a line that comes in pieces": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.tells(t, time.Second, `{"step":1}`+"\n"+`{"st`)
				w.tells(t, time.Minute, `ep":2}`)
				w.tells(t, 2*time.Minute+time.Second, "\n")
			},
			count: 5, want: staging.ProgressRequest{Step: ptr.To[int64](2), IdleSeconds: 120},
		},
		"in a file that is begun anew": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.tells(t, time.Second, `{"step":1,"epoch":1}`+"\n"+strings.Repeat("\n", 1000))
				w.after(time.Minute, func() {
					if err := os.Remove(filepath.Join(w.folder, "progress.jsonl")); err != nil {
						t.Error(err)
					}
				})
				w.tells(t, 2*time.Minute+time.Second, `{"step":2}`+"\n")
			},
			count: 5, want: staging.ProgressRequest{Step: ptr.To[int64](2), Epoch: ptr.To[int64](1), IdleSeconds: 120},
		},
		"behind more than is read": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.tells(t, time.Second, strings.Repeat(`{"step":1}`+"\n", 300_000)+`{"step":2}`+"\n")
			},
			count: 5, want: staging.ProgressRequest{Step: ptr.To[int64](2), IdleSeconds: 240},
		},
		"by its checkpoints": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.after(4*time.Minute+1*time.Second, func() { write(t, w.folder, map[string][]byte{"checkpoints/tmp-x": {1}}) })
			},
			count: 5, want: staging.ProgressRequest{IdleSeconds: 45},
		},
		"by its output": {
			arrange: func(_ *testing.T, w *world) {
				spoken := bubble.Now().Add(3 * time.Minute)
				w.broker.output = func(asked staging.LogRequest) (staging.LogAnswer, error) {
					if bubble.Now().Before(spoken) || asked.Since.Equal(spoken) {
						return staging.LogAnswer{Last: asked.Since}, nil
					}
					return staging.LogAnswer{Lines: []byte(spoken.Format(time.RFC3339Nano) + " hello\n"), Last: spoken}, nil
				}
			},
			count: 5, want: staging.ProgressRequest{IdleSeconds: 110},
		},
		"not by a pipe": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				if err := syscall.Mkfifo(filepath.Join(w.folder, "progress.jsonl"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			count: 5, want: staging.ProgressRequest{IdleSeconds: 290},
		},
		"not by a link that leads elsewhere": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				outside := t.TempDir()
				write(t, outside, map[string][]byte{"x": []byte(`{"step":1}` + "\n")})
				if err := os.Symlink(filepath.Join(outside, "x"), filepath.Join(w.folder, "progress.jsonl")); err != nil {
					t.Fatal(err)
				}
			},
			count: 5, want: staging.ProgressRequest{IdleSeconds: 290},
		},
		"after the broker was away": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.tells(t, time.Second, `{"step":1}`+"\n")
				start := bubble.Now()
				w.broker.progress = func(staging.ProgressRequest) error {
					if bubble.Since(start) < 2*time.Minute+3*time.Second {
						return errors.New("no route to the broker")
					}
					return nil
				}
			},
			count: 3, want: staging.ProgressRequest{Step: ptr.To[int64](1), IdleSeconds: 240},
		},
		"not to a broker that does not want it": {
			arrange: func(t *testing.T, w *world) {
				t.Helper()
				w.tells(t, time.Second, `{"step":1}`+"\n")
				w.broker.progress = func(staging.ProgressRequest) error {
					return problem(http.StatusForbidden, staging.ProblemForbidden)
				}
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				w.broker.output = func(asked staging.LogRequest) (staging.LogAnswer, error) {
					return staging.LogAnswer{Last: asked.Since}, nil
				}
				tc.arrange(t, w)
				w.trainsFor(5*time.Minute, 0)
				report, code := w.stageOut(t.Context())
				if code != staging.ExitOK || !report.Published {
					t.Errorf("exit %d: %+v", code, report)
				}
				told := w.broker.told
				if len(told) != tc.count {
					t.Fatalf("%d messages, want %d: %+v", len(told), tc.count, told)
				}
				if tc.count == 0 {
					return
				}
				for i := 1; i < len(told); i++ {
					if told[i].Sequence <= told[i-1].Sequence {
						t.Errorf("the number %d follows %d", told[i].Sequence, told[i-1].Sequence)
					}
				}
				last := told[len(told)-1]
				last.Sequence = 0
				if diff := cmp.Diff(tc.want, last); diff != "" {
					t.Errorf("last message (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestTheNumbersOfMessagesGrowAlsoInAnotherStageOut(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		write(t, folder, map[string][]byte{"progress.jsonl": []byte(`{"step":1}` + "\n")})
		for range 2 {
			w.trainsFor(2*time.Minute, 1)
			if _, code := w.stageOut(t.Context()); code != staging.ExitOK {
				t.Fatalf("exit %d", code)
			}
			bubble.Sleep(time.Second) // No container starts sooner.
		}
		for i := 1; i < len(w.broker.told); i++ {
			if w.broker.told[i].Sequence <= w.broker.told[i-1].Sequence {
				t.Errorf("the number %d follows %d", w.broker.told[i].Sequence, w.broker.told[i-1].Sequence)
			}
		}
	})
}
