package retention_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/retention"
)

const day = 24 * time.Hour

// world is a store with two persons, and who sweeps it.
type world struct {
	store    portal.Store
	clock    *portaltest.Clock
	ada, eve portal.Account
	sweeper  *retention.Sweeper
	metrics  *prometheus.Registry
	events   int
}

func newWorld(t *testing.T, options retention.Options) *world {
	t.Helper()
	w := &world{
		store: portaltest.Store(t), clock: new(portaltest.Clock),
		ada: portaltest.Account(), eve: portaltest.Account(), metrics: prometheus.NewRegistry(),
	}
	options.Metrics = w.metrics
	var err error
	if w.sweeper, err = retention.New(w.store, w.clock.Now, options); err != nil {
		t.Fatal(err)
	}
	w.write(t, func(ctx context.Context, tx portal.Tx) error {
		return errors.Join(tx.CreateAccount(ctx, w.ada), tx.CreateAccount(ctx, w.eve))
	})
	return w
}

func (w *world) write(t *testing.T, f func(context.Context, portal.Tx) error) {
	t.Helper()
	if err := w.store.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// happen records a sign-in of an account, some time ago.
func (w *world) happen(t *testing.T, account portal.Account, ago ...time.Duration) {
	t.Helper()
	w.write(t, func(ctx context.Context, tx portal.Tx) error {
		for _, past := range ago {
			w.events++
			id := portal.NewID[portal.EventID](portaltest.Random(uint64(1000 + w.events)))
			event := portal.NewEvent(id, w.clock.Now().Add(-past), portal.EventSignIn, account.ID, portaltest.Client("203.0.113.77"))
			if err := tx.AddEvent(ctx, event); err != nil {
				return err
			}
		}
		return nil
	})
}

// ages are how long ago an account's events were that are kept, newest first, in days.
func (w *world) ages(t *testing.T, account portal.Account) []int {
	t.Helper()
	days := []int{}
	err := w.store.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		events, err := tx.FindEvents(ctx, portal.EventFilter{Account: account.ID}, portal.EventCursor{}, 10_000)
		days = days[:0]
		for _, e := range events {
			days = append(days, int(w.clock.Now().Sub(e.Time)/day))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return days
}

func (w *world) sweep(t *testing.T, want retention.Report) {
	t.Helper()
	got, err := w.sweeper.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
}

func (w *world) late(t *testing.T, want time.Duration) {
	t.Helper()
	if got, err := w.sweeper.Late(t.Context()); err != nil || got != want {
		t.Errorf("late by %v (%v), want %v", got, err, want)
	}
}

func TestEventsGoAfterNinetyDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Options{})
	w.happen(t, w.ada, 0, day, 89*day, 90*day, 90*day+time.Microsecond, 91*day, 400*day)
	w.sweep(t, retention.Report{Events: 3})
	if diff := cmp.Diff([]int{0, 1, 89, 90}, w.ages(t, w.ada)); diff != "" {
		t.Errorf("kept, in days (-want +got):\n%s", diff)
	}
	w.sweep(t, retention.Report{})
	w.clock.Advance(2 * day)
	w.sweep(t, retention.Report{Events: 2})
}

func TestManyEventsGoInBatches(t *testing.T) {
	t.Parallel()
	for name, old := range map[string]int{"fewer than a batch": 6, "just a batch": 7, "just two": 14, "more than two": 17} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, retention.Options{Batch: 7})
			w.happen(t, w.ada, slices.Repeat([]time.Duration{100 * day}, old)...)
			w.happen(t, w.ada, slices.Repeat([]time.Duration{day}, 3)...)
			w.sweep(t, retention.Report{Events: old})
			if left := len(w.ages(t, w.ada)); left != 3 {
				t.Errorf("%d events are left, want 3", left)
			}
		})
	}
}

