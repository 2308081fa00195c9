package sqlstoretest

import (
	"context"
	"errors"
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

var transactionTests = map[string]func(*testing.T, portal.Store){
	"a store that was just made answers":                              testPing,
	"an error takes all of a write back and comes back unchanged":     testRollback,
	"a panic takes all of a write back and the store goes on":         testPanic,
	"a write sees itself and nobody else does before it is done":      testIsolation,
	"a read sees one moment":                                          testSnapshot,
	"a read changes nothing":                                          testReadOnly,
	"a failure that is swallowed is not committed":                    testSwallowedFailure,
	"a write within a write is refused":                               testNested,
	"who gives up before a write hears of it and has changed nothing": testGiveUp,
	"who gives up during a write has changed nothing":                 testGiveUpWithin,
}

func testPing(t *testing.T, s portal.Store) {
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// exists reports whether an account is there.
func exists(t *testing.T, s portal.Store, id portal.AccountID) bool {
	t.Helper()
	return existsNow(t.Context(), t, s, id)
}

// existsNow is the same within another transaction.
func existsNow(ctx context.Context, t *testing.T, s portal.Store, id portal.AccountID) bool {
	t.Helper()
	err := s.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.Account(ctx, id)
		return err
	})
	if err != nil {
		gives(t, "read an account", portal.ErrNotFound, err)
	}
	return err == nil
}

func testRollback(t *testing.T, s portal.Store) {
	a := portaltest.Account()
	mine := errors.New("mine")
	err := s.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateAccount(ctx, a); err != nil {
			return err
		}
		if _, err := tx.AppendAudit(ctx, portal.AuditEntry{Time: start, Action: portal.AuditCommand}); err != nil {
			return err
		}
		return mine
	})
	if err != mine { //nolint:errorlint // Unchanged is more than Is.
		t.Errorf("want the error unchanged, got %v", err)
	}
	if exists(t, s, a.ID) {
		t.Error("the account is there")
	}
	log := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.AuditEntry, error) { return tx.AuditLog(ctx, 0, 10) })
	equal(t, "audit log", []portal.AuditEntry{}, log)
	err = s.Read(t.Context(), func(context.Context, portal.Tx) error { return mine })
	if err != mine { //nolint:errorlint // Unchanged is more than Is.
		t.Errorf("want a read's error unchanged, got %v", err)
	}
}

func testPanic(t *testing.T, s portal.Store) {
	a := portaltest.Account()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
			if err := tx.CreateAccount(ctx, a); err != nil {
				t.Errorf("create: %v", err)
			}
			panic("on purpose")
		})
	}()
	if exists(t, s, a.ID) {
		t.Error("the account is there")
	}
	account(t, s)
}

func testIsolation(t *testing.T, s portal.Store) {
	a := portaltest.Account()
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateAccount(ctx, a); err != nil {
			return err
		}
		if _, err := tx.Account(ctx, a.ID); err != nil {
			t.Errorf("its own account: %v", err)
		}
		if existsNow(ctx, t, s, a.ID) {
			t.Error("somebody else sees it before it is committed")
		}
		return nil
	})
	if !exists(t, s, a.ID) {
		t.Error("it is not there after it was committed")
	}
}

func testSnapshot(t *testing.T, s portal.Store) {
	first, later := account(t, s), portaltest.Account()
	err := s.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		if _, err := tx.Account(ctx, first.ID); err != nil {
			return err
		}
		err := s.Write(ctx, func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, later) })
		gives(t, "a write while another reads", nil, err)
		_, err = tx.Account(ctx, later.ID)
		gives(t, "an account of after the read began", portal.ErrNotFound, err)
		return nil
	})
	if err != nil {
		t.Errorf("read: %v", err)
	}
	if !exists(t, s, later.ID) {
		t.Error("it is not there in the next read")
	}
}

func testReadOnly(t *testing.T, s portal.Store) {
	a := portaltest.Account()
	err := s.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		return tx.CreateAccount(ctx, a)
	})
	if err == nil || portal.KindOf(err) != portal.KindInternal {
		t.Errorf("want a mistake of the program, got %v", err)
	}
	if exists(t, s, a.ID) {
		t.Error("the account is there")
	}
}

func testSwallowedFailure(t *testing.T, s portal.Store) {
	a := portaltest.Account()
	err := s.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateAccount(ctx, a); err != nil {
			return err
		}
		err := tx.PutPendingTOTP(ctx, portal.TOTP{ID: "without-a-seed", Account: a.ID, CreatedAt: start})
		if err == nil {
			t.Error("a factor without a seed was kept")
		}
		if _, err := tx.Account(ctx, a.ID); err == nil {
			t.Error("the transaction goes on after a failure")
		}
		return nil
	})
	if err == nil || portal.KindOf(err) != portal.KindInternal {
		t.Errorf("want the failure, got %v", err)
	}
	if exists(t, s, a.ID) {
		t.Error("half of a write was committed")
	}
}

func testNested(t *testing.T, s portal.Store) {
	err := s.Write(t.Context(), func(ctx context.Context, _ portal.Tx) error {
		return s.Write(ctx, func(context.Context, portal.Tx) error { return nil })
	})
	if err == nil {
		t.Error("it was not")
	}
}

func testGiveUp(t *testing.T, s portal.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := func(context.Context, portal.Tx) error {
		t.Error("it was begun")
		return nil
	}
	gives(t, "write", context.Canceled, s.Write(ctx, f))
	gives(t, "read", context.Canceled, s.Read(ctx, f))
	if err := s.Ping(ctx); err == nil {
		t.Error("ping answers who does not wait")
	}
}

func testGiveUpWithin(t *testing.T, s portal.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	a := portaltest.Account()
	err := s.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateAccount(ctx, a); err != nil {
			return err
		}
		cancel()
		return nil
	})
	gives(t, "commit after the caller had gone", context.Canceled, err)
	ctx, cancel = context.WithCancel(t.Context())
	err = s.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		cancel()
		return tx.CreateAccount(ctx, a)
	})
	gives(t, "a statement after the caller had gone", context.Canceled, err)
	if exists(t, s, a.ID) {
		t.Error("the account is there")
	}
	account(t, s)
}
