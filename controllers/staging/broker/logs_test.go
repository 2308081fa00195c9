package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/controllers/staging"
)

var _ Logs = PodLogs{Pods: corev1client.CoreV1Interface(nil)}

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// logLine is a line as the kubelet gives it, so many nanoseconds after noon.
func logLine(after time.Duration, text string) string {
	return noon.Add(after).Format("2006-01-02T15:04:05.000000000Z07:00") + " " + text + "\n"
}

func TestLogsAreReadLineByLine(t *testing.T) {
	t.Parallel()
	const chunk = staging.MaxLogChunk
	// Half a chunk and a bit.
	half := strings.Repeat("x", chunk/2)
	one, two, three := logLine(1, "one"), logLine(2, "two"), logLine(time.Second, "three")
	long := logLine(5, strings.Repeat("y", 2*chunk))
	cases := map[string]struct {
		log   string
		since time.Duration
		ended bool
		want  staging.LogAnswer
	}{
		"nothing":                    {"", 0, false, staging.LogAnswer{Last: noon}},
		"nothing new":                {one, 1, false, staging.LogAnswer{Last: noon.Add(1)}},
		"all":                        {one + two + three, -1, false, staging.LogAnswer{Lines: []byte(one + two + three), Last: noon.Add(time.Second)}},
		"what is after a nanosecond": {one + two + three, 1, false, staging.LogAnswer{Lines: []byte(two + three), Last: noon.Add(time.Second)}},
		"no line without an end while the trainer may go on": {
			one + strings.TrimSuffix(two, "\n"), -1, false, staging.LogAnswer{Lines: []byte(one), Last: noon.Add(1)},
		},
		"the last line without an end": {
			one + strings.TrimSuffix(two, "\n"), -1, true, staging.LogAnswer{Lines: []byte(one + two), Last: noon.Add(2), Ended: true},
		},
		"no line without a time": {
			"unable to retrieve container logs\n" + one + "\n \n" + two, -1, true,
			staging.LogAnswer{Lines: []byte(one + two), Last: noon.Add(2), Ended: true},
		},
		"a line in another zone": {
			"2026-09-01T14:00:00.000000003+02:00 three\n", 2, false,
			staging.LogAnswer{Lines: []byte("2026-09-01T14:00:00.000000003+02:00 three\n"), Last: noon.Add(3)},
		},
		"lines with bytes that are no text": {
			logLine(1, "\x00\xff\x1b[31m"), 0, false, staging.LogAnswer{Lines: []byte(logLine(1, "\x00\xff\x1b[31m")), Last: noon.Add(1)},
		},
		"whole lines up to a chunk": {
			logLine(1, half) + logLine(2, half), 0, true,
			staging.LogAnswer{Lines: []byte(logLine(1, half)), Last: noon.Add(1), More: true, Ended: true},
		},
		"lines of one time together": {
			logLine(1, "a") + logLine(2, half) + logLine(2, half), 0, false,
			staging.LogAnswer{Lines: []byte(logLine(1, "a")), Last: noon.Add(1), More: true},
		},
		"lines of one time apart if they are more than a chunk": {
			logLine(2, half) + logLine(2, half), 0, false,
			staging.LogAnswer{Lines: []byte(logLine(2, half)), Last: noon.Add(2), More: true},
		},
		"a line longer than a chunk, cut": {
			long + three, 0, false, staging.LogAnswer{Lines: []byte(long[:chunk-1] + "\n"), Last: noon.Add(5), More: true},
		},
		"what follows a line that was cut": {long + three, 5, false, staging.LogAnswer{Lines: []byte(three), Last: noon.Add(time.Second)}},
		"a long line after a short one, with the next answer": {
			one + long, 0, false, staging.LogAnswer{Lines: []byte(one), Last: noon.Add(1), More: true},
		},
		"a long line that has no end yet, cut": {
			strings.TrimSuffix(long, "\n"), 0, false, staging.LogAnswer{Lines: []byte(long[:chunk-1] + "\n"), Last: noon.Add(5), More: true},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readLines(iotest.HalfReader(strings.NewReader(tc.log)), noon.Add(tc.since), tc.ended)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Lines) > chunk {
				t.Errorf("%d bytes", len(got.Lines))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%.600s", diff)
			}
		})
	}
}

func TestALogThatBreaksOffGivesWhatItGave(t *testing.T) {
	t.Parallel()
	broken := iotest.ErrReader(errBroken)
	got, err := readLines(io.MultiReader(strings.NewReader(logLine(1, "one")+"2026"), broken), noon, true)
	want := staging.LogAnswer{Lines: []byte(logLine(1, "one")), Last: noon.Add(1), More: true, Ended: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("answer (-want +got):\n%s%v", diff, err)
	}
	if _, err := readLines(broken, noon, true); !errors.Is(err, errBroken) {
		t.Errorf("error = %v, want that of the log", err)
	}
}

