package web

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

func liveServer(t *testing.T, f *fakeLive, mods ...func(*Dependencies)) (*Server, *fakeAuth) {
	t.Helper()
	s, auth := fakeServer(t, append([]func(*Dependencies){func(d *Dependencies) { d.Live = f }}, mods...)...)
	auth.person("ada")
	return s, auth
}

func TestTheRunPageInEachState(t *testing.T) {
	t.Parallel()
	says := map[string][]string{
		"pending":    {"waits for its dataset", "/cancel"},
		"queued":     {"no free GPU of this kind", "/cancel", "/suspend"},
		"starting":   {"This costs nothing", "/cancel"},
		"running":    {"Your program is training.", `value="41.5"`, "2 × NVIDIA-H200", "24 hours after", "Step 4,150 of 10,000, epoch 2 of 5", "about 1 h 17 min left", "€7.42", "of at most about €40.80", "0.4312", "/suspend", "/cancel", "3 h 0 min"[:3], "lost"},
		"publishing": {"results are being stored", "/cancel"},
		"suspended":  {"holds no GPU", "/resume", "/cancel"},
		"succeeded":  {"results are here", `value="100"`, "model-00001-of-00001.safetensors", "3.3 GiB", "files.zip", "See the receipt", "/runs/new?again=", "/delete", "Last checkpoint", "Logs and series"},
		"failed":     {"more memory than the GPU has", "What to do:", "smaller batch", "Something in the program", "exit code 1", "torch.OutOfMemoryError", "/runs/new?again="},
		"cancelled":  {"You cancelled this run", "/runs/new?again="},
		"refused":    {"is not one that may be run here", "/runs/new?again="},
		"waiting":    {"doesn&#39;t answer just now", "/cancel"},
		"handed":     {"being handed to the cluster"},
		"stopping":   {"stores a last checkpoint and ends"},
		"suspending": {"gives its GPUs back", "/resume"},
		"resuming":   {"goes on from its last checkpoint"},
		"deleting":   {"are being deleted"},
		"gone":       {"results are here"},
		"lost":       {">Gone<", "was deleted in the cluster before its end", "/runs/new?again=", "1 h 34 min"},
	}
	for name, view := range runsInAllStates() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := liveServer(t, fullLive(view))
			w := ask(s, "GET", "/runs/"+string(view.Run.ID), "ada", nil)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d:\n%s", w.Code, w.Body)
			}
			body := w.Body.String()
			for _, text := range append(says[name], view.Run.Name, "python train.py --lr 3e-4 --note", "Interviews 2026") {
				if !strings.Contains(body, text) {
					t.Errorf("the page does not say %q", text)
				}
			}
			over := lifeOf(view.Run, start).Over
			if strings.Contains(body, "data-over") != over {
				t.Errorf("the page of a run that is over (%v) says otherwise", over)
			}
			if over && strings.Contains(body, `/cancel"`) {
				t.Error("a run that is over can be cancelled")
			}
			if len(says[name]) == 0 {
				t.Error("nobody has said what this page says")
			}
		})
	}
}

// TestWhatCanBeDoneWithARun has the acts of each state: cancel, suspend, resume, delete.
func TestWhatCanBeDoneWithARun(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"pending": "cs", "queued": "cs", "starting": "cs", "running": "cs", "publishing": "c", "suspended": "cr",
		"succeeded": "d", "failed": "d", "cancelled": "d", "refused": "", "waiting": "c", "handed": "c",
		"stopping": "", "suspending": "cr", "resuming": "cs", "deleting": "", "gone": "", "lost": "",
	}
	for name, view := range runsInAllStates() {
		life, got := lifeOf(view.Run, start), ""
		for _, act := range []struct {
			can  bool
			name string
		}{{life.CanCancel, "c"}, {life.CanSuspend, "s"}, {life.CanResume, "r"}, {life.CanDelete, "d"}} {
			if act.can {
				got += act.name
			}
		}
		if got != want[name] {
			t.Errorf("%s: %q, want %q", name, got, want[name])
		}
	}
}

func TestAPartOfARunsPageMayBeAway(t *testing.T) {
	t.Parallel()
	f := fullLive(runIn("Succeeded"))
	f.errs["Files"] = &portal.Error{Kind: portal.KindUnavailable, Message: "The store is away."}
	f.errs["Events"], f.errs["Series"] = errors.New("secret cause"), errors.New("secret cause")
	s, _ := liveServer(t, f)
	w := ask(s, "GET", "/runs/x", "ada", nil)
	if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, "The store is away.") || !strings.Contains(body, "0.8") || strings.Contains(body, "secret") {
		t.Errorf("status %d:\n%s", w.Code, w.Body)
	}
	f.errs["View"] = portal.ErrNotFound
	for _, path := range []string{"/runs/x", "/runs/x/log.txt", "/runs/x/files", "/runs/x/files.zip"} {
		if w := ask(s, "GET", path, "ada", nil); w.Code != http.StatusNotFound {
			t.Errorf("%s of somebody else's run: status %d", path, w.Code)
		}
	}
}

