package transfer

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// logged is a run of two nodes and three attempts, the second of which has logged
// nothing, with what it has stored.
func logged(w *world) *v1alpha1.TrainingRun {
	run := &v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits-1", UID: "uid"}}
	run.Spec.Nodes.Count, run.Status.Attempt = new(int32(2)), 3
	first, third := objectkey.LogPrefix(prefix, 1, 0), objectkey.LogPrefix(prefix, 3, 1)
	for key, text := range map[string]string{
		first + "trainer-000001.log": "one\n", first + "trainer-000002.log": "two\n", first + "trainer-tail.log": "nine\n",
		first + "progress.jsonl": "{}\n", third + "trainer-000001.log": "of node 1\n",
		// What lies there beside them is nobody's.
		third + "trainer-000003.log": "behind a gap\n", prefix + "logs/attempt-0004/node-0/trainer-000001.log": "to come\n",
	} {
		w.objects[key] = []byte(text)
	}
	return run
}

func TestReadLog(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		attempt, node int
		before        func(w *world)
		want          string
		is            error
	}{
		"in pieces, and a tail": {attempt: 1, want: "one\ntwo\n[gap]nine\n"},
		"of another node":       {attempt: 3, node: 1, want: "of node 1\n"},
		"where there is none":   {attempt: 2, is: ErrNoLog},
		"of a store that does not tell what is missing": {attempt: 1, want: "one\ntwo\n[gap]nine\n", before: func(w *world) {
			w.refuseGet = func(key string) error {
				if _, ok := w.objects[key]; !ok {
					return objectstore.ErrDenied
				}
				return nil
			}
		}},
		"while the broker refuses": {attempt: 1, is: errNobody, before: func(w *world) { w.deny = errNobody }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			run := logged(w)
			if tc.before != nil {
				tc.before(w)
			}
			var b strings.Builder
			err := ReadLog(t.Context(), w.options(), run, tc.attempt, tc.node, func(piece LogPiece) error {
				if piece.Gap {
					b.WriteString("[gap]")
				}
				b.Write(piece.Lines)
				return nil
			})
			if !errors.Is(err, tc.is) || b.String() != tc.want {
				t.Errorf("got %q, %v; want %q, %v", &b, err, tc.want, tc.is)
			}
		})
	}
}

var errNobody = errors.New("nobody answers")

func TestReadLogEndsEarly(t *testing.T) {
	t.Parallel()
	w := newWorld()
	run := logged(w)
	stop := errors.New("nobody reads it")
	if err := ReadLog(t.Context(), w.options(), run, 1, 0, func(LogPiece) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the visitor's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := ReadLog(ctx, w.options(), run, 1, 0, func(LogPiece) error { cancel(); return ctx.Err() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
}

func TestDownloadLogs(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(), filepath.Join(t.TempDir(), "logs")
	run := logged(w)
	// A start before was cut off; logs are fetched anew.
	write(t, filepath.Join(filepath.Dir(dir), ".logs.lethe-uid-logs"), map[string]string{"files/attempt-1/node-0/trainer.log": "half"})
	sum, err := DownloadLogs(t.Context(), w.options(), run, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"attempt-1/node-0/trainer.log": "one\ntwo\n", "attempt-1/node-0/trainer-tail.log": "nine\n",
		"attempt-1/node-0/progress.jsonl": "{}\n", "attempt-3/node-1/trainer.log": "of node 1\n",
	}
	if diff := cmp.Diff(want, read(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if sum.Files != 4 || sum.Bytes != 26 {
		t.Errorf("sum: got %+v, want 4 files with 26 bytes", sum)
	}
	if _, err := DownloadLogs(t.Context(), w.options(), run, dir); !errors.Is(err, ErrFolder) {
		t.Errorf("into a folder that is not empty: got %v, want ErrFolder", err)
	}
	run.Status.Attempt = 0
	if _, err := DownloadLogs(t.Context(), w.options(), run, dir+"-2"); !errors.Is(err, ErrNoLog) {
		t.Errorf("of a run without logs: got %v, want ErrNoLog", err)
	}
}
