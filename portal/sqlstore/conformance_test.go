package sqlstore_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/sqlstore"
	"github.com/lethe-dev/lethe/portal/sqlstore/sqlstoretest"
)

func TestSQLiteIsAStore(t *testing.T) {
	t.Parallel()
	sqlstoretest.Run(t, func(t *testing.T) portal.Store { t.Helper(); return portaltest.Store(t) })
}

func TestPostgreSQLIsAStore(t *testing.T) {
	t.Parallel()
	server := portaltest.StartPostgres(t)
	sqlstoretest.Run(t, func(t *testing.T) portal.Store { t.Helper(); return server.Store(t) })
}

// replicas is one database through two stores, by turns, as two processes have it.
type replicas struct {
	stores [2]*sqlstore.Store
	next   *atomic.Int64
}

func newReplicas(t *testing.T, dsn string) replicas {
	t.Helper()
	r := replicas{next: &atomic.Int64{}}
	for i := range r.stores {
		store, err := sqlstore.Open(t.Context(), dsn, sqlstore.Options{NoSync: true})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		t.Cleanup(func() {
			if err := store.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		r.stores[i] = store
	}
	if err := r.stores[0].Migrate(t.Context()); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return r
}

func (r replicas) store() *sqlstore.Store { return r.stores[r.next.Add(1)%2] }

func (r replicas) Write(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return r.store().Write(ctx, f)
}

func (r replicas) Read(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return r.store().Read(ctx, f)
}

func (r replicas) Ping(ctx context.Context) error { return r.store().Ping(ctx) }

func TestTwoProcessesOnOneSQLiteFileRaceFairly(t *testing.T) {
	t.Parallel()
	sqlstoretest.RunRaces(t, func(t *testing.T) portal.Store { t.Helper(); return newReplicas(t, t.TempDir()+"/portal.db") })
}

func TestTwoReplicasOnPostgreSQLRaceFairly(t *testing.T) {
	t.Parallel()
	server := portaltest.StartPostgres(t)
	sqlstoretest.RunRaces(t, func(t *testing.T) portal.Store { t.Helper(); return newReplicas(t, server.Database(t)) })
}
