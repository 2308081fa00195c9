package follow

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

func running(version uint64) portal.RunSeen {
	return portal.RunSeen{Version: version, At: portaltest.Start, State: "Running", StartedAt: portaltest.Start, Progress: portal.RunProgress{At: portaltest.Start, Step: 3, Metrics: map[string]float64{"loss": 2}}}
}

func succeeded(version uint64) portal.RunSeen {
	s := running(version)
	s.State, s.EndedAt = "Succeeded", portaltest.Start.Add(time.Hour)
	return s
}

func failed(version uint64, f portal.RunFailure) portal.RunSeen {
	s := running(version)
	s.State, s.EndedAt, s.Reason, s.Message, s.Failure = "Failed", portaltest.Start.Add(time.Hour), f.Reason, "the trainer ended", &f
	return s
}

func TestARunIsWrittenOncePerChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seesRun(running(5), false)
	w.round()
	run, _ := w.now()
	if diff := cmp.Diff(running(5), run.Seen); diff != "" || run.UID != runUID {
		t.Fatalf("the run is kept with UID %q (-want +got):\n%s", run.UID, diff)
	}
	writes := w.store.writes
	for version := uint64(6); version < 9; version++ {
		w.seesRun(running(version), false)
		w.round()
	}
	older := succeeded(4)
	w.seesRun(older, false)
	w.round()
	other := &world{t: t, clock: w.clock, store: w.store, receipts: w.receipts, heard: w.heard, run: w.run, dataset: w.dataset, account: w.account}
	other.restart() // a second replica sees the same
	other.seesRun(running(5), false)
	other.round()
	if w.store.writes != writes {
		t.Errorf("what changes nothing was written %d times", w.store.writes-writes)
	}
	if run, _ = w.now(); run.Revision != 1 && run.Seen.State != "Running" {
		t.Errorf("the run is %+v", run)
	}
	if len(w.heard.runs) < 5 {
		t.Errorf("the listener heard %d times, want each time that the run was seen", len(w.heard.runs))
	}
}

func TestOfSeveralSightsTheNewestIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seesRun(succeeded(9), false)
	w.seesRun(running(8), false)
	before := w.store.writes
	w.round()
	if run, _ := w.now(); run.Seen.State != "Succeeded" || w.store.writes != before+1 {
		t.Errorf("the run is %s after %d writes, want Succeeded after one", run.Seen.State, w.store.writes-before)
	}
	w.seesRun(portal.RunSeen{}, true)
	w.round()
	if run, _ := w.now(); run.Seen.State != "Succeeded" || run.GoneAt.IsZero() {
		t.Errorf("a run that went is %s, gone at %v", run.Seen.State, run.GoneAt)
	}
}

func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.store.writes
	w.follower.RunSeen(t.Context(), w.run.Namespace, "mnist", runUID, running(1), false)
	w.follower.RunSeen(t.Context(), w.run.Namespace, portal.NewID[portal.RunID](portaltest.Random(99)).Object(), runUID, running(1), false)
	w.follower.DatasetSeen(t.Context(), "elsewhere", w.dataset.ID.Object(), datasetUID, portal.DatasetSeen{Version: 1}, false, false)
	w.follower.TenantSeen(t.Context(), "elsewhere", true, "")
	if pause := w.round(); pause != idle || w.store.writes != before {
		t.Errorf("%d writes, then a pause of %v", w.store.writes-before, pause)
	}
	w.seesRun(running(2), false)
	w.round()
	w.follower.RunSeen(t.Context(), w.run.Namespace, w.run.ID.Object(), datasetUID, succeeded(3), true)
	w.round()
	if run, _ := w.now(); run.Seen.State != "Running" || !run.GoneAt.IsZero() {
		t.Errorf("another object of the name has changed the run: %+v", run.Seen)
	}
}

