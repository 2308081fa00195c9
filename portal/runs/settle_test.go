package runs_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/runs"
)

// crashCase is something a person does, and how it has to stand after a restart.
type crashCase struct {
	// before is done by a portal that lives, act by one that is killed, again by the person
	// after the restart, who saw an error and tries once more.
	before func(*testing.T, *world) portal.RunID
	act    func(*testing.T, *runs.Service, *world, portal.RunID) error
	// done says what is wrong with the end; wished tells whether the wish was written.
	done   func(*testing.T, *world, portal.RunID) string
	wished func(portal.Run) bool
}

func running(t *testing.T, w *world) portal.RunID {
	t.Helper()
	run := w.start(t)
	w.watch(t)
	return run.ID
}

func suspended(t *testing.T, w *world) portal.RunID {
	t.Helper()
	id := running(t, w)
	if err := w.service.Suspend(t.Context(), w.person, id); err != nil {
		t.Fatal(err)
	}
	w.watch(t)
	return id
}

// wanting are runs that the cluster has not taken yet.
func wanting(t *testing.T, w *world) portal.RunID {
	t.Helper()
	w.cluster.fail("CreateRun", away)
	run := w.start(t)
	w.cluster.fail("CreateRun", nil)
	return run.ID
}

func crashCases() map[string]crashCase {
	act := func(do func(*runs.Service, context.Context, portal.Principal, portal.RunID) error) func(*testing.T, *runs.Service, *world, portal.RunID) error {
		return func(t *testing.T, s *runs.Service, w *world, id portal.RunID) error {
			t.Helper()
			return do(s, t.Context(), w.person, id)
		}
	}
	wish := func(wanted portal.RunWish) func(portal.Run) bool {
		return func(r portal.Run) bool { return r.Wish == wanted }
	}
	stopped := func(t *testing.T, w *world, id portal.RunID) string {
		t.Helper()
		if o := w.cluster.objects[id.Object()]; o != nil && !o.stopped {
			return "it trains on"
		}
		return ""
	}
	gone := func(t *testing.T, w *world, id portal.RunID) string {
		t.Helper()
		if w.cluster.objects[id.Object()] != nil || w.get(t, id).GoneAt.IsZero() {
			return fmt.Sprintf("object %v, gone at %v", w.cluster.objects[id.Object()], w.get(t, id).GoneAt)
		}
		return ""
	}
	stands := func(still bool) func(*testing.T, *world, portal.RunID) string {
		return func(t *testing.T, w *world, id portal.RunID) string {
			t.Helper()
			if o := w.cluster.objects[id.Object()]; o == nil || o.suspended != still {
				return fmt.Sprintf("object %+v", o)
			}
			return ""
		}
	}
	return map[string]crashCase{
		"start": {
			before: func(t *testing.T, w *world) portal.RunID { t.Helper(); return w.draft(t) },
			act: func(t *testing.T, s *runs.Service, w *world, id portal.RunID) error {
				t.Helper()
				_, err := s.Start(t.Context(), w.person, id, "Baseline", w.dataset.ID, spec())
				return err
			},
			done: stands(false), wished: wish(portal.WishRun),
		},
		"cancel":               {running, act((*runs.Service).Cancel), stopped, wish(portal.WishCancelled)},
		"cancel before it was": {wanting, act((*runs.Service).Cancel), stopped, wish(portal.WishCancelled)},
		"suspend":              {running, act((*runs.Service).Suspend), stands(true), wish(portal.WishSuspended)},
		"suspend a wanted one": {wanting, act((*runs.Service).Suspend), stands(true), wish(portal.WishSuspended)},
		"resume":               {suspended, act((*runs.Service).Resume), stands(false), wish(portal.WishRun)},
		"delete":               {running, act((*runs.Service).Delete), gone, wish(portal.WishDeleted)},
		"delete before it was": {wanting, act((*runs.Service).Delete), gone, wish(portal.WishDeleted)},
	}
}

func TestAPortalKilledAnywhereLeavesTheRightState(t *testing.T) {
	t.Parallel()
	for name, c := range crashCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for at := 1; ; at++ {
				whole := false
				for _, after := range []bool{false, true} {
					whole = crashAt(t, c, at, after)
				}
				if whole {
					break
				}
				points = at
			}
			if points < 2 {
				t.Errorf("only %d calls to be killed at", points)
			}
			t.Logf("killed before and after each of %d calls", points)
		})
	}
}

