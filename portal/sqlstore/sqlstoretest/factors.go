package sqlstoretest

import (
	"context"
	"errors"
	"testing"

	"github.com/lethe-dev/lethe/portal"
)

var factorTests = map[string]func(*testing.T, portal.Store){
	"a factor waits, and is confirmed in the place of another": testConfirmTOTP,
	"a factor that waits is replaced by the next":              testPendingTOTP,
	"only a factor that waits is confirmed":                    testConfirmRefused,
	"a time step is taken once and only forward":               testTakeStep,
	"all factors of an account are deleted":                    testDeleteTOTP,
	"seeds are sealed anew one by one":                         testReplaceSeed,
}

func newTOTP(a portal.AccountID, id portal.FactorID) portal.TOTP {
	return portal.TOTP{
		ID: id, Account: a, Seed: portal.Sealed{KeyID: "k1", Box: []byte{0, 1, 2, 0xff, byte(len(id))}}, LastStep: 3, CreatedAt: start,
	}
}

func putTOTP(t *testing.T, s portal.Store, factor portal.TOTP) portal.TOTP {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.PutPendingTOTP(ctx, factor) })
	return factor
}

func confirmTOTP(t *testing.T, s portal.Store, factor portal.TOTP, step int64) portal.TOTP {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.ConfirmTOTP(ctx, factor.ID, step, minute(5)) })
	factor.LastStep, factor.ConfirmedAt = step, minute(5)
	return factor
}

// checkTOTP compares both of an account's factors; nil is for none.
func checkTOTP(t *testing.T, s portal.Store, a portal.AccountID, pending, confirmed *portal.TOTP) {
	t.Helper()
	check := func(what string, want *portal.TOTP, f func(context.Context, portal.Tx) (portal.TOTP, error)) {
		got, err := tryRead(t, s, f)
		if want == nil {
			gives(t, what, portal.ErrNotFound, err)
			return
		}
		gives(t, what, nil, err)
		equal(t, what, *want, got)
	}
	check("pending factor", pending, func(ctx context.Context, tx portal.Tx) (portal.TOTP, error) { return tx.PendingTOTP(ctx, a) })
	check("confirmed factor", confirmed, func(ctx context.Context, tx portal.Tx) (portal.TOTP, error) { return tx.ConfirmedTOTP(ctx, a) })
}

func testConfirmTOTP(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	checkTOTP(t, s, a.ID, nil, nil)
	others := confirmTOTP(t, s, putTOTP(t, s, newTOTP(b.ID, "others")), 7)
	first := putTOTP(t, s, newTOTP(a.ID, "first"))
	checkTOTP(t, s, a.ID, &first, nil)
	first = confirmTOTP(t, s, first, 100)
	checkTOTP(t, s, a.ID, nil, &first)
	second := putTOTP(t, s, newTOTP(a.ID, "second"))
	checkTOTP(t, s, a.ID, &second, &first)
	second = confirmTOTP(t, s, second, 50)
	checkTOTP(t, s, a.ID, nil, &second)
	checkTOTP(t, s, b.ID, nil, &others)
}

func testPendingTOTP(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	others := putTOTP(t, s, newTOTP(b.ID, "others"))
	putTOTP(t, s, newTOTP(a.ID, "first"))
	early := newTOTP(a.ID, "second")
	early.ConfirmedAt = minute(1) // It waits all the same.
	putTOTP(t, s, early)
	second := newTOTP(a.ID, "second")
	checkTOTP(t, s, a.ID, &second, nil)
	checkTOTP(t, s, b.ID, &others, nil)
	again := newTOTP(a.ID, "second")
	again.Seed.Box = []byte("the same name again")
	putTOTP(t, s, again)
	checkTOTP(t, s, a.ID, &again, nil)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "a name that is another's", portal.ErrConflict, tx.PutPendingTOTP(ctx, newTOTP(a.ID, "others")))
		gives(t, "nobody's", portal.ErrNotFound, tx.PutPendingTOTP(ctx, newTOTP("nobody", "third")))
		return nil
	})
	checkTOTP(t, s, a.ID, &again, nil)
}

func testConfirmRefused(t *testing.T, s portal.Store) {
	a := account(t, s)
	first := confirmTOTP(t, s, putTOTP(t, s, newTOTP(a.ID, "first")), 100)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "one that is not there", portal.ErrNotFound, tx.ConfirmTOTP(ctx, "none", 1, minute(9)))
		gives(t, "one that is confirmed", portal.ErrNotFound, tx.ConfirmTOTP(ctx, "first", 1, minute(9)))
		return nil
	})
	checkTOTP(t, s, a.ID, nil, &first)
}

func testTakeStep(t *testing.T, s portal.Store) {
	a := account(t, s)
	factor := confirmTOTP(t, s, putTOTP(t, s, newTOTP(a.ID, "it")), 100)
	for _, try := range []struct {
		what string
		id   portal.FactorID
		step int64
		want error
	}{
		{"the step of the enrolment", "it", 100, portal.ErrConflict},
		{"an older one", "it", 99, portal.ErrConflict},
		{"the next", "it", 101, nil},
		{"the same again", "it", 101, portal.ErrConflict},
		{"one later", "it", 105, nil},
		{"one between", "it", 103, portal.ErrConflict},
		{"another factor's", "none", 200, portal.ErrNotFound},
	} {
		err := s.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error { return tx.TakeStep(ctx, try.id, try.step) })
		gives(t, try.what, try.want, err)
	}
	factor.LastStep = 105
	checkTOTP(t, s, a.ID, nil, &factor)
}

func testDeleteTOTP(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	confirmTOTP(t, s, putTOTP(t, s, newTOTP(a.ID, "confirmed")), 1)
	putTOTP(t, s, newTOTP(a.ID, "pending"))
	others := putTOTP(t, s, newTOTP(b.ID, "others"))
	for range 2 {
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.DeleteTOTP(ctx, a.ID) })
		checkTOTP(t, s, a.ID, nil, nil)
	}
	checkTOTP(t, s, b.ID, &others, nil)
}

func testReplaceSeed(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	confirmed := confirmTOTP(t, s, putTOTP(t, s, newTOTP(a.ID, "1")), 1)
	pending := putTOTP(t, s, newTOTP(a.ID, "22"))
	others := putTOTP(t, s, newTOTP(b.ID, "333"))
	enough := errors.New("enough")
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		seen := 0
		gives(t, "an error of the caller's", enough, tx.EachTOTP(ctx, func(portal.TOTP) error { seen++; return enough }))
		equal(t, "seen before the error", 1, seen)
		gives(t, "a seed that is not there", portal.ErrNotFound, tx.ReplaceSeed(ctx, "none", portal.Sealed{KeyID: "k2", Box: []byte("x")}))
		return tx.EachTOTP(ctx, func(f portal.TOTP) error {
			return tx.ReplaceSeed(ctx, f.ID, portal.Sealed{KeyID: "k2", Box: append([]byte("new "), f.Seed.Box...)})
		})
	})
	for _, f := range []*portal.TOTP{&confirmed, &pending, &others} {
		f.Seed = portal.Sealed{KeyID: "k2", Box: append([]byte("new "), f.Seed.Box...)}
	}
	checkTOTP(t, s, a.ID, &pending, &confirmed)
	checkTOTP(t, s, b.ID, &others, nil)
}
