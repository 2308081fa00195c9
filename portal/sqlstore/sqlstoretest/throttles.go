package sqlstoretest

import (
	"context"
	"testing"

	"github.com/lethe-dev/lethe/portal"
)

var throttleTests = map[string]func(*testing.T, portal.Store){
	"a count is kept under its key":              testThrottle,
	"a purge takes counts that have stood still": testPurgeThrottles,
}

func throttle(t *testing.T, s portal.Store, key string) portal.Throttle {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Throttle, error) { return tx.Throttle(ctx, key) })
}

func testThrottle(t *testing.T, s portal.Store) {
	equal(t, "none", portal.Throttle{Key: "key"}, throttle(t, s, "key"))
	other := portal.Throttle{Key: "other", Failures: 9, FirstAt: start, LastAt: start}
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.PutThrottle(ctx, other) })
	for _, want := range []portal.Throttle{
		{Key: "key", Failures: 1, FirstAt: start, LastAt: minute(1)},
		{Key: "key", Failures: 2, FirstAt: minute(2), LastAt: minute(3)},
	} {
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.PutThrottle(ctx, want) })
		equal(t, "count", want, throttle(t, s, "key"))
	}
	for range 2 {
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.DeleteThrottle(ctx, "key") })
		equal(t, "deleted", portal.Throttle{Key: "key"}, throttle(t, s, "key"))
	}
	equal(t, "another", other, throttle(t, s, "other"))
}

func testPurgeThrottles(t *testing.T, s portal.Store) {
	old := portal.Throttle{Key: "old", Failures: 1, FirstAt: minute(0), LastAt: minute(1)}
	live := portal.Throttle{Key: "live", Failures: 1, FirstAt: minute(0), LastAt: minute(2)}
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, err := range []error{tx.PutThrottle(ctx, old), tx.PutThrottle(ctx, live)} {
			if err != nil {
				return err
			}
		}
		n, err := tx.PurgeThrottles(ctx, minute(2))
		equal(t, "rows", 1, n)
		return err
	})
	equal(t, "old", portal.Throttle{Key: "old"}, throttle(t, s, "old"))
	equal(t, "live", live, throttle(t, s, "live"))
}
