package portal

import (
	"io"
	"time"
)

// Tenant is an account's place in the cluster.
type Tenant struct {
	Account AccountID
	// Namespace tells nothing of the person: NewNamespace made it.
	Namespace string
	CreatedAt time.Time
	// ReadyAt is zero until the cluster was first seen to have it.
	ReadyAt time.Time
}

// NewNamespace makes the name of a tenant's namespace: "t-" and an identifier.
func NewNamespace(random io.Reader) string { return "t-" + NewID[string](random) }

// BillingState is what the annotation lethe.dev/billing of a Namespace says.
type BillingState string

// Values of BillingState.
const (
	BillingActive    BillingState = "Active"
	BillingSuspended BillingState = "Suspended"
)

// TenantOrder is what the cluster is to make of a tenant.
type TenantOrder struct {
	Namespace string
	// Label is the value of lethe.dev/tenant: an opaque identifier.
	Label string
	// GPUs is how many the tenant may use at once.
	GPUs    int
	Billing BillingState
	// Tier is the annotation lethe.dev/tier; "" for the operator's default.
	Tier string
}
