package sqlstoretest

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// Open gives a store with nothing in it.
type Open func(t *testing.T) portal.Store

// Run runs the whole suite; each of its tests has a store of its own.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, group := range []map[string]func(*testing.T, portal.Store){
		transactionTests, textTests, accountTests, sessionTests, challengeAndDeviceTests, factorTests,
		recoveryTests, linkTests, tokenTests, throttleTests, eventTests, countTests, holdTests, auditTests,
		outboxTests, tenantTests, datasetTests, fileTests, runTests, receiptTests, raceTests, clusterRaceTests,
	} {
		runGroup(t, open, group)
	}
}

// RunRaces runs only the tests in which many want the same.
func RunRaces(t *testing.T, open Open) {
	t.Helper()
	runGroup(t, open, raceTests)
	runGroup(t, open, clusterRaceTests)
}

func runGroup(t *testing.T, open Open, group map[string]func(*testing.T, portal.Store)) {
	t.Helper()
	for name, test := range group {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// start is when things happen in the suite: in whole microseconds.
var start = time.Date(2026, time.March, 2, 9, 0, 0, 123456000, time.UTC)

// minute is so many minutes later.
func minute(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }

// write runs f in a transaction that has to be committed.
func write(t *testing.T, s portal.Store, f func(context.Context, portal.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), f); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// read gives what f reads in a transaction that has to go well.
func read[T any](t *testing.T, s portal.Store, f func(context.Context, portal.Tx) (T, error)) T {
	t.Helper()
	value, err := tryRead(t, s, f)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return value
}

// tryRead gives what f reads, and its error.
func tryRead[T any](t *testing.T, s portal.Store, f func(context.Context, portal.Tx) (T, error)) (T, error) {
	t.Helper()
	var value T
	err := s.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		value, err = f(ctx, tx)
		return err
	})
	return value, err
}

// equal compares what was wanted with what was got.
func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	same := cmp.Options{
		cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		// The zone is part of it: times come back in UTC.
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) && a.Location() == b.Location() }),
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// gives checks an error that a caller has to tell from others.
func gives(t *testing.T, what string, want, got error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: want %v, got %v", what, want, got)
	}
}

// refused checks for KindInvalid.
func refused(t *testing.T, what string, got error) {
	t.Helper()
	if got == nil || portal.KindOf(got) != portal.KindInvalid {
		t.Errorf("%s: want it refused as invalid, got %v", what, got)
	}
}

// account adds somebody.
func account(t *testing.T, s portal.Store, mods ...func(*portal.Account)) portal.Account {
	t.Helper()
	a := portaltest.Account(mods...)
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, a) })
	return a
}

// digest is one of many.
func digest(text string) portal.Digest { return portal.DigestOf(text) }

// ids gives the identifiers of things, to compare their order.
func ids[T any, ID ~string](things []T, id func(T) ID) []ID {
	all := []ID{}
	for _, thing := range things {
		all = append(all, id(thing))
	}
	return all
}