// endless gives the same line for ever, and counts.
type endless struct {
	line []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	for n := range p {
		p[n] = e.line[e.at%len(e.line)]
		e.at++
	}
	return len(p), nil
}

func TestMoreInASecondThanIsReadIsLeft(t *testing.T) {
	t.Parallel()
	log := io.LimitReader(&endless{line: []byte(logLine(7, strings.Repeat("z", 1000)))}, maxLogRead)
	got, err := readLines(log, noon.Add(7), true)
	want := staging.LogAnswer{Last: noon.Add(time.Second - 1), More: true, Ended: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("answer (-want +got):\n%s%v", diff, err)
	}
}

func TestALogIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld()
	trainerEnds(w.pod, 0)
	var all bytes.Buffer
	for i := range 5000 {
		all.WriteString(logLine(time.Duration(i)*100*time.Millisecond, fmt.Sprintf("%d %s", i, strings.Repeat("x", i%997))))
	}
	w.logText.text = all.String()
	c := w.start(t)
	var got bytes.Buffer
	answer := staging.LogAnswer{More: true}
	for answer.More {
		var err error
		if answer, err = c.Log(t.Context(), staging.LogRequest{Since: answer.Last}); err != nil {
			t.Fatal(err)
		}
		if len(answer.Lines) == 0 || len(answer.Lines) > staging.MaxLogChunk || !answer.Ended {
			t.Fatalf("%d bytes, ended %v", len(answer.Lines), answer.Ended)
		}
		got.Write(answer.Lines)
	}
	if !bytes.Equal(got.Bytes(), all.Bytes()) {
		t.Errorf("%d bytes, want %d", got.Len(), all.Len())
	}
	first, second := w.logText.asked[0], w.logText.asked[1]
	want := corev1.PodLogOptions{Container: staging.ContainerTrainer, Timestamps: true, LimitBytes: ptr.To[int64](maxLogRead)}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	if second.SinceTime == nil || second.SinceTime.Nanosecond() != 0 || second.SinceTime.IsZero() {
		t.Errorf("the second part is asked for since %v, want a whole second", second.SinceTime)
	}
}

func TestLogsOfATrainerThatIsNotThere(t *testing.T) {
	t.Parallel()
	bad := apierrors.NewBadRequest(`container "trainer" in pod "run-a" is waiting to start: PodInitializing`)
	cases := map[string]struct {
		change func(*world)
		want   staging.LogAnswer
		reason string
		asked  int
	}{
		"it has not started":               {func(w *world) { w.pod.Status.ContainerStatuses[1].State = corev1.ContainerState{} }, staging.LogAnswer{Last: noon}, "", 0},
		"nobody knows of it":               {func(w *world) { w.pod.Status.ContainerStatuses = nil }, staging.LogAnswer{Last: noon}, "", 0},
		"the kubelet has not got it":       {func(w *world) { w.logText.err = bad }, staging.LogAnswer{Last: noon}, "", 1},
		"it has ended and is cleared away": {func(w *world) { trainerEnds(w.pod, 1); w.logText.err = bad }, staging.LogAnswer{Last: noon, Ended: true}, "", 1},
		"its pod is being stopped": {func(w *world) {
			deleted(w.pod)
			w.logText.text = logLine(1, "one")
		}, staging.LogAnswer{Lines: []byte(logLine(1, "one")), Last: noon.Add(1)}, "", 1},
		"it has ended in a pod that is being stopped": {func(w *world) {
			deleted(w.pod)
			w.logText.text, w.logText.ended = logLine(1, "one"), true
		}, staging.LogAnswer{Lines: []byte(logLine(1, "one")), Last: noon.Add(1), Ended: true}, "", 1},
		"its pod is gone": {
			func(w *world) { w.logText.err = apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "run-a") },
			staging.LogAnswer{},
			staging.ProblemRunEnded, 1,
		},
		"the kubelet does not answer": {func(w *world) { w.logText.err = errBroken }, staging.LogAnswer{}, staging.ProblemUnavailable, 1},
		"the cache does not have the pod": {func(w *world) {
			w.uncached.Store(true)
			trainerEnds(w.pod, 0)
			w.logText.text = logLine(1, "one")
		}, staging.LogAnswer{Lines: []byte(logLine(1, "one")), Last: noon.Add(1), Ended: true}, "", 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			tc.change(w)
			got, err := w.start(t).Log(t.Context(), staging.LogRequest{Since: noon})
			if diff := cmp.Diff(tc.want, got); diff != "" || reasonOf(err) != tc.reason || (err == nil) != (tc.reason == "") {
				t.Errorf("answer (-want +got):\n%s%v", diff, err)
			}
			if len(w.logText.asked) != tc.asked {
				t.Errorf("%d logs were asked for, want %d", len(w.logText.asked), tc.asked)
			}
		})
	}
}

