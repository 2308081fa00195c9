package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const tenantColumns = `account, namespace, created_at, ready_at`

func scanTenant(r row) (portal.Tenant, error) {
	var n portal.Tenant
	err := r.Scan(&n.Account, &n.Namespace, into(&n.CreatedAt), into(&n.ReadyAt))
	return n, err
}

func (t *tx) CreateTenant(ctx context.Context, n portal.Tenant) error {
	_, err := t.put(ctx, "create a tenant",
		`INSERT INTO tenants (`+tenantColumns+`) VALUES (?, ?, ?, ?)`,
		n.Account, n.Namespace, n.CreatedAt, maybe(n.ReadyAt))
	return err
}

func (t *tx) Tenant(ctx context.Context, a portal.AccountID) (portal.Tenant, error) {
	return one(ctx, t, "read a tenant", scanTenant, `SELECT `+tenantColumns+` FROM tenants WHERE account = ?`, a)
}

func (t *tx) TenantByNamespace(ctx context.Context, namespace string) (portal.Tenant, error) {
	return one(ctx, t, "find a tenant by namespace", scanTenant,
		`SELECT `+tenantColumns+` FROM tenants WHERE namespace = ?`, namespace)
}

func (t *tx) TenantReady(ctx context.Context, namespace string, at time.Time) error {
	return t.execOne(ctx, "note that a tenant is ready",
		`UPDATE tenants SET ready_at = coalesce(ready_at, ?) WHERE namespace = ?`, at, namespace)
}

func (t *tx) EachTenant(ctx context.Context, f func(portal.Tenant) error) error {
	all, err := list(ctx, t, "list tenants", scanTenant, `SELECT `+tenantColumns+` FROM tenants ORDER BY namespace`)
	if err != nil {
		return err
	}
	for _, tenant := range all {
		if err := f(tenant); err != nil {
			return err
		}
	}
	return nil
}
