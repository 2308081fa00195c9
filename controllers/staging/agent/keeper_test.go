package agent_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// speaker is the trainer's output as the broker gives it.
type speaker struct {
	lines []spoken
	ended time.Time
}

type spoken struct {
	at   time.Time
	text string
}

func (s *speaker) says(after time.Duration, text string) {
	s.lines = append(s.lines, spoken{bubble.Now().Add(after), text})
}

func (s *speaker) line(i int) []byte {
	return []byte(s.lines[i].at.Format(time.RFC3339Nano) + " " + s.lines[i].text + "\n")
}

// all is what the whole output looks like.
func (s *speaker) all() []byte {
	var all []byte
	for i := range s.lines {
		all = append(all, s.line(i)...)
	}
	return all
}

func (s *speaker) answer(asked staging.LogRequest) (staging.LogAnswer, error) {
	now := bubble.Now()
	answer := staging.LogAnswer{Last: asked.Since, Ended: !now.Before(s.ended)}
	for i, l := range s.lines {
		line := s.line(i)
		switch {
		case !l.at.After(asked.Since) || l.at.After(now):
			continue
		case len(answer.Lines)+len(line) > staging.MaxLogChunk:
			answer.More = true
			return answer, nil
		}
		answer.Lines, answer.Last = append(answer.Lines, line...), l.at
	}
	return answer, nil
}

// speaks lets the trainer run for a while and say something.
func (w *world) speaks(d time.Duration, code int32) *speaker {
	s := &speaker{ended: bubble.Now().Add(d)}
	w.broker.output = s.answer
	w.trainsFor(d, code)
	return s
}

// logs are what is stored of the output, by name.
func (w *world) logs() map[string][]byte {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	got := map[string][]byte{}
	for key, data := range w.store.objects {
		if name, ok := strings.CutPrefix(key, prefix+"logs/attempt-0001/node-0/"); ok {
			got[name] = bytes.Clone(data)
		}
	}
	return got
}

// pieces joins the stored pieces in their order.
func pieces(logs map[string][]byte) []byte {
	var all []byte
	for _, name := range slices.Sorted(maps.Keys(logs)) {
		if strings.HasPrefix(name, "trainer-0") {
			all = append(all, logs[name]...)
		}
	}
	return all
}

func TestTheOutputOfATrainerIsKept(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		s := w.speaks(5*time.Minute, 1)
		for i := range 290 {
			s.says(time.Duration(i)*time.Second, fmt.Sprintf("line %d", i))
		}
		series := `{"step":1}` + "\n"
		w.tells(t, time.Minute, series)
		w.after(3*time.Minute, func() {
			if stored := len(pieces(w.logs())); stored < len(s.all())/3 {
				t.Errorf("%d of %d bytes are stored while it runs", stored, len(s.all()))
			}
		})
		report, code := w.stageOut(t.Context())
		if code != staging.ExitOK {
			t.Fatalf("exit %d: %+v", code, report)
		}
		want := map[string][]byte{"trainer-000001.log": s.all(), "progress.jsonl": []byte(series)}
		if diff := cmp.Diff(want, w.logs()); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
		if got := w.store.count("put", "trainer-000001.log"); got > 6 {
			t.Errorf("the piece was stored %d times in five minutes", got)
		}
		if !strings.HasSuffix(report.LogTail, "line 288\nline 289") || len(report.LogTail) > staging.MaxLogTail || !strings.HasPrefix(report.LogTail, "line ") {
			t.Errorf("log tail of %d bytes: %q", len(report.LogTail), report.LogTail)
		}
	})
}

func TestASuccessHasNoLogTail(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		w.speaks(time.Minute, 0).says(time.Second, "hello")
		report, code := w.stageOut(t.Context())
		if code != staging.ExitOK || report.LogTail != "" {
			t.Errorf("exit %d: %+v", code, report)
		}
	})
}

func TestOfALongOutputTheHeadAndTheTailAreKept(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		s := w.speaks(10*time.Minute, 1)
		text := strings.Repeat("x", 400_000)
		for i := range 200 { // 80 MB
			s.says(time.Duration(i)*2*time.Second, fmt.Sprintf("%d %s", i, text))
		}
		if report, code := w.stageOut(t.Context()); code != staging.ExitOK {
			t.Fatalf("exit %d: %+v", code, report)
		}
		all, logs := s.all(), w.logs()
		head, tail := pieces(logs), logs["trainer-tail.log"]
		if !bytes.HasPrefix(all, head) || len(head) < 64*mib || len(head) > 68*mib {
			t.Errorf("the head has %d bytes", len(head))
		}
		if !bytes.HasSuffix(all, tail) || len(tail) != 4*mib {
			t.Errorf("the tail has %d bytes", len(tail))
		}
		for name, data := range logs {
			if len(data) > 4*mib {
				t.Errorf("%s has %d bytes", name, len(data))
			}
		}
	})
}

