package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

func started() portal.RunSeen {
	return portal.RunSeen{
		Version: 1, State: "Running", StartedAt: portaltest.Start,
		Attempts: []portal.RunAttempt{{Number: 1, StartedAt: portaltest.Start}},
	}
}

func ended1(attempts ...int) portal.RunSeen {
	s := started()
	s.State, s.EndedAt, s.Attempts = "Succeeded", portaltest.Start.Add(time.Hour), nil
	for _, n := range attempts {
		s.Attempts = append(s.Attempts, portal.RunAttempt{Number: n, StartedAt: portaltest.Start, EndedAt: s.EndedAt})
	}
	return s
}

func TestNobodySeesTheRunsOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	stranger, _ := portaltest.AddTenant(t, w.store)
	ctx, id := t.Context(), w.run.ID
	calls := map[string]func(portal.Principal) error{
		"Logs":   func(p portal.Principal) error { _, err := w.service.Logs(ctx, p, id, 0); return err },
		"View":   func(p portal.Principal) error { _, err := w.service.View(ctx, p, id); return err },
		"Events": func(p portal.Principal) error { _, err := w.service.Events(ctx, p, id); return err },
		"Series": func(p portal.Principal) error { _, err := w.service.Series(ctx, p, id); return err },
		"Download": func(p portal.Principal) error {
			_, err := w.service.Download(ctx, p, id, portal.FileArtifact, "a")
			return err
		},
		"Open": func(p portal.Principal) error {
			_, err := w.service.Open(ctx, p, id, portal.FileArtifact, "a")
			return err
		},
		"Files": func(p portal.Principal) error {
			_, err := w.service.Files(ctx, p, id, portal.FileArtifact, "", 1)
			return err
		},
		"Log": func(p portal.Principal) error {
			tail, err := w.service.Log(ctx, p, id, portal.LogPosition{})
			if err == nil {
				tail.Close()
			}
			return err
		},
		"Changes": func(p portal.Principal) error {
			_, stop, err := w.service.Changes(ctx, p, id)
			if err == nil {
				stop()
			}
			return err
		},
	}
	w.becomes(t, started())
	w.fakes.objects["a"] = "x"
	for name, call := range calls {
		if err := call(w.who); err != nil {
			t.Errorf("%s by the owner: %v", name, err)
		}
		if err := call(portal.Principal{Account: stranger}); portal.KindOf(err) != portal.KindNotFound {
			t.Errorf("%s by a stranger: %v", name, err)
		}
		token := w.who
		token.Token = &portal.APIToken{Scopes: []portal.Scope{portal.ScopeDatasetsRead, portal.ScopeRunsWrite}}
		if err := call(token); portal.KindOf(err) != portal.KindForbidden {
			t.Errorf("%s by a token without the scope: %v", name, err)
		}
		token.Token.Scopes = append(token.Token.Scopes, portal.ScopeRunsRead)
		if err := call(token); err != nil {
			t.Errorf("%s by a token with the scope: %v", name, err)
		}
	}
}

func TestWhatARunHasCost(t *testing.T) {
	t.Parallel()
	prices := []portal.Price{{Product: "*", MicrosPerHour: 3_600_000}}
	twoGPUs := func(r *portal.Run) { r.Spec.GPUs, r.Spec.Nodes, r.Spec.MaxGPUSeconds = 2, 1, 7200 }
	w := newWorld(t, Options{Prices: prices, Currency: "EUR"}, twoGPUs)
	seen := started()
	seen.GPUSeconds, seen.LostGPUSeconds = 100, 10
	w.becomes(t, seen)
	w.clock.Advance(50 * time.Second)
	view, err := w.service.View(t.Context(), w.who, w.run.ID)
	if err != nil {
		t.Fatal(err)
	}
	eur := func(micros int64) portal.Money { return portal.Money{Micros: micros, Currency: "EUR"} }
	want := &portal.RunCost{Spent: eur(200_000), Lost: eur(10_000), Cap: eur(7_200_000), PerHour: eur(7_200_000)}
	if diff := cmp.Diff(want, view.Cost); diff != "" {
		t.Errorf("cost (-want +got):\n%s", diff)
	}
	if view, err = newWorld(t, Options{}).service.View(t.Context(), w.who, w.run.ID); err == nil {
		t.Errorf("another store knows the run: %+v", view)
	}
}

func TestWhoWatchesIsToldOfChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{PerAccount: 2})
	first, stopFirst, err := w.service.Changes(t.Context(), w.who, w.run.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, stop, err := w.service.Changes(t.Context(), w.who, w.run.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.service.Changes(t.Context(), w.who, w.run.ID); portal.KindOf(err) != portal.KindTooMany {
		t.Errorf("one too many: %v", err)
	}
	stop()
	stop()
	for range 5 {
		w.becomes(t, started()) // nobody reads, and nothing waits
	}
	<-first
	select {
	case <-first:
		t.Error("five changes that nobody has read are told more than once")
	default:
	}
	stopFirst()
	if len(w.service.watchers)+len(w.service.watched) > 0 {
		t.Error("who has gone is remembered")
	}
}

func TestCurvesOfARunThatGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	tell := func(step int64) {
		s := started()
		s.Version = uint64(step)
		s.Progress = portal.RunProgress{At: portaltest.Start.Add(time.Duration(step) * time.Second), Step: step, Metrics: map[string]float64{"loss": 1 / float64(step)}}
		w.becomes(t, s)
	}
	for step := int64(1); step <= 30; step++ {
		tell(step)
		tell(step) // seen twice
	}
	points, err := w.service.Series(t.Context(), w.who, w.run.ID)
	if err != nil || len(points) != 30 || points[29].Metrics["loss"] != 1.0/30 {
		t.Fatalf("%d points, %v", len(points), err)
	}
	w.fakes.objects["logs/attempt-0001/node-0/progress.jsonl"] = `{"step":1,"metrics":{"loss":9}}
{"step":2,"metrics":{"loss":NaN}}
nonsense
{"step":25,"metrics":{"loss":0.5,"accuracy":Infinity}}
`
	if points, err = w.service.Series(t.Context(), w.who, w.run.ID); err != nil || len(points) != 2+5 || points[1].Step != 25 || points[2].Step != 26 {
		t.Errorf("with what the store has: %d points, %v, %v", len(points), points, err)
	}
	w.fakes.grantErr = errors.New("the broker is away")
	w.clock.Advance(time.Hour)
	if points, err = w.service.Series(t.Context(), w.who, w.run.ID); err != nil || len(points) != 30 {
		t.Errorf("without the store: %d points, %v", len(points), err)
	}
}

func TestCurvesOfSeveralAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.becomes(t, ended1(1, 2))
	series := func(from, to int) string {
		var out strings.Builder
		for step := from; step <= to; step++ {
			fmt.Fprintf(&out, "{\"step\":%d,\"metrics\":{\"loss\":%d}}\n", step, to)
		}
		return out.String()
	}
	w.fakes.objects["logs/attempt-0001/node-0/progress.jsonl"] = series(1, 20)
	w.fakes.objects["logs/attempt-0002/node-0/progress.jsonl"] = series(11, 30)
	points, err := w.service.Series(t.Context(), w.who, w.run.ID)
	if err != nil || len(points) != 30 || points[9].Metrics["loss"] != 20 || points[10].Metrics["loss"] != 30 {
		t.Fatalf("%d points, %v", len(points), err)
	}
	w.fakes.objects["logs/attempt-0002/node-0/progress.jsonl"] = series(11, 100_000)
	w.clock.Advance(seriesFor)
	points, err = w.service.Series(t.Context(), w.who, w.run.ID)
	if err != nil || len(points) > chartPoints+1 || points[len(points)-1].Step < 99_000 {
		t.Errorf("of 100,000 points %d are left, %v", len(points), err)
	}
}

func TestHistoriesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHistories()
	at := func(id, step int) portal.Run {
		return portal.Run{ID: portal.RunID(fmt.Sprint(id)), Seen: portal.RunSeen{Progress: portal.RunProgress{
			At: portaltest.Start.Add(time.Duration(step) * time.Second), Step: int64(step), Metrics: map[string]float64{"loss": 1},
		}}}
	}
	for step := 1; step <= 5000; step++ {
		h.add(at(1, step))
	}
	points := h.of("1")
	if len(points) > maxPoints || points[0].Step != 1 || points[len(points)-1].Step != 5000 {
		t.Errorf("%d points", len(points))
	}
	h.add(at(1, 5001))
	back := at(1, 5002)
	back.Seen.Progress.Step = 2500 // began again at a checkpoint
	h.add(back)
	points = h.of("1")
	if last := points[len(points)-1]; last.Step != 2500 || points[len(points)-2].Step > 2500 {
		t.Errorf("what was taken back is still there: %v", last)
	}
	for id := range 2 * maxHistories {
		h.add(at(id+2, 1))
	}
	if len(h.runs) != maxHistories || h.of("1") != nil {
		t.Errorf("%d histories", len(h.runs))
	}
}

func TestTheLogOfARunThatHasEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.becomes(t, ended1(1, 2))
	w.fakes.objects["logs/attempt-0001/node-0/trainer-000001.log"] = stamped(1, "of the first attempt") + "\n"
	w.fakes.objects["logs/attempt-0002/node-0/trainer-000001.log"] = stamped(2, "one") + "\n" + stamped(3, "two") + "\n"
	tail, err := w.service.Log(t.Context(), w.who, w.run.ID, portal.LogPosition{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := tail.Next(t.Context())
	if err != nil || len(part.Lines) != 2 || part.Skipped != 0 || part.Lines[1].Text != "two" {
		t.Fatalf("%+v, %v", part, err)
	}
	if _, err := tail.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	again, err := w.service.Log(t.Context(), w.who, w.run.ID, part.Lines[0].Position)
	if err != nil {
		t.Fatal(err)
	}
	if part, err = again.Next(t.Context()); err != nil || len(part.Lines) != 1 || part.Lines[0].Text != "two" {
		t.Errorf("after the first line: %+v, %v", part, err)
	}
	if opened, _, _ := w.trainer.counts(); opened > 0 {
		t.Error("the cluster was asked for the log of a run that has ended")
	}
	w.clock.Advance(listsFor)
	w.fakes.objects["logs/attempt-0002/node-0/trainer-000002.log"] = stamped(4, strings.Repeat("x", 1000)) + "\n" + strings.Repeat(stamped(5, strings.Repeat("y", 1000))+"\n", 1000)
	long, err := w.service.Log(t.Context(), w.who, w.run.ID, portal.LogPosition{})
	if err != nil {
		t.Fatal(err)
	}
	if part, err = long.Next(t.Context()); err != nil || part.Skipped != -1 || len(part.Lines) < 100 || len(part.Lines) > 300 {
		t.Errorf("of a long log: %d lines, %d skipped, %v", len(part.Lines), part.Skipped, err)
	}
}

func TestARunThatHasLeftNothing(t *testing.T) {
	t.Parallel()
	for name, seen := range map[string]portal.RunSeen{"no attempt": {Version: 1, State: "Failed", EndedAt: portaltest.Start}, "no log": ended1(1)} {
		w := newWorld(t, Options{})
		w.becomes(t, seen)
		tail, err := w.service.Log(t.Context(), w.who, w.run.ID, portal.LogPosition{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := tail.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		if files, err := w.service.Files(t.Context(), w.who, w.run.ID, portal.FileArtifact, "", 5); err != nil || len(files.Files) > 0 {
			t.Errorf("%s: %v, %v", name, files, err)
		}
	}
}

func TestALogEndsWithItsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Hub: HubOptions{Retry: time.Hour}})
	w.becomes(t, started())
	w.trainer.say(stamped(1, "hello"))
	tail, err := w.service.Log(t.Context(), w.who, w.run.ID, portal.LogPosition{})
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	if got, _, err := texts(t, tail, 1); err != nil || got[0] != "hello" {
		t.Fatal(got, err)
	}
	w.trainer.set(func() { w.trainer.ended = true })
	w.becomes(t, ended1(1))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		// The stream may end before or after its run: then it takes the word that the run has changed.
		_, err := tail.Next(ctx)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventsAndGrantsAreNotAskedForAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{LinkLife: time.Minute})
	w.becomes(t, started())
	for range 20 {
		if _, err := w.service.Events(t.Context(), w.who, w.run.ID); err != nil {
			t.Fatal(err)
		}
		content, err := w.service.Download(t.Context(), w.who, w.run.ID, portal.FileLog, "logs/x")
		if err != nil || !strings.HasSuffix(content.Link, "logs/x?for=1m0s") {
			t.Fatal(content, err)
		}
		w.clock.Advance(time.Second)
	}
	if w.fakes.asked != 2 || w.fakes.granted != 1 {
		t.Errorf("asked for events %d times, for credentials %d times", w.fakes.asked, w.fakes.granted)
	}
	w.clock.Advance(time.Hour)
	if _, err := w.service.Download(t.Context(), w.who, w.run.ID, portal.FileLog, "logs/x"); err != nil || w.fakes.granted != 2 {
		t.Errorf("credentials that have aged were asked for %d times: %v", w.fakes.granted, err)
	}
}

func TestTheServiceNeedsItsDependencies(t *testing.T) {
	t.Parallel()
	if _, err := New(Dependencies{}, Options{}); err == nil {
		t.Error("a service of nothing was made")
	}
}