func TestMailsOfARun(t *testing.T) {
	t.Parallel()
	oom := portal.RunFailure{Blame: "User", Reason: "OOMKilled", Hint: "give it more memory"}
	budget := portal.RunFailure{Blame: "Budget", Reason: "GPUBudgetReached", Hint: "raise the limit"}
	cancelled := failed(7, oom)
	cancelled.Reason = "Cancelled"
	tests := map[string]struct {
		wish     portal.RunWish
		unwanted []portal.MailKind
		seen     []portal.RunSeen
		want     []portal.MailKind
		text     string
	}{
		"one that runs and ends well has two": {
			seen: []portal.RunSeen{{Version: 1, State: "Starting"}, running(2), {Version: 3, State: "Starting", StartedAt: portaltest.Start}, running(4), succeeded(5)},
			want: []portal.MailKind{portal.MailRunStarted, portal.MailRunFinished},
		},
		"one that was first seen at its end has one":                     {seen: []portal.RunSeen{succeeded(5)}, want: []portal.MailKind{portal.MailRunFinished}},
		"one that fails is told with what to do":                         {seen: []portal.RunSeen{failed(7, oom)}, want: []portal.MailKind{portal.MailRunFailed}, text: "The program needed more memory than it was given. Start it again with more memory, a smaller batch or fewer data loaders."},
		"one that its limit has stopped is told so":                      {seen: []portal.RunSeen{failed(7, budget)}, want: []portal.MailKind{portal.MailRunStopped}, text: "The run used up the GPU time that you allowed. Start again from its last checkpoint with a higher limit."},
		"a failure that is no usual one is told in the operator's words": {seen: []portal.RunSeen{failed(7, portal.RunFailure{Blame: "User", Reason: "Unheard", Hint: "look again"})}, want: []portal.MailKind{portal.MailRunFailed}, text: "The trainer ended. Look again."},
		"one that was cancelled has none":                                {wish: portal.WishCancelled, seen: []portal.RunSeen{failed(7, oom)}},
		"one that was cancelled by kubectl has none":                     {seen: []portal.RunSeen{cancelled}},
		"one in the new state Cancelled has none":                        {seen: []portal.RunSeen{{Version: 3, State: "Cancelled", EndedAt: portaltest.Start}}},
		"one that is being deleted has none":                             {wish: portal.WishDeleted, seen: []portal.RunSeen{succeeded(7)}},
		"what the person does not want is left out":                      {unwanted: []portal.MailKind{portal.MailRunStarted}, seen: []portal.RunSeen{running(2), succeeded(3)}, want: []portal.MailKind{portal.MailRunFinished}},
		"what can't be switched off comes all the same":                  {unwanted: []portal.MailKind{portal.MailRunStopped}, seen: []portal.RunSeen{failed(3, budget)}, want: []portal.MailKind{portal.MailRunStopped}, text: "The run used up the GPU time that you allowed. Start again from its last checkpoint with a higher limit."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if test.wish != "" {
				w.change(func(r *portal.Run) { r.Wish = test.wish }, func(*portal.Dataset) {})
			}
			if err := w.store.Store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
				return tx.SetUnwantedMails(ctx, w.account.ID, test.unwanted)
			}); err != nil {
				t.Fatal(err)
			}
			for _, s := range test.seen {
				w.seesRun(s, false)
				w.round()
				w.restart()
				w.clock.Advance(time.Second)
			}
			if want := append([]portal.MailKind{}, test.want...); !cmp.Equal(want, w.mails()) {
				t.Fatalf("mails (-want +got):\n%s", cmp.Diff(want, w.mails()))
			}
			for _, mail := range w.outbox() {
				if mail.Data.Link != "/runs/"+string(w.run.ID) || mail.Data.Name != w.run.Name || mail.To != w.account.Email {
					t.Errorf("the mail is %+v", mail)
				}
				if mail.Data.Text != test.text {
					t.Errorf("the mail says %q, want %q", mail.Data.Text, test.text)
				}
			}
		})
	}
}