func TestPointsAreJSON(t *testing.T) {
	t.Parallel()
	f := fullLive(runIn("Running"))
	s, _ := liveServer(t, f)
	w := ask(s, "GET", "/runs/x/points", "ada", nil)
	var got []portal.RunPoint
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.points, got); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
	f.points = nil
	if w := ask(s, "GET", "/runs/x/points", "ada", nil); w.Body.String() != "[]" {
		t.Errorf("no points are %s", w.Body)
	}
}

func TestFilesOfARun(t *testing.T) {
	t.Parallel()
	f := fullLive(runIn("Succeeded"))
	f.objects = map[string]string{"config.json": "{}", "model/weights <1>.pt": "0123456789", "logs/a.log": "x"}
	f.files[portal.FileArtifact] = []portal.RunFile{{Kind: portal.FileArtifact, Path: "config.json", Size: 2}, {Kind: portal.FileArtifact, Path: "model/weights <1>.pt", Size: 10}}
	s, _ := liveServer(t, f)
	if w := ask(s, "GET", "/runs/x/files", "ada", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "/runs/x/download?kind=artifact&amp;path=model%2Fweights&#43;%3C1%3E.pt") {
		t.Errorf("the list: status %d\n%s", w.Code, w.Body)
	}
	w := ask(s, "GET", "/runs/x/download?kind=artifact&path=config.json", "ada", nil)
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(to, "https://store.example.org/") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("a download: status %d to %q", w.Code, to)
	}
	for _, path := range []string{"/runs/x/download?kind=artifact&path=other", "/runs/x/download?kind=secret&path=config.json", "/runs/x/files?kind=secret"} {
		if w := ask(s, "GET", path, "ada", nil); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	f.key = true
	w = ask(s, "GET", "/runs/x/download?path=model/weights+%3C1%3E.pt", "ada", nil)
	if w.Body.String() != "0123456789" || w.Header().Get("Content-Disposition") != `attachment; filename="weights <1>.pt"` || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("a file under a key: %v %q", w.Header(), w.Body)
	}

	w = ask(s, "GET", "/runs/x/files.zip", "ada", nil)
	archive, err := zip.NewReader(bytes.NewReader(w.Body.Bytes()), int64(w.Body.Len()))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, file := range archive.File {
		in, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		got[file.Name] = string(text)
	}
	if diff := cmp.Diff(map[string]string{"config.json": "{}", "model/weights <1>.pt": "0123456789"}, got); diff != "" {
		t.Errorf("the archive (-want +got):\n%s", diff)
	}
	f.objects["config.json"] = "{ }" // not as long as the manifest says
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so.
				t.Error("half an archive looks like a whole one")
			}
		}()
		ask(s, "GET", "/runs/x/files.zip", "ada", nil)
	}()
}

func TestTheLogAsText(t *testing.T) {
	t.Parallel()
	f := fullLive(runIn("Succeeded"))
	f.files[portal.FileLog] = []portal.RunFile{{Path: "logs/attempt-0001/node-0/trainer-000001.log"}, {Path: "logs/attempt-0001/node-0/progress.jsonl"}}
	f.objects = map[string]string{"logs/attempt-0001/node-0/trainer-000001.log": "one\ntwo\n", "logs/attempt-0001/node-0/progress.jsonl": "no"}
	s, _ := liveServer(t, f)
	w := ask(s, "GET", "/runs/x/log.txt", "ada", nil)
	if want := "# logs/attempt-0001/node-0/trainer-000001.log\none\ntwo\n"; w.Body.String() != want || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the log is %q", w.Body)
	}
	f = fullLive(runIn("Running"))
	f.parts <- portal.LogPart{Skipped: 3, Lines: []portal.LogLine{{Position: portal.LogPosition{At: start, Same: 1}, Text: "<b>hello</b>"}}}
	close(f.parts)
	s, _ = liveServer(t, f)
	w = ask(s, "GET", "/runs/x/log.txt", "ada", nil)
	if want := "… earlier lines are not shown\n2026-03-02T09:00:00Z <b>hello</b>\n"; w.Body.String() != want {
		t.Errorf("the log is %q, want %q", w.Body, want)
	}
}

