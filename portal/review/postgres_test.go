package review_test

import (
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// TestOnPostgreSQL runs each method once: the transactions there are others.
func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	server := portaltest.StartPostgres(t)
	for name, call := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := benchOn(t, server.Store(t))
			admin := b.staff(t, portal.RoleAdmin)
			before := len(b.audit(t))
			if _, err := call.do(t.Context(), b.service, admin, b); err != nil {
				t.Fatalf("the call failed: %v", err)
			}
			if n := len(b.audit(t)) - before; n != 1 {
				t.Errorf("the call wrote %d audit rows, want 1", n)
			}
		})
	}
	t.Run("two admins", func(t *testing.T) {
		t.Parallel()
		demoteEachOther(t, benchOn(t, server.Store(t)))
	})
}