func TestADatasetIsErasedWhenItsReceiptIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seesDataset(portal.DatasetSeen{Version: 1, State: "Ready"}, false)
	w.round()
	w.seesDataset(portal.DatasetSeen{Version: 2, State: "Erasing"}, true)
	pause := w.round()
	if _, d := w.now(); !d.ErasedAt.IsZero() {
		t.Fatal("a dataset without a receipt counts as erased")
	}
	if pause != defaultRetry {
		t.Errorf("the receipt is asked for again after %v, want %v", pause, defaultRetry)
	}
	for name, wrong := range map[string][]byte{"no receipt": []byte("{}"), "another's": first(receiptOf(t, "datasetretentions", "other", datasetUID))} {
		w.receipts.kept[w.dataset.Namespace+"/"+datasetUID] = wrong
		w.clock.Advance(maxRetry)
		w.round()
		if _, d := w.now(); !d.ErasedAt.IsZero() {
			t.Fatalf("%s is taken as the receipt", name)
		}
	}
	envelope, digest := receiptOf(t, "datasetretentions", w.dataset.Namespace, datasetUID)
	w.receipts.kept[w.dataset.Namespace+"/"+datasetUID] = envelope
	w.clock.Advance(maxRetry)
	w.round()
	_, d := w.now()
	if d.Receipt != digest || !d.ErasedAt.Equal(portaltest.Start.Add(time.Hour)) {
		t.Fatalf("the dataset was erased at %v with receipt %q", d.ErasedAt, d.Receipt)
	}
	if mails := w.outbox(); len(mails) != 1 || mails[0].Kind != portal.MailDatasetErased || mails[0].Data.Text != digest {
		t.Errorf("mails %+v", mails)
	}
	var kept portal.Receipt
	if err := w.store.Store.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		kept, err = tx.Receipt(ctx, w.account.ID, datasetUID)
		return err
	}); err != nil || string(kept.Envelope) != string(envelope) || kept.Digest != digest || kept.Name != w.dataset.Name {
		t.Errorf("the receipt that is kept: %+v, %v", kept, err)
	}
}

func first[A, B any](a A, _ B) A { return a }

func TestWhatIsNotInTheClusterAnyMoreIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seesRun(running(1), false)
	w.seesDataset(portal.DatasetSeen{Version: 1, State: "Ready"}, false)
	w.round()
	w.receipts.kept[w.dataset.Namespace+"/"+datasetUID], _ = receiptOf(t, "datasetretentions", w.dataset.Namespace, datasetUID)

	w.restart()
	w.seesRun(running(1), false)
	w.seesDataset(portal.DatasetSeen{Version: 1, State: "Ready"}, false)
	w.follower.Synced(t.Context())
	w.round()
	w.clock.Advance(defaultSettle)
	w.round()
	if run, d := w.now(); !run.GoneAt.IsZero() || !d.ErasedAt.IsZero() {
		t.Fatal("what is in the cluster counts as gone")
	}

	w.restart() // while it was away, both went
	w.follower.Synced(t.Context())
	if pause := w.round(); pause != defaultSettle {
		t.Fatalf("the look for what is gone comes after %v, want %v", pause, defaultSettle)
	}
	if run, _ := w.now(); !run.GoneAt.IsZero() {
		t.Fatal("the run was gone at once: other replicas' objects would be too")
	}
	w.clock.Advance(defaultSettle)
	w.round()
	run, d := w.now()
	if run.GoneAt.IsZero() || d.ErasedAt.IsZero() {
		t.Fatalf("gone at %v, erased at %v", run.GoneAt, d.ErasedAt)
	}
	w.seesRun(running(2), false)
	w.round()
	if run, _ := w.now(); !run.GoneAt.IsZero() {
		t.Error("a run that turned up again is still gone")
	}
}

func TestWhatWasNotMadeYetIsNotGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.follower.Synced(t.Context())
	w.round()
	w.clock.Advance(defaultSettle)
	w.round()
	if run, d := w.now(); !run.GoneAt.IsZero() || !d.ErasedAt.IsZero() || w.receipts.asked > 0 {
		t.Error("what the cluster was not asked for yet counts as gone")
	}
}

func TestADeletedRunsReceiptIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seesRun(succeeded(1), false)
	w.round()
	w.change(func(r *portal.Run) { r.Wish = portal.WishDeleted }, func(*portal.Dataset) {})
	w.receipts.err = errors.New("away")
	w.seesRun(succeeded(2), true)
	w.round()
	if run, _ := w.now(); !run.GoneAt.IsZero() {
		t.Fatal("the run is gone though its receipt may be had later")
	}
	w.receipts.err = nil
	w.receipts.kept[w.run.Namespace+"/"+runUID], _ = receiptOf(t, "trainingruns", w.run.Namespace, runUID)
	w.clock.Advance(maxRetry)
	w.round()
	if run, _ := w.now(); run.GoneAt.IsZero() {
		t.Fatal("the run is not gone")
	}
	if err := w.store.Store.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.Receipt(ctx, w.account.ID, runUID)
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestAnyCallMayFail lets each call to the store fail, before and after it was done, and
// the process begin anew: in the end all is as if nothing had been.
func TestAnyCallMayFail(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for _, again := range []bool{false, true} {
			for n := 1; n < 40; n++ {
				t.Run(fmt.Sprintf("call %d, done %v, new process %v", n, after, again), func(t *testing.T) {
					t.Parallel()
					life(t, n, after, again)
				})
			}
		}
	}
}