// None of what goes wrong with the output is a failure of the run, nor holds it for long.
func TestOutputThatCanNotBeKeptFailsNothing(t *testing.T) {
	t.Parallel()
	isLog := func(c call) bool { return strings.Contains(c.key, "/logs/") }
	cases := map[string]struct {
		arrange func(*world, *speaker)
		// whole says that all of the output is stored in the end.
		whole bool
		tail  bool
		most  time.Duration
	}{
		"the store is away for a while": {
			arrange: func(w *world, _ *speaker) {
				start := bubble.Now()
				w.store.faults = func(c call) fault {
					if gone := bubble.Since(start); isLog(c) && gone > time.Minute && gone < 6*time.Minute {
						return fault{err: objectstore.ErrUnavailable}
					}
					return fault{}
				}
			},
			whole: true, tail: true, most: time.Second,
		},
		"the store takes none": {
			arrange: func(w *world, _ *speaker) {
				w.store.faults = func(c call) fault {
					if isLog(c) {
						return fault{err: objectstore.ErrDenied}
					}
					return fault{}
				}
			},
			tail: true, most: 16 * time.Second,
		},
		"the store stalls": {
			arrange: func(w *world, _ *speaker) {
				w.store.faults = func(c call) fault { return fault{stall: isLog(c)} }
			},
			tail: true, most: 2 * time.Minute,
		},
		"the broker is away for a while": {
			arrange: func(w *world, s *speaker) {
				start := bubble.Now()
				w.broker.output = func(asked staging.LogRequest) (staging.LogAnswer, error) {
					if gone := bubble.Since(start); gone > time.Minute && gone < 6*time.Minute {
						return staging.LogAnswer{}, errors.New("no route to the broker")
					}
					return s.answer(asked)
				}
			},
			whole: true, tail: true, most: time.Second,
		},
		"the broker is away at the end": {
			arrange: func(w *world, s *speaker) {
				w.broker.output = func(asked staging.LogRequest) (staging.LogAnswer, error) {
					if !bubble.Now().Before(s.ended) {
						return staging.LogAnswer{}, errors.New("no route to the broker")
					}
					return s.answer(asked)
				}
			},
			tail: true, most: 16 * time.Second,
		},
		"the broker gives none": {
			arrange: func(w *world, _ *speaker) {
				w.broker.output = func(staging.LogRequest) (staging.LogAnswer, error) {
					return staging.LogAnswer{}, problem(http.StatusNotFound, staging.ProblemNotFound)
				}
			},
			most: time.Second,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(folder)
				s := w.speaks(10*time.Minute, 1)
				for i := range 595 {
					s.says(time.Duration(i)*time.Second, fmt.Sprintf("secret %d %s", i, strings.Repeat("x", 20_000)))
				}
				tc.arrange(w, s)
				report, code := w.stageOut(t.Context())
				if code != staging.ExitOK {
					t.Fatalf("exit %d: %+v", code, report)
				}
				if late := bubble.Since(s.ended); late > tc.most {
					t.Errorf("ended %s after the trainer, want %s", late, tc.most)
				}
				if got := bytes.Equal(s.all(), pieces(w.logs())); got != tc.whole {
					t.Errorf("whole: %t, want %t", got, tc.whole)
				}
				if got := report.LogTail != ""; got != tc.tail {
					t.Errorf("log tail: %t, want %t", got, tc.tail)
				}
				if strings.Contains(w.log.String(), "secret") {
					t.Error("the output leaked into our own")
				}
			})
		})
	}
}

// A stage-out that is started again does not write over what the one before has stored.
func TestAnotherStageOutAddsToTheOutput(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(folder)
		first := w.speaks(time.Minute, 1)
		first.says(0, "before")
		if _, code := w.stageOut(t.Context()); code != staging.ExitOK {
			t.Fatalf("exit %d", code)
		}
		w.broker.output = nil
		second := w.speaks(time.Minute, 1)
		second.says(time.Second, "after")
		if _, code := w.stageOut(t.Context()); code != staging.ExitOK {
			t.Fatalf("exit %d", code)
		}
		want := map[string][]byte{"trainer-000001.log": first.all(), "trainer-000002.log": second.all()}
		if diff := cmp.Diff(want, w.logs()); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	})
}
