package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/controllers/staging"
)

func TestParseProgress(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxMetricName+1)
	cases := map[string]struct {
		line string
		want told
		none bool
	}{
		"nothing":               {line: "{}", none: true},
		"an empty line":         {line: "", none: true},
		"no JSON":               {line: "step 5", none: true},
		"no object":             {line: "[1]", none: true},
		"null":                  {line: "null", none: true},
		"two objects":           {line: `{"step":1}{"step":2}`, none: true},
		"a torn line":           {line: `{"step":1`, none: true},
		"unknown fields":        {line: `{"other":{"step":1},"Step":2}`, none: true},
		"numbers as text":       {line: `{"step":"5","percent":"50","metrics":{"loss":"1"}}`, none: true},
		"out of range":          {line: `{"step":-1,"epoch":1e300,"totalSteps":1e999,"percent":100.1}`, none: true},
		"metrics that are none": {line: `{"metrics":[1]}`, none: true},
		"a fraction of an epoch": {
			line: `{"epoch":1.75,"percent":0}`, want: told{epoch: ptr.To[int64](1), percent: ptr.To(0.)},
		},
		"what Python writes": {
			line: `{"step":5,"percent":NaN,"metrics":{"a":NaN,"b":-Infinity,"c":Infinity,"NaN":1,"d":"NaN \" NaN","e":null}}`,
			want: told{step: ptr.To[int64](5), metrics: map[string]float64{"NaN": 1}},
		},
		"names that are none": {
			line: `{"metrics":{"":1,"a\nb":2,"` + long + `":3,"ok":4}}`, want: told{metrics: map[string]float64{"ok": 4}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := parseProgress([]byte(tc.line))
			if ok == tc.none {
				t.Fatalf("tells something: %t: %+v", ok, got)
			}
			if len(got.metrics) == 0 {
				got.metrics = nil
			}
			if tc.none {
				tc.want = got // What is in it does not matter.
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(told{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlySoManyMetricsAreKept(t *testing.T) {
	t.Parallel()
	var all told
	for i := range 3 {
		fields := map[string]float64{}
		for j := range 20 {
			fields[fmt.Sprintf("m%02d", i*10+j)] = float64(i)
		}
		line, err := json.Marshal(map[string]any{"metrics": fields})
		if err != nil {
			t.Fatal(err)
		}
		later, ok := parseProgress(line)
		if !ok {
			t.Fatal("tells nothing")
		}
		all.merge(later)
	}
	if len(all.metrics) != maxMetrics || all.metrics["m00"] != 0 || all.metrics["m15"] != 1 {
		t.Errorf("kept %v", all.metrics)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	type seen struct {
		after time.Duration
		done  float64
	}
	cases := map[string]struct {
		seen []seen
		at   time.Duration
		want *int64
	}{
		"nothing":                      {},
		"once":                         {seen: []seen{{0, 0.5}}, at: time.Minute},
		"no way from there":            {seen: []seen{{0, 0.5}, {time.Minute, 0.5}}, at: time.Minute},
		"half in a minute":             {seen: []seen{{0, 0}, {time.Minute, 0.5}}, at: time.Minute, want: ptr.To[int64](60)},
		"half of the rest":             {seen: []seen{{0, 0.5}, {time.Minute, 0.75}}, at: time.Minute, want: ptr.To[int64](60)},
		"a while later":                {seen: []seen{{0, 0}, {time.Minute, 0.5}}, at: 80 * time.Second, want: ptr.To[int64](40)},
		"long after it should be over": {seen: []seen{{0, 0}, {time.Minute, 0.5}}, at: time.Hour, want: ptr.To[int64](0)},
		"the end":                      {seen: []seen{{0, 0}, {time.Minute, 1}}, at: time.Minute, want: ptr.To[int64](0)},
		"begun anew":                   {seen: []seen{{0, 0}, {time.Minute, 0.9}, {2 * time.Minute, 0}, {3 * time.Minute, 0.1}}, at: 3 * time.Minute, want: ptr.To[int64](540)},
		"hardly any pace":              {seen: []seen{{0, 0}, {time.Hour, 1e-300}}, at: time.Hour, want: ptr.To(int64(maxRemaining / time.Second))},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p pace
			for _, s := range tc.seen {
				p.observe(s.done, start.Add(s.after))
			}
			if diff := cmp.Diff(tc.want, p.remaining(start.Add(tc.at))); diff != "" {
				t.Errorf("seconds (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStepIsTheLastNumberInAName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int64{
		"step-500": 500, "checkpoint-500": 500, "epoch=9-step=500.ckpt": 500, "weights.10-0.h5": 0, "ckpt_12.pt2": 12, "model.500": 500,
		"last": 0, "last.h5": 0, "500": 500, "step-000010": 10, "step-99999999999999999999": 0, "step-9999999999999999": 0, "": 0,
	} {
		if got := stepOf(name); got != want {
			t.Errorf("step of %q is %d, want %d", name, got, want)
		}
	}
}

func TestTheEndOfTheOutputIsText(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	stamp := at.Format(time.RFC3339Nano) + " "
	cases := map[string]struct{ lines, want string }{
		"nothing":          {"", ""},
		"a line":           {stamp + "hello\n", "hello"},
		"an empty line":    {stamp + "\n" + stamp + "a\n", "\na"},
		"without a time":   {"hello world\n", "hello world"},
		"colours":          {stamp + "\x1b[1;31mred\x1b[0m \x1b]0;title\x07end\n", "red end"},
		"a progress bar":   {stamp + "10%\r20%\r\n", "10%20%"},
		"what is no text":  {stamp + "a\x00\xff\x7f\u0085b\tc\n", "ab\tc"},
		"more than a tail": {stamp + strings.Repeat("x", 1000) + "\n" + stamp + strings.Repeat("y", 1500) + "\n", strings.Repeat("y", 1500)},
		"one long line":    {stamp + strings.Repeat("ü", 5000) + "\n", strings.Repeat("ü", 1024)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var end logEnd
			end.add([]byte(tc.lines), at)
			end.add([]byte("the same again"), at)
			if diff := cmp.Diff(tc.want, end.text()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzProgress reads what may be anything, in pieces of any size. It must hold no more
// than a line, and what it takes must fit into a message.
func FuzzProgress(f *testing.F) {
	for _, seed := range []string{
		`{"time":"2026-01-02T03:04:05Z","epoch":1,"epochs":4,"step":10,"totalSteps":40,"percent":25,"metrics":{"loss":0.5}}` + "\n",
		`{"percent":NaN,"metrics":{"a":-Infinity}}` + "\n" + `{"step":1}`, "\n\n\x00", `{"metrics":{"\ud800":1,"a\u0000":2}}` + "\n",
		`{"step":9007199254740991,"totalSteps":1}` + "\n", `{"epoch":1,"epochs":0,"percent":100}` + "\n", `{"step":1,"step":2}` + "\n",
		strings.Repeat("[", 100) + "\n", strings.Repeat("x", 300) + "\n" + `{"step":3}` + "\n",
	} {
		f.Add([]byte(seed), 7)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		const limit = 256
		r := lineReader{limit: limit}
		var all, whole told
		lines := 0
		read := func(line []byte) {
			lines++
			if len(line) > limit || bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("a line of %d bytes", len(line))
			}
			if got, ok := parseProgress(line); ok {
				all.merge(got)
			}
		}
		size = min(max(size, 1), max(len(data), 1))
		for rest := data; len(rest) > 0; {
			n := min(size, len(rest))
			r.feed(rest[:n], read)
			rest = rest[n:]
			if len(r.held) > limit {
				t.Fatalf("%d bytes are held", len(r.held))
			}
		}
		for line := range bytes.Lines(data) {
			text, ended := bytes.CutSuffix(line, []byte{'\n'})
			if got, ok := parseProgress(text); ended && ok && len(text) <= limit {
				whole.merge(got)
			}
		}
		if diff := cmp.Diff(whole, all, cmp.AllowUnexported(told{})); diff != "" {
			t.Errorf("in pieces (-whole +got):\n%s", diff)
		}
		checkTold(t, all)
	})
}

func checkTold(t *testing.T, all told) {
	t.Helper()
	var p pace
	p.observe(0, time.Unix(0, 0))
	if done, ok := all.done(); ok {
		if done < 0 || done > 1 || math.IsNaN(done) {
			t.Errorf("%v is done", done)
		}
		p.observe(done, time.Unix(60, 0))
	}
	request := all.request()
	request.RemainingSeconds = p.remaining(time.Unix(90, 0))
	if r := request.RemainingSeconds; r != nil && (*r < 0 || *r > int64(maxRemaining/time.Second)) {
		t.Errorf("%d seconds remain", *r)
	}
	if request.Percent != nil && (*request.Percent < 0 || *request.Percent > 100) {
		t.Errorf("%v percent", *request.Percent)
	}
	for _, n := range []*int64{request.Epoch, request.Epochs, request.Step, request.TotalSteps} {
		if n != nil && (*n < 0 || *n > maxCount) {
			t.Errorf("counted to %d", *n)
		}
	}
	const room = 16 << 10 // of a message, says the broker
	data, err := json.Marshal(request)
	if err != nil || len(data) > room || len(request.Metrics) > maxMetrics {
		t.Errorf("%d bytes, %d metrics: %v", len(data), len(request.Metrics), err)
	}
}

// FuzzLog takes output that may be anything. What is archived must be what came, in
// pieces that are not too large, and its end must be text.
func FuzzLog(f *testing.F) {
	for _, seed := range []string{
		"2026-01-02T03:04:05.000000006Z hello\n2026-01-02T03:04:05.000000007Z world\n", "\x1b[31mred\x1b[0m\n\xff\x00", "\x1b]0;x", "no end",
		"2026-01-02T03:04:05Z \n\n\n", strings.Repeat("ü", 3000), "\x1b\x1b[[m",
	} {
		f.Add([]byte(seed), uint16(3), uint8(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint16, times uint8) {
		a := archive{number: 1}
		var end logEnd
		var stored, sent []byte
		for i := range int(times)%4 + 1 {
			at := time.Unix(int64(i), 0)
			for rest := data; len(rest) > 0; {
				n := min(int(size)+1, len(rest))
				sent = append(sent, rest[:n]...)
				end.add(rest[:n], at.Add(time.Duration(len(sent))))
				for waiting := a.add(rest[:n]); len(waiting) > 0; waiting = a.add(waiting) {
					stored = append(stored, a.piece...)
					a.next()
				}
				rest = rest[n:]
				if len(a.piece) > maxPiece || len(a.tail) > maxTail || len(end.held) > maxEnding {
					t.Fatalf("held %d, %d and %d bytes", len(a.piece), len(a.tail), len(end.held))
				}
			}
		}
		if !bytes.Equal(sent, append(stored, a.piece...)) {
			t.Error("the pieces are not what was put out")
		}
		text := end.text()
		if len(text) > staging.MaxLogTail || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
			return r < ' ' && r != '\n' && r != '\t' || r == 0x7f
		}) {
			t.Errorf("no text, or too much of it: %q", text)
		}
	})
}
