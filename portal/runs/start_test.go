package runs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/runs"
)

func TestStartMakesTheRunThatWasAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	draft := w.draft(t)
	run, err := w.service.Start(t.Context(), w.person, draft, "Baseline", w.dataset.ID, spec())
	if err != nil {
		t.Fatal(err)
	}
	want := portal.RunOrder{Namespace: w.tenant.Namespace, Object: draft.Object(), Dataset: w.dataset.ID.Object(), Spec: spec()}
	if diff := cmp.Diff(want, w.cluster.objects[draft.Object()].order); diff != "" {
		t.Errorf("in the cluster (-want +got):\n%s", diff)
	}
	if run.ID != draft || run.UID == "" || run.Wish != portal.WishRun {
		t.Errorf("run %+v", run)
	}
	if next := w.draft(t); next == draft {
		t.Error("the next form has the same draft")
	}
}

// startAtOnce sends the same form many times at the same moment, to several portals.
func startAtOnce(t *testing.T, w *world, portals []*runs.Service) {
	t.Helper()
	const submits = 50
	draft := w.draft(t)
	var wait sync.WaitGroup
	errs, ids := make([]error, submits), make([]portal.RunID, submits)
	for i := range submits {
		wait.Go(func() {
			run, err := portals[i%len(portals)].Start(t.Context(), w.person, draft, fmt.Sprintf("Baseline %d", i), w.dataset.ID, spec())
			ids[i], errs[i] = run.ID, err
		})
	}
	wait.Wait()
	for i := range submits {
		if errs[i] != nil || ids[i] != draft {
			t.Errorf("submit %d: run %q, %v", i, ids[i], errs[i])
		}
	}
	list, _, err := w.service.List(t.Context(), w.person, portal.RunFilter{}, portal.PageCursor{})
	if err != nil || len(list) != 1 {
		t.Errorf("%d runs, %v", len(list), err)
	}
	if diff := cmp.Diff(map[string]int{draft.Object(): 1}, w.cluster.made); diff != "" {
		t.Errorf("made in the cluster (-want +got):\n%s", diff)
	}
}

func TestFiftySubmitsAreOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	startAtOnce(t, w, []*runs.Service{w.service})
}

func TestFiftySubmitsToTwoReplicasOnPostgreSQLAreOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.StartPostgres(t).Store(t))
	startAtOnce(t, w, []*runs.Service{w.service, w.process(t, nil)})
}

func TestTwoTabsHaveOneDraft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	first, second := w.draft(t), w.draft(t)
	if first != second {
		t.Fatalf("drafts %s and %s", first, second)
	}
	if _, err := w.service.Start(t.Context(), w.person, first, "A", w.dataset.ID, spec()); err != nil {
		t.Fatal(err)
	}
	// The other tab, changed meanwhile, and even with what can't be started any more.
	run, err := w.service.Start(t.Context(), w.person, second, "", "", portal.RunSpec{})
	if err != nil || run.Name != "A" {
		t.Errorf("run %q, %v", run.Name, err)
	}
}

func TestADraftThatIsNotTheAccountsStartsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	w.draft(t)
	other := portal.NewID[portal.RunID](portaltest.Random(77))
	_, err := w.service.Start(t.Context(), w.person, other, "A", w.dataset.ID, spec())
	if portal.KindOf(err) != portal.KindConflict || len(w.cluster.made) > 0 {
		t.Errorf("%v, %v", err, w.cluster.made)
	}
}

func TestARefusalAtTheCheckKeepsTheDraft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	w.cluster.fail("CheckRun", refusal)
	draft := w.draft(t)
	_, err := w.service.Start(t.Context(), w.person, draft, "A", w.dataset.ID, spec())
	if diff := cmp.Diff([]string{"image"}, fieldsOf(err)); diff != "" || portal.KindOf(err) != portal.KindInvalid {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got := w.draft(t); got != draft {
		t.Error("the draft is used up")
	}
	w.cluster.fail("CheckRun", nil)
	if _, err := w.service.Start(t.Context(), w.person, draft, "A", w.dataset.ID, spec()); err != nil {
		t.Errorf("mended: %v", err)
	}
}

func TestARefusalAtTheMakingIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	w.cluster.fail("CreateRun", refusal)
	draft := w.draft(t)
	for range 2 { // The second submit meets the run of the first.
		run, err := w.service.Start(t.Context(), w.person, draft, "A", w.dataset.ID, spec())
		if portal.KindOf(err) != portal.KindInvalid || run.Refused != refusal.Message {
			t.Fatalf("refused %q, %v", run.Refused, err)
		}
	}
	if w.draft(t) == draft {
		t.Error("the form would be sent under the refused draft again")
	}
	if list, _, err := w.service.List(t.Context(), w.person, portal.RunFilter{}, portal.PageCursor{}); err != nil || len(list) != 0 {
		t.Errorf("the list has %d runs, %v", len(list), err)
	}
	if left, err := w.service.SettleAll(t.Context()); left != 0 || err != nil {
		t.Errorf("%d unsettled, %v", left, err)
	}
	if mails := w.mails(t); len(mails) > 0 {
		t.Errorf("%d mails to somebody who sees it on the page", len(mails))
	}
}

func TestWhileTheClusterIsAwayTheRunIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	for _, method := range []string{"CreateRun", "CheckRun", "Offers"} {
		w.cluster.fail(method, away)
	}
	run := w.start(t)
	if run.UID != "" {
		t.Fatalf("UID %q", run.UID)
	}
	if left, _ := w.service.SettleAll(t.Context()); left != 1 {
		t.Errorf("%d unsettled", left)
	}
	w.cluster.fail("CreateRun", nil)
	w.restart(t)
	if got := w.get(t, run.ID); got.UID == "" || w.cluster.made[run.ID.Object()] != 1 {
		t.Errorf("UID %q, made %v", got.UID, w.cluster.made)
	}
}

func TestALateRefusalIsMailedOnce(t *testing.T) {
	t.Parallel()
	for name, unwanted := range map[string][]portal.MailKind{"wanted": nil, "switched off": {portal.MailRunFailed}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portaltest.Store(t))
			err := w.store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
				return tx.SetUnwantedMails(ctx, w.person.Account.ID, unwanted)
			})
			if err != nil {
				t.Fatal(err)
			}
			w.cluster.fail("CreateRun", away)
			run := w.start(t)
			w.cluster.fail("CreateRun", refusal)
			w.restart(t)
			if got := w.get(t, run.ID).Refused; got != refusal.Message {
				t.Errorf("refused %q", got)
			}
			mails := w.mails(t)
			if unwanted != nil {
				if len(mails) != 0 {
					t.Errorf("%d mails", len(mails))
				}
				return
			}
			if len(mails) != 1 || mails[0].Kind != portal.MailRunFailed || mails[0].Data.Text != refusal.Message || !strings.HasSuffix(mails[0].Data.Link, string(run.ID)) {
				t.Errorf("mails %+v", mails)
			}
		})
	}
}

func TestOthersRunsAreNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	run := w.start(t)
	other := newWorld(t, w.store)
	theirs, s := other.person, other.service
	for name, act := range map[string]func() error{
		"get":     func() error { _, err := s.Get(t.Context(), theirs, run.ID); return err },
		"again":   func() error { _, err := s.Form(t.Context(), theirs, run.ID); return err },
		"cancel":  func() error { return s.Cancel(t.Context(), theirs, run.ID) },
		"suspend": func() error { return s.Suspend(t.Context(), theirs, run.ID) },
		"resume":  func() error { return s.Resume(t.Context(), theirs, run.ID) },
		"delete":  func() error { return s.Delete(t.Context(), theirs, run.ID) },
	} {
		if err := act(); !errors.Is(err, portal.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := s.Start(t.Context(), theirs, other.draft(t), "A", w.dataset.ID, spec())
	if diff := cmp.Diff([]string{"dataset"}, fieldsOf(err)); diff != "" {
		t.Errorf("a stranger's dataset (-want +got):\n%s", diff)
	}
	_, err = s.Start(t.Context(), theirs, other.draft(t), "A", other.dataset.ID, spec(func(s *portal.RunSpec) { s.ResumeFrom = run.ID }))
	if diff := cmp.Diff([]string{"resume_from"}, fieldsOf(err)); diff != "" {
		t.Errorf("a stranger's checkpoint (-want +got):\n%s", diff)
	}
}

func TestTokensNeedTheScopeOfTheAct(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	run := w.start(t)
	s := w.service
	read, write := []portal.Scope{portal.ScopeRunsRead}, []portal.Scope{portal.ScopeRunsWrite}
	for name, test := range map[string]struct {
		needs, not []portal.Scope
		act        func(portal.Principal) error
	}{
		"list": {read, write, func(p portal.Principal) error {
			_, _, err := s.List(t.Context(), p, portal.RunFilter{}, portal.PageCursor{})
			return err
		}},
		"get":   {read, write, func(p portal.Principal) error { _, err := s.Get(t.Context(), p, run.ID); return err }},
		"sets":  {read, write, func(p portal.Principal) error { _, err := s.Datasets(t.Context(), p); return err }},
		"yaml":  {read, write, func(p portal.Principal) error { _, err := s.YAML(t.Context(), p, run.ID, "", spec()); return err }},
		"form":  {write, read, func(p portal.Principal) error { _, err := s.Form(t.Context(), p, ""); return err }},
		"check": {write, read, func(p portal.Principal) error { return s.Check(t.Context(), p, run.ID, "A", w.dataset.ID, spec()) }},
		"start": {write, read, func(p portal.Principal) error {
			_, err := s.Start(t.Context(), p, run.ID, "A", w.dataset.ID, spec())
			return err
		}},
		"resume": {write, read, func(p portal.Principal) error { return s.Resume(t.Context(), p, run.ID) }},
	} {
		p := portal.Principal{Account: w.person.Account, Token: &portal.APIToken{Scopes: test.needs}}
		if err := test.act(p); err != nil {
			t.Errorf("%s with its scope: %v", name, err)
		}
		p.Token = &portal.APIToken{Scopes: test.not}
		if err := test.act(p); portal.KindOf(err) != portal.KindForbidden {
			t.Errorf("%s without: %v", name, err)
		}
	}
}

func TestTheFormHasWhatCanBeChosen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	for _, d := range []portal.DatasetSeen{{State: "Open"}, {State: "Sealing"}, {State: "Erasing"}, {State: "Invalid"}, {}} {
		portaltest.AddDataset(t, w.store, w.tenant, sealed, func(x *portal.Dataset) { x.Seen = d })
	}
	portaltest.AddDataset(t, w.store, w.tenant, sealed, func(x *portal.Dataset) { x.Wish = portal.WishErased })
	run := w.start(t, func(s *portal.RunSpec) { s.Env = map[string]string{"A": "b"} })
	w.change(t, run.ID, func(r *portal.Run) { r.Seen.Checkpoint = "0001-000100" })
	form, err := w.service.Form(t.Context(), w.person, run.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(form.Datasets) != 1 || form.Datasets[0].ID != w.dataset.ID {
		t.Errorf("%d datasets", len(form.Datasets))
	}
	if len(form.Sources) != 1 || form.Name != run.Name || form.Dataset != run.Dataset {
		t.Errorf("%d sources, name %q, dataset %q", len(form.Sources), form.Name, form.Dataset)
	}
	if diff := cmp.Diff(run.Spec, form.Spec); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
	want := []portal.RunOffer{
		{GPUOffer: portal.GPUOffer{Product: h200, Total: 16, PerNode: 8}, MicrosPerHour: 3_990_000, Priced: true},
		{GPUOffer: portal.GPUOffer{Product: l4, Total: 4, PerNode: 1}, MicrosPerHour: 790_000, Priced: true},
	}
	if diff := cmp.Diff(want, form.Offers); diff != "" || !form.OffersKnown {
		t.Errorf("offers, known %v (-want +got):\n%s", form.OffersKnown, diff)
	}
}

func TestTheListHasPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	for i := range 2*runs.PageSize + 3 {
		portaltest.AddRun(t, w.store, w.dataset, func(r *portal.Run) { r.CreatedAt = portaltest.Start.Add(time.Duration(i/2) * time.Second) })
	}
	seen, pages := map[portal.RunID]bool{}, 0
	for after := (portal.PageCursor{}); pages == 0 || !after.Time.IsZero(); pages++ {
		list, next, err := w.service.List(t.Context(), w.person, portal.RunFilter{}, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			seen[r.ID] = true
		}
		after = next
	}
	if pages != 3 || len(seen) != 2*runs.PageSize+3 {
		t.Errorf("%d pages, %d runs", pages, len(seen))
	}
	if _, _, err := w.service.List(t.Context(), w.person, portal.RunFilter{State: "Odd"}, portal.PageCursor{}); portal.KindOf(err) != portal.KindInvalid {
		t.Errorf("a state that there is not: %v", err)
	}
}
