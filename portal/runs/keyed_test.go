package runs_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// TestAKeyStartsOneRun: however many programs send it at once, and beside a form that
// somebody has open.
func TestAKeyStartsOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	draft := w.draft(t)
	id := portal.NewID[portal.RunID](portaltest.Random(811))
	const programs = 20
	ids := make([]portal.RunID, programs)
	var all sync.WaitGroup
	for i := range programs {
		all.Go(func() {
			run, err := w.service.StartKeyed(t.Context(), w.person, id, "Baseline", w.dataset.ID, spec())
			if err != nil {
				t.Error(err)
			}
			ids[i] = run.ID
		})
	}
	all.Wait()
	for _, got := range ids {
		if got != id {
			t.Errorf("the run is %s, want %s", got, id)
		}
	}
	if diff := cmp.Diff(map[string]int{id.Object(): 1}, w.cluster.made); diff != "" {
		t.Errorf("made in the cluster (-want +got):\n%s", diff)
	}
	if after := w.draft(t); after != draft {
		t.Errorf("the form's draft was %s and is %s", draft, after)
	}
}

func TestAKeyedStartNeedsAnID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	if run, err := w.service.StartKeyed(t.Context(), w.person, "r", "Baseline", w.dataset.ID, spec()); err == nil {
		t.Errorf("started %s", run.ID)
	}
}

func TestOffersNeedTheScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	offers, err := w.service.Offers(t.Context(), w.person)
	if err != nil || len(offers) != 2 || !offers[0].Priced || w.service.Currency() != "EUR" {
		t.Errorf("got %v, %v", offers, err)
	}
	p := w.person
	p.Token = &portal.APIToken{Scopes: []portal.Scope{portal.ScopeRunsWrite}}
	if _, err := w.service.Offers(t.Context(), p); portal.KindOf(err) != portal.KindForbidden {
		t.Errorf("a token for other things: %v", err)
	}
	w.cluster.fail("Offers", away)
	if _, err := w.service.Offers(t.Context(), w.person); portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("while the cluster is away: %v", err)
	}
}