func TestLogsAreCountedToo(t *testing.T) {
	t.Parallel()
	for name, seen := range map[string]portal.RunSeen{"of a run that goes on": started(), "of one that has ended": ended1(1)} {
		w := newWorld(t, Options{PerAccount: 2})
		w.becomes(t, seen)
		var tails []portal.LogTail
		for range 2 {
			tail, err := w.service.Log(t.Context(), w.who, w.run.ID, portal.LogPosition{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			tails = append(tails, tail)
		}
		if _, err := w.service.Log(t.Context(), w.who, w.run.ID, portal.LogPosition{}); portal.KindOf(err) != portal.KindTooMany {
			t.Errorf("%s, one too many: %v", name, err)
		}
		tails[0].Close()
		tails[0].Close()
		third, err := w.service.Log(t.Context(), w.who, w.run.ID, portal.LogPosition{})
		if err != nil {
			t.Fatalf("%s, after one was closed: %v", name, err)
		}
		third.Close()
		tails[1].Close()
		if len(w.service.reading) > 0 {
			t.Errorf("%s: who has gone is remembered", name)
		}
	}
}

// TestTheStoreIsAskedOnceOfARunThatHasEnded: only what may still change is asked for anew.
func TestTheStoreIsAskedOnceOfARunThatHasEnded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		seen                    portal.RunSeen
		lists, opened           int
		listsLater, openedLater int
	}{
		"one that has ended": {seen: ended1(1, 2), lists: 1, opened: 2, listsLater: 2, openedLater: 4},
		"one that goes on":   {seen: started(), lists: 3, opened: 3, listsLater: 4, openedLater: 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			w.becomes(t, test.seen)
			w.fakes.objects["logs/attempt-0001/node-0/progress.jsonl"] = `{"step":1,"metrics":{"loss":9}}` + "\n"
			look := func() {
				t.Helper()
				if _, err := w.service.Logs(t.Context(), w.who, w.run.ID, 0); err != nil {
					t.Error(err)
				}
				if points, err := w.service.Series(t.Context(), w.who, w.run.ID); err != nil || len(points) != 1 {
					t.Errorf("%v, %v", points, err)
				}
			}
			for range 3 {
				look()
			}
			if w.fakes.listed != test.lists || w.fakes.opened != test.opened {
				t.Errorf("listed %d times, read %d", w.fakes.listed, w.fakes.opened)
			}
			w.clock.Advance(seriesFor)
			look()
			if w.fakes.listed != test.listsLater || w.fakes.opened != test.openedLater {
				t.Errorf("later listed %d times, read %d", w.fakes.listed, w.fakes.opened)
			}
		})
	}
}

func TestLogsOfAnAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.becomes(t, ended1(1, 2))
	for _, attempt := range []string{"0001", "0002"} {
		w.fakes.objects["logs/attempt-"+attempt+"/node-0/trainer-000001.log"] = attempt
	}
	for attempt, want := range map[int]string{0: "0002", 1: "0001", 2: "0002"} {
		found, err := w.service.Logs(t.Context(), w.who, w.run.ID, attempt)
		if err != nil || len(found.Files) != 1 || !strings.Contains(found.Files[0].Path, want) {
			t.Errorf("attempt %d: %v, %v", attempt, found, err)
		}
	}
	for _, attempt := range []int{-1, 3} {
		if _, err := w.service.Logs(t.Context(), w.who, w.run.ID, attempt); portal.KindOf(err) != portal.KindNotFound {
			t.Errorf("attempt %d: %v", attempt, err)
		}
	}
	if all, err := w.service.Files(t.Context(), w.who, w.run.ID, portal.FileLog, "", 10); err != nil || len(all.Files) != 2 {
		t.Errorf("of all attempts: %v, %v", all, err)
	}
}

func TestAShelfIsBounded(t *testing.T) {
	t.Parallel()
	s := newShelf[int](time.Minute, 10)
	at := func(n int) shelfKey { return shelfKey{run: portal.RunID(fmt.Sprint(n))} }
	for n := range 5 {
		s.put(at(n), n, 4, portaltest.Start.Add(time.Duration(n)*time.Second))
	}
	s.put(at(9), 9, 11, portaltest.Start) // larger than all there is
	s.put(at(4), 44, 4, portaltest.Start.Add(5*time.Second))
	now := portaltest.Start.Add(6 * time.Second)
	if value, ok := s.get(at(4), now); !ok || value != 44 || len(s.items) != 2 || s.size != 8 {
		t.Errorf("%d, %v; %d things of size %d", value, ok, len(s.items), s.size)
	}
	if _, ok := s.get(at(4), now.Add(time.Minute)); ok {
		t.Error("what is too old is given")
	}
	s.put(at(7), 7, 1, now.Add(time.Minute))
	if len(s.items) != 1 || s.size != 1 {
		t.Errorf("what is too old is kept: %d things of size %d", len(s.items), s.size)
	}
}
