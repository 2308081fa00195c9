package uploads

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// repairEvery bounds how often a tenant is put right: the operator may have reasons that
// the portal does not mend.
const repairEvery = time.Minute

// tenant gives the account's, made if it has none.
func (s *Service) tenant(ctx context.Context, tx portal.Tx, account portal.AccountID) (portal.Tenant, error) {
	found, err := tx.Tenant(ctx, account)
	if !errors.Is(err, portal.ErrNotFound) {
		return found, err
	}
	made := portal.Tenant{Account: account, Namespace: portal.NewNamespace(s.random), CreatedAt: s.now()}
	return made, tx.CreateTenant(ctx, made)
}

// ensureTenant makes the tenant's place in the cluster. Billing, GPUs and tier are those of
// a new one: where staff have changed them they stay.
func (s *Service) ensureTenant(ctx context.Context, account portal.AccountID, namespace string) error {
	err := s.cluster.EnsureTenant(ctx, portal.TenantOrder{
		Namespace: namespace, Label: string(account), GPUs: s.options.GPUs,
		Billing: portal.BillingActive, Tier: s.options.Tier,
	})
	if err != nil {
		return fmt.Errorf("make tenant: %w", err)
	}
	return nil
}

// TenantSeen takes note of what the cluster tells of a namespace. One that is not ready is
// looked after, and what waited for one that is ready goes on.
func (s *Service) TenantSeen(ctx context.Context, namespace string, ready bool, why string) error {
	var tenant portal.Tenant
	err := s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		found, err := tx.TenantByNamespace(ctx, namespace)
		if err != nil {
			return err
		}
		tenant = found
		if !ready || !found.ReadyAt.IsZero() {
			return nil
		}
		return tx.TenantReady(ctx, namespace, s.now())
	})
	if errors.Is(err, portal.ErrNotFound) {
		return nil // somebody else's namespace
	}
	if err != nil {
		return fmt.Errorf("note tenant: %w", err)
	}
	if ready {
		s.Wake()
		return nil
	}
	if last, ok := s.repairs.Load(namespace); ok && s.now().Before(last.(time.Time).Add(repairEvery)) {
		return nil
	}
	s.repairs.Store(namespace, s.now())
	s.log.InfoContext(ctx, "Tenant is not ready", "namespace", namespace, "reason", why)
	return s.ensureTenant(ctx, tenant.Account, namespace)
}
