package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

var somewhere = place{"t-one", "r-one"}

// testHub reads from a trainer that is never over, unless done says so.
func testHub(tr *trainer, done func() bool, o HubOptions) *Hub {
	over := func(context.Context, place) (bool, error) { return done != nil && done(), nil }
	return newHub(tr, over, discard(), o)
}

func subscribe(t *testing.T, h *Hub, after portal.LogPosition) *reader {
	t.Helper()
	r, err := h.subscribe(somewhere, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestTwoHundredReadersShareOneStream(t *testing.T) {
	t.Parallel()
	const readers, lines = 200, 3000
	tr := newTrainer()
	ended := false
	var mutex sync.Mutex
	h := testHub(tr, func() bool { mutex.Lock(); defer mutex.Unlock(); return ended }, HubOptions{RingBytes: 4 << 20, Retry: time.Millisecond})
	slow := subscribe(t, h, portal.LogPosition{}) // never reads until the end
	var done sync.WaitGroup
	for i := range readers - 1 {
		r := subscribe(t, h, portal.LogPosition{})
		done.Go(func() {
			got, skipped, err := texts(t, r, lines)
			if err != nil || skipped != 0 || got[0] != "line 0" || got[lines-1] != fmt.Sprintf("line %d", lines-1) || !slices.IsSortedFunc(got, byNumber) {
				t.Errorf("reader %d has %d lines, %d skipped: %v", i, len(got), skipped, err)
			}
		})
	}
	for i := range lines {
		tr.say(stamped(i, fmt.Sprintf("line %d", i)))
	}
	done.Wait() // the slow one has stalled nobody
	if opened, _, peak := tr.counts(); opened != 1 || peak != 1 {
		t.Errorf("%d streams were opened, %d at once; want one", opened, peak)
	}
	mutex.Lock()
	ended = true
	mutex.Unlock()
	tr.set(func() { tr.ended = true })
	if got, skipped, err := texts(t, slow, lines+1); len(got) != lines || skipped != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the slow reader has %d lines, %d skipped: %v", len(got), skipped, err)
	}
}

func byNumber(a, b string) int {
	var n, m int
	_, _ = fmt.Sscanf(a, "line %d", &n)
	_, _ = fmt.Sscanf(b, "line %d", &m)
	return n - m
}

func TestASlowReaderIsToldWhatItHasMissed(t *testing.T) {
	t.Parallel()
	const lines = 10_000
	tr := newTrainer()
	h := testHub(tr, nil, HubOptions{RingBytes: 64 << 10})
	slow, fast := subscribe(t, h, portal.LogPosition{}), subscribe(t, h, portal.LogPosition{})
	go func() {
		for i := range lines {
			tr.say(stamped(i, strings.Repeat("x", 100)))
		}
		tr.say(stamped(lines, "the end"))
	}()
	seen, skippedFast := 0, int64(0)
	for {
		part, err := fast.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen, skippedFast = seen+len(part.Lines), skippedFast+part.Skipped
		if n := len(part.Lines); n > 0 && part.Lines[n-1].Text == "the end" {
			break
		}
	}
	if int64(seen)+skippedFast != lines+1 {
		t.Errorf("the fast reader has %d lines and missed %d of %d", seen, skippedFast, lines+1)
	}
	part, err := slow.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if part.Skipped < lines-1000 {
		t.Fatalf("the slow reader is told that it missed %d lines", part.Skipped)
	}
	rest := len(part.Lines)
	for int64(rest)+part.Skipped < lines+1 {
		more, err := slow.Next(t.Context())
		if err != nil || more.Skipped != 0 {
			t.Fatalf("after the gap: %d skipped, %v", more.Skipped, err)
		}
		rest += len(more.Lines)
	}
}

// TestMemoryIsBounded measures: 200 readers who don't read, and 100 MiB of log.
func TestMemoryIsBounded(t *testing.T) { //nolint:paralleltest // It measures the memory of the process.
	const readers, lines, limit = 200, 100_000, 512 << 10
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	text := strings.Repeat("x", 1000)
	body := &generated{lines: lines, text: text}
	h := testHub(nil, nil, HubOptions{RingBytes: limit})
	h.upstream = once{body}
	before := heap()
	all := make([]*reader, readers)
	for i := range all {
		all[i] = subscribe(t, h, portal.LogPosition{})
	}
	for {
		part, err := all[0].Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(part.Lines); n > 0 && part.Lines[n-1].Text == "the end" {
			break
		}
	}
	grown := int64(heap()) - int64(before)
	t.Logf("%d MiB of log for %d readers: the heap has grown by %d KiB", lines*len(text)>>20, readers, grown>>10)
	if most := int64(4 * limit); grown > most {
		t.Errorf("the heap has grown by %d bytes, want at most %d", grown, most)
	}
	runtime.KeepAlive(all)
}

// generated is a log that is made as it is read.
type generated struct {
	n, lines int
	text     string
	rest     string
}

func (g *generated) Read(p []byte) (int, error) {
	if g.rest == "" {
		switch {
		case g.n < g.lines:
			g.rest = stamped(g.n, g.text) + "\n"
		case g.n == g.lines:
			g.rest = stamped(g.n, "the end") + "\n"
		default:
			return 0, io.EOF
		}
		g.n++
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

func (g *generated) Close() error { return nil }

type once struct{ body io.ReadCloser }

func (o once) Logs(context.Context, string, string, time.Time) (io.ReadCloser, error) {
	return o.body, nil
}

func TestAStreamEndsAfterItsLastReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTrainer()
		h := testHub(tr, nil, HubOptions{})
		first, err := h.subscribe(somewhere, portal.LogPosition{})
		if err != nil {
			t.Fatal(err)
		}
		second, err := h.subscribe(somewhere, portal.LogPosition{})
		if err != nil {
			t.Fatal(err)
		}
		first.Close()
		first.Close()
		synctest.Wait()
		<-time.After(time.Hour)
		if _, open, _ := tr.counts(); open != 1 {
			t.Fatalf("%d streams are open while one reads", open)
		}
		second.Close()
		<-time.After(defaultLinger - time.Second)
		third, err := h.subscribe(somewhere, portal.LogPosition{}) // the page was loaded again
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		if opened, open, _ := tr.counts(); opened != 1 || open != 1 {
			t.Fatalf("%d streams were opened, %d are open", opened, open)
		}
		third.Close()
		<-time.After(defaultLinger + time.Second)
		synctest.Wait()
		if _, open, _ := tr.counts(); open != 0 || len(h.streams) != 0 {
			t.Errorf("%d streams are open, %d are remembered", open, len(h.streams))
		}
	})
}

func TestReadersGoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
	tr := newTrainer()
	h := testHub(tr, nil, HubOptions{Retry: time.Millisecond})
	same := stamped(7, "")
	tr.say(stamped(5, "a"), same+"b", same+"c", same+"d", stamped(9, "e"))
	r := subscribe(t, h, portal.LogPosition{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var lines []portal.LogLine
	for len(lines) < 5 {
		part, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, part.Lines...)
	}
	for i, want := range []string{"bcde", "cde", "de", "e", ""} {
		again := portal.ParseLogPosition(lines[i].Position.String())
		got := ""
		if want != "" {
			some, skipped, err := texts(t, subscribe(t, h, again), len(want))
			if err != nil || skipped != 0 {
				t.Fatal(skipped, err)
			}
			got = strings.Join(some, "")
		}
		if got != want {
			t.Errorf("after line %d there is %q, want %q", i, got, want)
		}
		// The same in another portal, whose stream begins with this reader.
		if want != "" {
			some, _, err := texts(t, subscribe(t, testHub(tr, nil, HubOptions{}), again), len(want))
			if err != nil || strings.Join(some, "") != want {
				t.Errorf("in another portal there is %q after line %d, want %q: %v", some, i, want, err)
			}
		}
	}
}

func TestAStreamThatBreaksGoesOnWithoutRepeating(t *testing.T) {
	t.Parallel()
	tr := newTrainer()
	h := testHub(tr, nil, HubOptions{Retry: time.Millisecond})
	r := subscribe(t, h, portal.LogPosition{})
	want := []string{}
	for i := range 20 {
		// Several lines within a second: the kubelet gives all of them again.
		tr.say(stamped(400*i, fmt.Sprintf("line %d", 2*i)), stamped(400*i, fmt.Sprintf("line %d", 2*i+1)))
		want = append(want, fmt.Sprintf("line %d", 2*i), fmt.Sprintf("line %d", 2*i+1))
		got, skipped, err := texts(t, r, 2)
		if err != nil || skipped != 0 || !cmp.Equal(want[2*i:], got) {
			t.Fatalf("after %d breaks: %v, %d skipped, %v", i, got, skipped, err)
		}
		tr.breakOff()
	}
	if opened, _, _ := tr.counts(); opened < 3 {
		t.Errorf("only %d streams were opened", opened)
	}
	tr.mutex.Lock()
	defer tr.mutex.Unlock()
	if !tr.sinces[0].IsZero() || tr.sinces[1].IsZero() {
		t.Errorf("asked from %v", tr.sinces)
	}
}

func TestATrainerThatHasNotBegunIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTrainer()
		tr.missing = true
		over := false
		h := testHub(tr, func() bool { return over }, HubOptions{})
		r, err := h.subscribe(somewhere, portal.LogPosition{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		<-time.After(time.Hour)
		if opened, _, _ := tr.counts(); opened < 10 || opened > 200 {
			t.Errorf("asked %d times in an hour", opened)
		}
		tr.set(func() { tr.missing = false })
		tr.say(stamped(1, "begun"))
		before, _, _ := tr.counts()
		h.nudge(somewhere)
		synctest.Wait()
		if after, _, _ := tr.counts(); after != before+1 {
			t.Errorf("a nudge led to %d questions", after-before)
		}
		part, err := r.Next(t.Context())
		if err != nil || len(part.Lines) != 1 {
			t.Fatal(part, err)
		}
		over = true
		tr.set(func() { tr.ended = true })
		if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	h := testHub(newTrainer(), nil, HubOptions{Streams: 2, Linger: time.Millisecond})
	var readers []*reader
	for i := range 2 {
		r, err := h.subscribe(place{fmt.Sprint("t-", i), "r-1"}, portal.LogPosition{})
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	if _, err := h.subscribe(somewhere, portal.LogPosition{}); portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("a stream too many: %v", err)
	}
	for _, r := range readers {
		r.Close()
	}
}

func TestLinesOfALog(t *testing.T) {
	t.Parallel()
	at := portaltest.Start.Format(time.RFC3339Nano)
	tests := map[string]struct {
		in   string
		want []string
	}{
		"colours are taken out":                     {at + " \x1b[31mred\x1b[0m\n", []string{"red"}},
		"of a bar only its last look is left":       {at + " 10%\r 50%\r 100%\r\n", []string{" 100%"}},
		"an empty line stays":                       {at + " \n" + at + "\n", []string{"", ""}},
		"what is no text is shown as such":          {at + " a\xffb\x00c\n", []string{"a\uFFFDbc"}},
		"a line without a time belongs to the last": {at + " one\nTraceback\n", []string{"one", "Traceback"}},
		"the last line need not end":                {at + " one\n" + at + " two", []string{"one", "two"}},
		"a long line is cut":                        {at + " " + strings.Repeat("x", 2*maxLine), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			total := 0
			err := eachLine(strings.NewReader(test.in), portal.LogPosition{}, func(lines []portal.LogLine) {
				for _, line := range lines {
					got = append(got, line.Text)
					total += len(line.Text)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if test.want == nil {
				if len(got) != 3 || total != 2*maxLine {
					t.Errorf("%d lines with %d bytes", len(got), total)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAClockThatIsSetBackLosesNothing(t *testing.T) {
	t.Parallel()
	in := stamped(900, "a") + "\n" + stamped(100, "b") + "\n" + stamped(200, "c") + "\n"
	var got []portal.LogLine
	if err := eachLine(strings.NewReader(in), portal.LogPosition{}, func(lines []portal.LogLine) { got = append(got, lines...) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || !got[0].Position.Before(got[1].Position) || !got[1].Position.Before(got[2].Position) {
		t.Errorf("lines %v", got)
	}
}

func FuzzLines(f *testing.F) {
	f.Add("2026-03-02T09:00:00Z a\nb\r\n\x1b[1m\n", 3)
	f.Fuzz(func(t *testing.T, in string, _ int) {
		last := portal.LogPosition{}
		_ = eachLine(strings.NewReader(in), last, func(lines []portal.LogLine) {
			for _, line := range lines {
				if !last.Before(line.Position) || strings.ContainsAny(line.Text, "\n\r\x1b\x00") {
					t.Fatalf("%v after %v: %q", line.Position, last, line.Text)
				}
				last = line.Position
			}
		})
	})
}

func TestNobodyTakesAllStreams(t *testing.T) {
	t.Parallel()
	h := testHub(newTrainer(), nil, HubOptions{Streams: 3, Share: 2, Linger: time.Hour})
	read := func(namespace, object string) (*reader, error) {
		return h.subscribe(place{namespace, object}, portal.LogPosition{})
	}
	first, err := read("t-a", "r-1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := read("t-a", "r-2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read("t-a", "r-3"); portal.KindOf(err) != portal.KindTooMany {
		t.Errorf("more than a tenant's share: %v", err)
	}
	other, err := read("t-b", "r-1")
	if err != nil {
		t.Fatalf("another tenant: %v", err)
	}
	if _, err := read("t-c", "r-1"); portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("more than there are: %v", err)
	}
	second.Close() // lingers, and gives way
	third, err := read("t-a", "r-3")
	if err != nil {
		t.Fatalf("in the place of one that lingers: %v", err)
	}
	other.Close()
	if _, err := read("t-c", "r-1"); err != nil {
		t.Errorf("in the place of another's that lingers: %v", err)
	}
	first.Close()
	third.Close()
}