func life(t *testing.T, n int, after, again bool) {
	t.Helper()
	w := newWorld(t)
	w.receipts.kept[w.dataset.Namespace+"/"+datasetUID], _ = receiptOf(t, "datasetretentions", w.dataset.Namespace, datasetUID)
	w.store.failAt, w.store.after = w.store.calls+n, after
	step := func(see func()) {
		see()
		w.round()
		if again {
			w.restart()
			see()
			w.follower.Synced(t.Context())
		}
		for range 3 {
			w.clock.Advance(maxRetry)
			w.round()
		}
	}
	step(func() {
		w.seesDataset(portal.DatasetSeen{Version: 1, State: "Ready"}, false)
		w.seesRun(running(1), false)
	})
	step(func() {
		w.seesDataset(portal.DatasetSeen{Version: 2, State: "Ready", ExpiresAt: w.clock.Now().Add(time.Hour), AfterTraining: 24 * time.Hour, MaxAge: 30 * 24 * time.Hour}, false)
		w.seesRun(succeeded(2), false)
	})
	step(func() {
		w.seesDataset(portal.DatasetSeen{Version: 3, State: "Erasing", EraseStartedAt: w.clock.Now()}, true)
		w.seesRun(succeeded(2), false)
	})
	run, d := w.now()
	if run.Seen.State != "Succeeded" || !run.GoneAt.IsZero() || d.ErasedAt.IsZero() || d.Receipt == "" {
		t.Errorf("the run is %s (gone %v), the dataset was erased at %v", run.Seen.State, run.GoneAt, d.ErasedAt)
	}
	counts := map[portal.MailKind]int{}
	for _, kind := range w.mails() {
		counts[kind]++
	}
	want := map[portal.MailKind]int{portal.MailRunStarted: 1, portal.MailRunFinished: 1, portal.MailDatasetExpires: 1, portal.MailDatasetErased: 1}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("mails (-want +got):\n%s", diff)
	}
}

func TestAnOwnerIsToldBeforeADatasetGoes(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	tests := map[string]struct {
		after, most, left, want time.Duration
	}{
		"a long time is told three days before its end":   {after: 20 * day, most: 90 * day, left: 20 * day, want: 17 * day},
		"a short time is told when a third of it is left": {after: day, most: 90 * day, left: day, want: 16 * time.Hour},
		"data that was never used goes by its age":        {after: day, most: 30 * day, left: 30 * day, want: 27 * day},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.seesDataset(portal.DatasetSeen{Version: 1, State: "Ready", ExpiresAt: portaltest.Start.Add(test.left), AfterTraining: test.after, MaxAge: test.most}, false)
			w.round()
			w.round() // so that only the timer is left
			pause := w.follower.timers[key{aDataset, w.dataset.Namespace, w.dataset.ID.Object()}].Sub(w.clock.Now())
			if pause != test.want || len(w.mails()) > 0 {
				t.Fatalf("the timer is set to %v, want %v; mails %v", pause, test.want, w.mails())
			}
			w.clock.Advance(test.want)
			w.round()
			w.round()
			mails := w.outbox()
			if len(mails) != 1 || mails[0].Kind != portal.MailDatasetExpires || !mails[0].Data.Until.Equal(portaltest.Start.Add(test.left)) {
				t.Fatalf("mails %+v", mails)
			}
		})
	}
}