// stuckLogs gives nothing before it is let go.
type stuckLogs struct {
	Logs
	entered chan struct{}
	letGo   chan struct{}
}

func (f *stuckLogs) Stream(ctx context.Context, namespace, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
	f.entered <- struct{}{}
	select {
	case <-f.letGo:
	case <-ctx.Done():
	}
	return f.Logs.Stream(ctx, namespace, pod, o)
}

func TestLogsDoNotStarveGrants(t *testing.T) {
	t.Parallel()
	w := newWorld()
	stuck := &stuckLogs{&w.logText, make(chan struct{}), make(chan struct{})}
	w.options = func(o *Options) { o.Logs = stuck }
	c := w.start(t)
	answers := make(chan error, maxLogsEach)
	for range maxLogsEach {
		go func() { answers <- askLog(t.Context(), c) }()
		<-stuck.entered
	}
	if got := reasonOf(askLog(t.Context(), c)); got != staging.ProblemTooMany {
		t.Errorf("one more log: %q, want %q", got, staging.ProblemTooMany)
	}
	for _, ask := range []question{askStageIn, askStageOut, askProgress, askCheckpoint} {
		if err := ask(t.Context(), c); err != nil {
			t.Errorf("beside the logs: %v", err)
		}
	}
	close(stuck.letGo)
	for range maxLogsEach {
		if err := <-answers; err != nil {
			t.Errorf("one that was under way: %v", err)
		}
	}
	eventually(t, "all slots are given back", func() bool {
		w.server.logShares.mu.Lock()
		defer w.server.logShares.mu.Unlock()
		return w.server.logShares.taken == 0 && len(w.server.logShares.by) == 0
	})
}

func TestSharesLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	s := newShares(3, 2)
	first, ok := s.take("a")
	if !ok {
		t.Fatal("no room at first")
	}
	if _, ok := s.take("a"); !ok {
		t.Error("no room for the second of a namespace")
	}
	if _, ok := s.take("a"); ok {
		t.Error("room for a third of a namespace")
	}
	if _, ok := s.take("b"); !ok {
		t.Error("no room for another namespace")
	}
	if _, ok := s.take("c"); ok {
		t.Error("room for more than there is")
	}
	first()
	first()
	if _, ok := s.take("a"); !ok || s.taken != 3 {
		t.Errorf("%d slots are taken after one was given back twice and taken again", s.taken)
	}
}

// TestACallerWhoDoesNotReadLosesTheAnswer: an answer with a log occupies a slot.
func TestACallerWhoDoesNotReadLosesTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.start(t)
	writer := &deadlines{}
	off := w.server.hurry(writer)
	eventually(t, "somebody looks at the clock", func() bool { return w.clock.Waiters() == 1 })
	w.clock.Step(logSendTime)
	eventually(t, "the time is over", func() bool { return writer.set.Load() })
	off()
	on := &deadlines{}
	w.server.hurry(on)()
	if on.set.Load() {
		t.Error("an answer that was read is ended")
	}
}

// deadlines notes that a deadline was set.
type deadlines struct {
	http.ResponseWriter
	set atomic.Bool
}

// SetWriteDeadline is what http.ResponseController looks for.
func (d *deadlines) SetWriteDeadline(time.Time) error {
	d.set.Store(true)
	return nil
}

func FuzzReadLines(f *testing.F) {
	f.Add([]byte(logLine(1, "one")+logLine(2, "two")+"three"), int64(1), true)
	f.Add([]byte("\n\n2026-09-01T12:00:00Z \n2026-09-01T12:00:00Z x"), int64(-1), false)
	f.Add(bytes.Repeat([]byte("2026-09-01T12:00:00.000000001Z x"), 40), int64(0), true)
	f.Fuzz(func(t *testing.T, log []byte, after int64, ended bool) {
		since := noon.Add(time.Duration(after))
		got, err := readLines(bytes.NewReader(log), since, ended)
		if err != nil || len(got.Lines) > staging.MaxLogChunk || got.Last.Before(since) {
			t.Fatalf("%d bytes, last %s: %v", len(got.Lines), got.Last, err)
		}
		if len(got.Lines) > 0 && got.Lines[len(got.Lines)-1] != '\n' {
			t.Error("half a line")
		}
		for line := range bytes.Lines(got.Lines) {
			if at, ok := timeOf(line); !ok || !at.After(since) {
				t.Errorf("line %q", line)
			}
		}
		if got.More && !got.Last.After(since) {
			t.Error("there is more, but asking again would not help")
		}
	})
}