// events reads a stream until it ends or has so many events.
type sse struct{ name, id, data string }

func readEvents(t *testing.T, in *bufio.Reader, most int) []sse {
	t.Helper()
	var events []sse
	var now sse
	for len(events) < most {
		line, err := in.ReadString('\n')
		if err != nil {
			return events
		}
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		switch key {
		case "event":
			now.name = value
		case "id":
			now.id = value
		case "data":
			now.data = value
		case "":
			if now.name != "" {
				events = append(events, now)
			}
			now = sse{}
		}
	}
	return events
}

// watched is a real server, with a real write timeout that would cut every stream.
func watched(t *testing.T, f *fakeLive, query string, header http.Header) (*Server, *http.Response) {
	t.Helper()
	s, auth := liveServer(t, f, func(d *Dependencies) { d.Now = now })
	auth.person("ada", func(p *portal.Principal) { p.Session.AuthenticatedAt = now() })
	server := httptest.NewUnstartedServer(s)
	server.Config.WriteTimeout = 300 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/runs/x/log"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.AddCookie(&http.Cookie{Name: cookieSession, Value: secretOf("ada")})
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return s, answer
}

func TestTheStreamOfARun(t *testing.T) {
	t.Parallel()
	f := fullLive(runIn("Running"))
	f.view.Points = f.points[:2]
	at := portal.LogPosition{At: start, Same: 2}
	f.parts <- portal.LogPart{Skipped: 7, Lines: []portal.LogLine{{Position: portal.LogPosition{At: start, Same: 1}, Text: "one"}, {Position: at, Text: "</script> two"}}}
	_, answer := watched(t, f, "", nil)
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	in := bufio.NewReader(answer.Body)
	events := readEvents(t, in, 3)
	if len(events) != 3 || events[0].name != "state" || events[1].name != "points" || events[2].name != "lines" || events[2].id != at.String() {
		t.Fatalf("events %+v", events)
	}
	var state stateEvent
	var lines linesEvent
	if err := errors.Join(json.Unmarshal([]byte(events[0].data), &state), json.Unmarshal([]byte(events[2].data), &lines)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(state.HTML, "life-progress") || state.Over || state.Say != "Your program is training." {
		t.Errorf("state %+v", state)
	}
	if diff := cmp.Diff(linesEvent{Skipped: 7, Lines: []string{"one", "</script> two"}}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}

	<-time.After(400 * time.Millisecond) // the server's own write timeout has passed
	f.set(func(v *portal.RunView) { v.Points = f.points[:4] })
	events = readEvents(t, in, 1)
	f.set(func(*portal.RunView) {}) // nothing is new: nothing is sent
	f.set(func(v *portal.RunView) { *v = runIn("Succeeded"); v.Points = f.points[:4] })
	close(f.parts)
	events = append(events, readEvents(t, in, 10)...)
	var names []string
	for _, e := range events {
		names = append(names, e.name)
	}
	if diff := cmp.Diff([]string{"points", "state", "end"}, names); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	var points []portal.RunPoint
	if err := json.Unmarshal([]byte(events[0].data), &points); err != nil || len(points) != 2 || points[0].Step != f.points[2].Step {
		t.Errorf("points %v, %v", points, err)
	}
}

func TestAStreamGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	at := portal.LogPosition{At: start, Same: 3}
	for name, test := range map[string]struct {
		query  string
		header http.Header
	}{
		"by the browser itself": {"?after=1.1", http.Header{"Last-Event-Id": {at.String()}}},
		"by our script":         {"?after=" + at.String(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeLive(runIn("Succeeded"))
			_, answer := watched(t, f, test.query, test.header)
			events := readEvents(t, bufio.NewReader(answer.Body), 10)
			if f.after != at || events[len(events)-1].name != "end" {
				t.Errorf("the log was asked for after %v; events %v", f.after, events)
			}
		})
	}
}