func TestADatasetWhoseEndWasPutOffIsToldOfAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := portal.DatasetSeen{Version: 1, State: "Ready", ExpiresAt: portaltest.Start.Add(time.Hour), AfterTraining: 24 * time.Hour, MaxAge: 90 * 24 * time.Hour}
	w.seesDataset(seen, false)
	w.round()
	seen.Version, seen.ExpiresAt, seen.ActiveRuns = 2, time.Time{}, []string{"r-1"} // a run has begun
	w.seesDataset(seen, false)
	w.round()
	if len(w.follower.timers) > 0 {
		t.Error("a dataset that is in use has a timer")
	}
	seen.Version, seen.ExpiresAt, seen.ActiveRuns = 3, portaltest.Start.Add(2*time.Hour), nil
	w.seesDataset(seen, false)
	w.round()
	if diff := cmp.Diff([]portal.MailKind{portal.MailDatasetExpires, portal.MailDatasetExpires}, w.mails()); diff != "" {
		t.Errorf("mails (-want +got):\n%s", diff)
	}
	w.change(func(*portal.Run) {}, func(d *portal.Dataset) { d.Wish = portal.WishErased })
	if _, d := w.now(); !w.follower.noticeAt(d).IsZero() {
		t.Error("who erases a dataset is told that it will go")
	}
}

func TestATenantIsReadyOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := portaltest.Account()
	tenant := portaltest.Tenant(account, func(t *portal.Tenant) { t.ReadyAt = time.Time{} })
	if err := w.store.Store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		return errors.Join(tx.CreateAccount(ctx, account), tx.CreateTenant(ctx, tenant))
	}); err != nil {
		t.Fatal(err)
	}
	w.follower.TenantSeen(t.Context(), tenant.Namespace, false, "not yet")
	for range 3 {
		w.round()
		w.follower.TenantSeen(t.Context(), tenant.Namespace, true, "")
		w.clock.Advance(time.Minute)
	}
	if err := w.store.Store.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		tenant, err = tx.Tenant(ctx, account.ID)
		return err
	}); err != nil || !tenant.ReadyAt.Equal(portaltest.Start.Add(time.Minute)) {
		t.Errorf("the tenant is ready at %v: %v", tenant.ReadyAt, err)
	}
	if w.store.writes != 1 {
		t.Errorf("%d writes, want one", w.store.writes)
	}
}

func TestRunWakesForWhatIsSeenAndEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.follower.Run(ctx) }()
	w.seesRun(running(1), false)
	deadline := time.After(10 * time.Second)
	for {
		if run, _ := w.now(); run.Seen.State == "Running" {
			break
		}
		select {
		case <-deadline:
			t.Fatal("what was seen is not written")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNothingToDoCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		f, err := New(Dependencies{
			Store: counting{&reads}, Receipts: &receipts{}, Log: discard(), Random: portaltest.Random(1),
			Now: time.Now, //nolint:forbidigo // The bubble's clock.
		}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*24*time.Hour)
		defer cancel()
		if err := f.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if reads > 0 {
			t.Errorf("%d looks into the database in a month", reads)
		}
	})
}

func TestAFollowerNeedsItsDependencies(t *testing.T) {
	t.Parallel()
	if _, err := New(Dependencies{}, Options{}); err == nil {
		t.Error("a follower of nothing was made")
	}
}

// TestAReceiptThatHangsHoldsUpNothingElse has a broker that doesn't answer.
func TestAReceiptThatHangsHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seesDataset(portal.DatasetSeen{Version: 1, State: "Ready"}, false)
	w.round()
	asked, hang := make(chan struct{}, 2*fetchers), make(chan struct{})
	w.receipts.wait = func() { asked <- struct{}{}; <-hang }
	w.seesDataset(portal.DatasetSeen{Version: 2, State: "Erasing"}, true)
	w.seesRun(running(1), false)
	w.follower.round(t.Context())
	<-asked
	if run, d := w.now(); run.Seen.State != "Running" || !d.ErasedAt.IsZero() {
		t.Errorf("beside a receipt that is waited for the run is %q", run.Seen.State)
	}
	w.seesDataset(portal.DatasetSeen{Version: 3, State: "Erasing", Files: 7}, true)
	w.seesRun(succeeded(2), false)
	w.follower.round(t.Context())
	if run, _ := w.now(); run.Seen.State != "Succeeded" || len(asked) > 0 {
		t.Errorf("the run is %q; the receipt was asked for %d times more", run.Seen.State, len(asked))
	}
	w.receipts.kept[w.dataset.Namespace+"/"+datasetUID], _ = receiptOf(t, "datasetretentions", w.dataset.Namespace, datasetUID)
	close(hang)
	w.follower.workers.Wait()
	w.follower.round(t.Context())
	if _, d := w.now(); d.ErasedAt.IsZero() || d.Seen.Files != 7 {
		t.Errorf("after the answer: erased at %v, %d files", d.ErasedAt, d.Seen.Files)
	}
}