// TestAHoldKeepsItsRowsAndNoOther is promise P20: what matches stays, the rest goes, and
// the release re-arms what was kept.
func TestAHoldKeepsItsRowsAndNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Options{Batch: 2})
	w.happen(t, w.ada, 95*day, 94*day, 93*day, day)
	w.happen(t, w.eve, 95*day, 94*day, day)
	hold := portal.Hold{
		ID: "hold", Case: "2026-7", Reason: "stolen account", Filter: portal.EventFilter{Account: w.ada.ID},
		PlacedBy: w.eve.ID, PlacedAt: w.clock.Now(), ReviewAt: w.clock.Now().Add(30 * day),
	}
	w.write(t, func(ctx context.Context, tx portal.Tx) error {
		n, err := tx.PlaceHold(ctx, hold)
		if n != 4 {
			t.Errorf("the hold keeps %d events, want 4", n)
		}
		return err
	})
	w.late(t, 5*day)
	w.sweep(t, retention.Report{Events: 2})
	w.late(t, 0)
	if diff := cmp.Diff([]int{1, 93, 94, 95}, w.ages(t, w.ada)); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1}, w.ages(t, w.eve)); diff != "" {
		t.Errorf("not held (-want +got):\n%s", diff)
	}
	// A hold past its review stays: losing evidence can't be undone.
	w.clock.Advance(100 * day)
	w.happen(t, w.ada, 0)
	w.sweep(t, retention.Report{Events: 1})
	if got := len(w.ages(t, w.ada)); got != 5 {
		t.Errorf("%d events are held, want 5", got)
	}
	w.write(t, func(ctx context.Context, tx portal.Tx) error {
		return tx.ReleaseHold(ctx, hold.ID, w.eve.ID, w.clock.Now())
	})
	w.late(t, 105*day)
	w.sweep(t, retention.Report{Events: 4})
	w.late(t, 0)
	if diff := cmp.Diff([]int{0}, w.ages(t, w.ada)); diff != "" {
		t.Errorf("after the release (-want +got):\n%s", diff)
	}
}

func TestLateIsByTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Options{})
	w.late(t, 0)
	w.happen(t, w.ada, 0)
	w.late(t, 0)
	w.clock.Advance(portal.EventRetention)
	w.late(t, 0)
	w.clock.Advance(3 * day)
	w.late(t, 3*day)
	w.sweep(t, retention.Report{Events: 1})
	w.late(t, 0)
}

func TestEverythingElseGoesWhenItIsOfNoUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Options{})
	start := w.clock.Now()
	w.write(t, func(ctx context.Context, tx portal.Tx) error {
		return errors.Join(
			tx.CreateSession(ctx, portal.Session{
				ID: "session", Account: w.ada.ID, Digest: portal.DigestOf("s"), CreatedAt: start, AuthenticatedAt: start,
				LastSeenAt: start, ExpiresAt: start.Add(portal.SessionAbsolute),
			}),
			tx.CreateChallenge(ctx, portal.Challenge{
				Digest: portal.DigestOf("c"), Account: w.ada.ID, CreatedAt: start, ExpiresAt: start.Add(portal.ChallengeLife),
			}),
			tx.PutDevice(ctx, portal.Device{Digest: portal.DigestOf("d"), Account: w.ada.ID, CreatedAt: start, LastSeen: start}),
			tx.CreateLink(ctx, portal.Link{
				Digest: portal.DigestOf("l"), Account: w.ada.ID, Purpose: portal.PurposeReset, Email: w.ada.Email,
				CreatedAt: start, ExpiresAt: start.Add(portal.PurposeReset.Life()),
			}),
			tx.PutThrottle(ctx, portal.Throttle{Key: "t", Failures: 1, FirstAt: start, LastAt: start}),
			tx.AddMail(ctx, portal.Mail{ID: "sent", Account: w.ada.ID, To: w.ada.Email, Kind: portal.MailNewDevice, CreatedAt: start, DueAt: start}),
			tx.AddMail(ctx, portal.Mail{ID: "waits", Account: w.ada.ID, To: w.ada.Email, Kind: portal.MailNewDevice, CreatedAt: start, DueAt: start}),
			tx.AddMail(ctx, portal.Mail{ID: "given", Account: w.ada.ID, To: w.ada.Email, Kind: portal.MailNewDevice, CreatedAt: start, DueAt: start}),
			tx.MailSent(ctx, "sent", start),
			tx.TakeNotice(ctx, "a run that is gone", portal.MailRunFinished, start),
			tx.MailFailed(ctx, "given", start, time.Time{}),
		)
	})
	steps := []struct {
		after time.Duration
		want  retention.Report
	}{
		{0, retention.Report{}},
		{portal.ChallengeLife, retention.Report{Sessions: 1}},
		{portal.PurposeReset.Life(), retention.Report{Links: 1}},
		{portal.SessionIdle, retention.Report{Sessions: 1}},
		{min(portal.MailRetention, portal.ThrottleRetention) - time.Second, retention.Report{}},
		{max(portal.MailRetention, portal.ThrottleRetention) + time.Second, retention.Report{Mails: 2, Throttles: 1, Notices: 1}},
		{portal.DeviceLife, retention.Report{Sessions: 1}},
	}
	for _, step := range steps {
		w.clock.Set(start.Add(step.after))
		w.sweep(t, step.want)
	}
}