// crashAt kills the portal at one call; it reports whether the act was whole before that.
func crashAt(t *testing.T, c crashCase, at int, after bool) bool {
	t.Helper()
	w := newWorld(t, portaltest.Store(t))
	id := c.before(t, w)
	f := &fuse{at: at, after: after}
	err := c.act(t, w.process(t, f), w, id)
	where := fmt.Sprintf("killed at call %d, after it: %v, the person saw %v", at, after, err)
	w.restart(t)

	run, getErr := w.service.Get(t.Context(), w.person, id)
	if getErr == nil && c.wished(run) {
		if wrong := c.done(t, w, id); wrong != "" {
			t.Errorf("%s: after the restart %s", where, wrong)
		}
	}
	// Who saw an error, or nothing, does it once more.
	if err := c.act(t, w.service, w, id); err != nil && portal.KindOf(err) != portal.KindConflict {
		t.Errorf("%s: once more: %v", where, err)
	}
	w.restart(t)
	if wrong := c.done(t, w, id); wrong != "" {
		t.Errorf("%s: in the end %s", where, wrong)
	}
	if made := w.cluster.made[id.Object()]; made > 1 {
		t.Errorf("%s: made %d times", where, made)
	}
	if list, _, err := w.service.List(t.Context(), w.person, portal.RunFilter{}, portal.PageCursor{}); err != nil || len(list) > 1 {
		t.Errorf("%s: %d runs, %v", where, len(list), err)
	}
	if left, err := w.service.SettleAll(t.Context()); err != nil || left != 0 {
		t.Errorf("%s: %d still unsettled, %v", where, left, err)
	}
	return !f.blown
}

// TestAMakingThatComesLateIsUndone has another replica's call land after the delete.
func TestAMakingThatComesLateIsUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	id := wanting(t, w)
	if err := w.service.Delete(t.Context(), w.person, id); err != nil {
		t.Fatal(err)
	}
	if _, err := w.cluster.CreateRun(t.Context(), portal.RunOrder{Object: id.Object()}); err != nil {
		t.Fatal(err)
	}
	if got := w.get(t, id); !got.GoneAt.IsZero() {
		t.Fatal("given up too early")
	}
	w.restart(t)
	if o := w.cluster.objects[id.Object()]; o != nil {
		t.Error("it runs, and nobody wants it")
	}
	if got := w.get(t, id); got.GoneAt.IsZero() {
		t.Error("it is never gone")
	}
}

func TestActsThatComeTooLateAreRefused(t *testing.T) {
	t.Parallel()
	ended := func(r *portal.Run) { r.Seen.State, r.Seen.EndedAt = "Succeeded", portaltest.Start }
	wished := func(wish portal.RunWish) func(*portal.Run) { return func(r *portal.Run) { r.Wish = wish } }
	refused := func(r *portal.Run) { r.UID, r.Refused = "", "No." }
	for name, test := range map[string]struct {
		run  func(*portal.Run)
		act  func(*runs.Service, context.Context, portal.Principal, portal.RunID) error
		want portal.Kind
	}{
		"cancel one that is over":         {ended, (*runs.Service).Cancel, portal.KindConflict},
		"suspend one that is over":        {ended, (*runs.Service).Suspend, portal.KindConflict},
		"resume a cancelled one":          {wished(portal.WishCancelled), (*runs.Service).Resume, portal.KindConflict},
		"suspend a cancelled one":         {wished(portal.WishCancelled), (*runs.Service).Suspend, portal.KindConflict},
		"cancel a deleted one":            {wished(portal.WishDeleted), (*runs.Service).Cancel, portal.KindConflict},
		"cancel a refused one":            {refused, (*runs.Service).Cancel, portal.KindConflict},
		"delete one that is over":         {ended, (*runs.Service).Delete, 0},
		"cancel twice":                    {wished(portal.WishCancelled), (*runs.Service).Cancel, 0},
		"delete twice":                    {wished(portal.WishDeleted), (*runs.Service).Delete, 0},
		"cancel a suspended one":          {wished(portal.WishSuspended), (*runs.Service).Cancel, 0},
		"resume one that was never still": {wished(portal.WishRun), (*runs.Service).Resume, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portaltest.Store(t))
			run := portaltest.AddRun(t, w.store, w.dataset)
			w.change(t, run.ID, test.run)
			err := test.act(w.service, t.Context(), w.person, run.ID)
			if (err == nil) != (test.want == 0) || err != nil && portal.KindOf(err) != test.want {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTheLoopTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, portaltest.Store(t))
		w.cluster.fail("CreateRun", away)
		run := w.start(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.service.Run(ctx) }()
		<-time.After(time.Second) // In the bubble's time.
		w.cluster.fail("CreateRun", nil)
		<-time.After(runs.DefaultEvery + time.Second)
		if got := w.get(t, run.ID); got.UID == "" {
			t.Error("it was not tried again")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