// TestReceiptsAreAskedForAFewAtATime has more to ask for than there are workers, one of
// which turns up again meanwhile.
func TestReceiptsAreAskedForAFewAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hang := make(chan struct{})
	asked := make(chan struct{}, 100)
	w.receipts.wait = func() { asked <- struct{}{}; <-hang }
	f := w.follower
	for i := range 3 * fetchers {
		f.fetch(t.Context(), job{key: key{aDataset, "t-x", fmt.Sprint(i)}, want: wanting{"t-x", fmt.Sprint(i)}})
	}
	for range fetchers {
		<-asked
	}
	if f.busy != fetchers || len(f.jobs) != 2*fetchers {
		t.Errorf("%d workers, %d wait", f.busy, len(f.jobs))
	}
	f.DatasetSeen(t.Context(), "t-x", "0", "u", portal.DatasetSeen{Version: 1}, false, false)
	close(hang)
	f.workers.Wait()
	if len(f.tasks) != 3*fetchers || f.tasks[key{aDataset, "t-x", "0"}].sight.gone || f.busy != 0 || len(f.fetching) > 0 {
		t.Errorf("%d are to be written, %d workers, %d asked for", len(f.tasks), f.busy, len(f.fetching))
	}
}

// TestTheEndAfterAHold: a hold puts the end off, and the mail with it.
func TestTheEndAfterAHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ends := portaltest.Start.Add(10 * 24 * time.Hour)
	held := ends.Add(20 * 24 * time.Hour)
	w.seesDataset(portal.DatasetSeen{Version: 1, State: "Ready", ExpiresAt: ends, HoldUntil: held, AfterTraining: 10 * 24 * time.Hour, MaxAge: 90 * 24 * time.Hour}, false)
	w.round()
	w.clock.Advance(20 * 24 * time.Hour) // its own time is over
	w.round()
	if mails := w.mails(); len(mails) > 0 {
		t.Fatalf("told too early: %v", mails)
	}
	w.clock.Advance(8 * 24 * time.Hour)
	w.round()
	mails := w.outbox()
	if len(mails) != 1 || mails[0].Kind != portal.MailDatasetExpires || !mails[0].Data.Until.Equal(held) {
		t.Errorf("mails %+v, want one that names %v", mails, held)
	}
	w.seesDataset(portal.DatasetSeen{Version: 2, State: "Ready", ExpiresAt: ends, HoldUntil: held.Add(30 * 24 * time.Hour), AfterTraining: 10 * 24 * time.Hour, MaxAge: 90 * 24 * time.Hour}, false)
	w.round()
	w.clock.Advance(30 * 24 * time.Hour)
	w.round()
	if again := w.outbox(); len(again) != 2 {
		t.Errorf("%d mails after the hold was made longer, want 2", len(again))
	}
}

func TestADeletedRunKeepsNoOutput(t *testing.T) {
	t.Parallel()
	for wish, want := range map[portal.RunWish]string{portal.WishDeleted: "", portal.WishRun: "Traceback"} {
		w := newWorld(t)
		w.seesRun(failed(1, portal.RunFailure{Reason: "NonZeroExit", LogTail: "Traceback"}), false)
		w.round()
		w.change(func(r *portal.Run) { r.Wish = wish }, func(*portal.Dataset) {})
		w.seesRun(failed(2, portal.RunFailure{Reason: "NonZeroExit", LogTail: "Traceback"}), true)
		w.round()
		run, _ := w.now()
		if run.GoneAt.IsZero() || run.Seen.Failure == nil || run.Seen.Failure.LogTail != want || run.Seen.Failure.Reason != "NonZeroExit" {
			t.Errorf("wish %s, gone at %v: %+v", wish, run.GoneAt, run.Seen.Failure)
		}
	}
}
