package sqlstoretest

import (
	"context"
	"errors"
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

var tenantTests = map[string]func(*testing.T, portal.Store){
	"a tenant is found by account and by namespace":        testTenant,
	"an account has one tenant, and a namespace one owner": testTenantRefused,
	"a tenant becomes ready once":                          testTenantReady,
	"all tenants are given in order of their namespaces":   testEachTenant,
	"a tenant's rows hold only its account's things":       testTenantsApart,
}

func putTenant(t *testing.T, s portal.Store, tenant portal.Tenant) portal.Tenant {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateTenant(ctx, tenant) })
	return tenant
}

// tenant adds somebody with a tenant.
func tenant(t *testing.T, s portal.Store) portal.Tenant {
	t.Helper()
	return putTenant(t, s, portaltest.Tenant(account(t, s)))
}

func tenantOf(t *testing.T, s portal.Store, a portal.AccountID) portal.Tenant {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Tenant, error) { return tx.Tenant(ctx, a) })
}

func testTenant(t *testing.T, s portal.Store) {
	tenant(t, s)
	fresh := portaltest.Tenant(account(t, s))
	fresh.CreatedAt, fresh.ReadyAt = minute(1), portal.Tenant{}.ReadyAt
	putTenant(t, s, fresh)
	equal(t, "tenant", fresh, tenantOf(t, s, fresh.Account))
	equal(t, "tenant by namespace", fresh, read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Tenant, error) {
		return tx.TenantByNamespace(ctx, fresh.Namespace)
	}))
	for what, find := range map[string]func(context.Context, portal.Tx) (portal.Tenant, error){
		"nobody's": func(ctx context.Context, tx portal.Tx) (portal.Tenant, error) { return tx.Tenant(ctx, "nobody") },
		"another namespace": func(ctx context.Context, tx portal.Tx) (portal.Tenant, error) {
			return tx.TenantByNamespace(ctx, "t-none")
		},
	} {
		_, err := tryRead(t, s, find)
		gives(t, what, portal.ErrNotFound, err)
	}
}

func testTenantRefused(t *testing.T, s portal.Store) {
	first, other := tenant(t, s), account(t, s)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "a second one", portal.ErrConflict, tx.CreateTenant(ctx, portaltest.Tenant(portal.Account{ID: first.Account})))
		taken := portaltest.Tenant(other)
		taken.Namespace = first.Namespace
		gives(t, "a namespace that is taken", portal.ErrConflict, tx.CreateTenant(ctx, taken))
		gives(t, "nobody's", portal.ErrNotFound, tx.CreateTenant(ctx, portaltest.Tenant(portal.Account{ID: "nobody"})))
		return nil
	})
	equal(t, "tenant", first, tenantOf(t, s, first.Account))
}

func testTenantReady(t *testing.T, s portal.Store) {
	fresh := portaltest.Tenant(account(t, s), func(n *portal.Tenant) { n.ReadyAt = portal.Tenant{}.ReadyAt })
	putTenant(t, s, fresh)
	for _, at := range []int{2, 3} {
		write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.TenantReady(ctx, fresh.Namespace, minute(at)) })
	}
	fresh.ReadyAt = minute(2)
	equal(t, "tenant", fresh, tenantOf(t, s, fresh.Account))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "one that is not there", portal.ErrNotFound, tx.TenantReady(ctx, "t-none", minute(4)))
		return nil
	})
}

func testEachTenant(t *testing.T, s portal.Store) {
	each := func(stop error) ([]string, error) {
		return tryRead(t, s, func(ctx context.Context, tx portal.Tx) ([]string, error) {
			all := []string{}
			err := tx.EachTenant(ctx, func(n portal.Tenant) error { all = append(all, n.Namespace); return stop })
			return all, err
		})
	}
	for _, namespace := range []string{"t-b", "t-c", "t-a"} {
		putTenant(t, s, portaltest.Tenant(account(t, s), func(n *portal.Tenant) { n.Namespace = namespace }))
	}
	all, err := each(nil)
	equal(t, "tenants", []string{"t-a", "t-b", "t-c"}, all)
	gives(t, "all of them", nil, err)
	stop := errors.New("stop")
	all, err = each(stop)
	equal(t, "tenants until it stops", []string{"t-a"}, all)
	gives(t, "who stops", stop, err)
}

// testTenantsApart holds that the schema itself keeps accounts apart.
func testTenantsApart(t *testing.T, s portal.Store) {
	ours, theirs := tenant(t, s), tenant(t, s)
	dataset := putDataset(t, s, newDataset(theirs, "theirs", 0))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		stray := newDataset(ours, "stray", 0)
		stray.Namespace = theirs.Namespace
		gives(t, "a dataset in another's namespace", portal.ErrNotFound, tx.CreateDataset(ctx, stray))
		run := newRun(dataset, "stray", 0)
		run.Namespace = ours.Namespace
		gives(t, "a run in another's namespace", portal.ErrNotFound, tx.CreateRun(ctx, run))
		run.Account = ours.Account
		gives(t, "a run on another's dataset", portal.ErrNotFound, tx.CreateRun(ctx, run))
		return nil
	})
}