func TestStreamsEndWhenTheServerDrains(t *testing.T) {
	t.Parallel()
	f := fullLive(runIn("Running"))
	s, answer := watched(t, f, "", nil)
	in := bufio.NewReader(answer.Body)
	readEvents(t, in, 1)
	s.Drain()
	s.Drain()
	for _, e := range readEvents(t, in, 10) {
		if e.name == "end" {
			t.Error("a browser is told that the run is over")
		}
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.stopped != 1 {
		t.Errorf("stop was called %d times", f.stopped)
	}
}

func TestAStreamThatIsRefused(t *testing.T) {
	t.Parallel()
	f := fullLive(runIn("Running"))
	f.errs["Changes"] = &portal.Error{Kind: portal.KindTooMany, Message: "Too many.", RetryAfter: 10 * time.Second}
	s, _ := liveServer(t, f)
	if w := ask(s, "GET", "/runs/x/log", "ada", nil); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "10" {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
}

func TestWithoutAClusterThereIsNoPageOfARun(t *testing.T) {
	t.Parallel()
	s, auth := fakeServer(t, func(d *Dependencies) { d.Live = nil })
	auth.person("ada")
	if w := ask(s, "GET", "/runs/x", "ada", nil); w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}

func TestWordsForNumbers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ got, want string }{
		{fileSize(0), "0 B"},
		{fileSize(1023), "1023 B"},
		{fileSize(1024), "1.0 KiB"},
		{fileSize(3_511_000_000), "3.3 GiB"},
		{fileSize(1 << 62), "4096 PiB"},
		{lasting(0), "0 s"},
		{lasting(-time.Hour), "0 s"},
		{lasting(61 * time.Second), "1 min 1 s"},
		{lasting(2 * time.Hour), "2 h"},
		{lasting(49 * time.Hour), "2 d 1 h"},
		{thousands(0), "0"},
		{thousands(999), "999"},
		{thousands(-1234567), "-1,234,567"},
		{figure(3), "3"},
		{figure(0.43121), "0.4312"},
		{figure(1e-9), "1e-09"},
		{capital("  it ended"), "It ended."},
		{capital("Done!"), "Done!"},
		{capital(""), ""},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestLogsOfAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	f := fullLive(runIn("Succeeded"))
	s, _ := liveServer(t, f)
	if body := ask(s, "GET", "/runs/x", "ada", nil).Body.String(); f.attempt != 0 || !strings.Contains(body, "files?kind=log&amp;attempt=1") {
		t.Errorf("the page asked for the logs of attempt %d, and links:\n%s", f.attempt, body)
	}
	for query, want := range map[string]struct{ status, attempt int }{
		"":           {http.StatusOK, 0},
		"&attempt=1": {http.StatusOK, 1},
		"&attempt=0": {http.StatusNotFound, -1},
		"&attempt=x": {http.StatusNotFound, -1},
	} {
		for _, path := range []string{"/runs/x/files?kind=log", "/runs/x/log.txt?y=z"} {
			f.attempt, f.objects["logs/attempt-0002/node-0/trainer-000001.log"] = -1, "line"
			if w := ask(s, "GET", path+query, "ada", nil); w.Code != want.status || f.attempt != want.attempt {
				t.Errorf("%s%s: status %d, attempt %d", path, query, w.Code, f.attempt)
			}
		}
	}
}

// TestAPageLeftOpenAsksQuietly: its stream and its points are no sign of life, and who was
// signed out is told so in a way that the page's script understands.
func TestAPageLeftOpenAsksQuietly(t *testing.T) {
	t.Parallel()
	s, auth := liveServer(t, fullLive(runIn("Succeeded")))
	for _, path := range []string{"/runs/x/log", "/runs/x/points"} {
		if w := ask(s, "GET", path, "", nil); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"message"`) {
			t.Errorf("%s, signed out: status %d:\n%s", path, w.Code, w.Body)
		}
	}
	auth.fail("Recognize", errors.New("asked"))
	for path, want := range map[string]int{"/runs/x": http.StatusOK, "/runs/x/log": http.StatusInternalServerError, "/runs/x/points": http.StatusInternalServerError} {
		if w := ask(s, "GET", path, "ada", nil); w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
}

// TestFailuresHaveWords: the reasons that people meet are those that the domain has words
// for, in the operator's spelling.
func TestFailuresHaveWords(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{
		v1alpha1.ReasonOOMKilled,
		v1alpha1.ReasonCUDAOutOfMemory,
		v1alpha1.ReasonNonZeroExit,
		v1alpha1.ReasonStalled,
		v1alpha1.ReasonMaxDurationReached,
		v1alpha1.ReasonGPUBudgetReached,
		v1alpha1.ReasonStartDeadlineExceeded,
		v1alpha1.ReasonDiskFull,
		v1alpha1.ReasonPodLost,
		v1alpha1.ReasonUploadFailed,
		v1alpha1.ReasonDatasetErasing,
		v1alpha1.ReasonDatasetCorrupt,
	} {
		if what, do, ok := portal.FailureWords(reason); !ok || what == "" || do == "" {
			t.Errorf("%s: %q, %q", reason, what, do)
		}
	}
}