// broken is a store whose writes fail when they are told to.
type broken struct {
	portal.Store
	fails func(n int) bool
	n     int
}

func (b *broken) Write(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	b.n++
	if b.fails(b.n) {
		return errors.New("disk full")
	}
	return b.Store.Write(ctx, f)
}

func TestWhatFailsDoesNotKeepTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Options{})
	w.happen(t, w.ada, 100*day)
	w.write(t, func(ctx context.Context, tx portal.Tx) error {
		return tx.PutThrottle(ctx, portal.Throttle{Key: "t", Failures: 1, FirstAt: w.clock.Now().Add(-400 * day), LastAt: w.clock.Now().Add(-400 * day)})
	})
	sweeper, err := retention.New(&broken{Store: w.store, fails: func(n int) bool { return n == 1 }}, w.clock.Now, retention.Options{})
	if err != nil {
		t.Fatal(err)
	}
	report, err := sweeper.Sweep(t.Context())
	if err == nil || !strings.Contains(err.Error(), "purge security events: disk full") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(retention.Report{Throttles: 1}, report); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	w.sweep(t, retention.Report{Events: 1})
}

func TestOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]retention.Options{"a batch": {Batch: -1}, "an interval": {Every: -1}} {
		if _, err := retention.New(nil, new(portaltest.Clock).Now, options); err == nil {
			t.Errorf("took %s below zero", name)
		}
	}
}

func TestTheMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Options{})
	w.happen(t, w.ada, 100*day, 100*day)
	w.sweep(t, retention.Report{Events: 2})
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	want := map[string]float64{
		"lethe_portal_purge_failures_total":                 0,
		"lethe_portal_purge_last_success_timestamp_seconds": float64(w.clock.Now().Unix()),
		"lethe_portal_purged_rows_total events":             2,
		"lethe_portal_purged_rows_total links":              0,
		"lethe_portal_purged_rows_total mails":              0,
		"lethe_portal_purged_rows_total notices":            0,
		"lethe_portal_purged_rows_total sessions":           0,
		"lethe_portal_purged_rows_total throttles":          0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// bubble is when synctest's time begins.
var bubble = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// sweeps is a store that only counts sweeps: of a sweep's writes the first is for events.
type sweeps struct {
	portal.Store
	at  []time.Duration
	now func() time.Time
	err error
	n   int
}

func (s *sweeps) Write(context.Context, func(context.Context, portal.Tx) error) error {
	if s.n%6 == 0 {
		s.at = append(s.at, s.now().Sub(bubble))
	}
	s.n++
	return s.err
}

func TestRunSweepsEachHour(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err     error
		between time.Duration
	}{
		"when it works":        {between: time.Hour},
		"sooner after failing": {err: errors.New("disk full"), between: 5 * time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				now := time.Now //nolint:forbidigo // It is the bubble's.
				store := &sweeps{now: now, err: test.err}
				log := new(strings.Builder)
				sweeper, err := retention.New(store, now, retention.Options{
					Random: portaltest.Random(7), Log: slog.New(slog.NewTextHandler(log, nil)),
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*test.between)
				defer cancel()
				if err := sweeper.Run(ctx); err != nil {
					t.Error(err)
				}
				if len(store.at) < 9 || store.at[0] != 0 {
					t.Fatalf("swept at %v", store.at)
				}
				same := true
				for i := range len(store.at) - 1 {
					pause := store.at[i+1] - store.at[i]
					if pause < test.between*9/10 || pause > test.between*11/10 {
						t.Errorf("%v between two sweeps, want about %v", pause, test.between)
					}
					same = same && pause == test.between
				}
				if same {
					t.Error("nothing spreads the sweeps")
				}
				if got, want := strings.Contains(log.String(), "could not be removed"), test.err != nil; got != want {
					t.Errorf("the log tells of a failure: %v, want %v", got, want)
				}
			})
		})
	}
}
