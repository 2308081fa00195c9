package validation

import (
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Tenant is what a tenant's Namespace says.
type Tenant struct {
	// GPUs that the tenant may have at once.
	GPUs int64
	// Trouble says why GPUs is 0 although nobody said so; nil otherwise.
	Trouble error
	// Billing is whether runs are paid for.
	Billing v1alpha1.Billing
}

// TenantOf reads a Namespace. It gives nil for one that is not a tenant's.
func TenantOf(labels, annotations map[string]string) *Tenant {
	if !v1alpha1.IsTenant(labels) {
		return nil
	}
	var t Tenant
	t.GPUs, t.Trouble = v1alpha1.GPUAllowance(annotations)
	// A billing that can not be read counts as Suspended, which is all that matters here.
	t.Billing, _ = v1alpha1.BillingOf(annotations)
	return &t
}

// RunFacts are what is known around a run.
type RunFacts struct {
	// Tenant is nil in a namespace that is not a tenant's.
	Tenant *Tenant
	// Images counts in tenants' namespaces.
	Images Images
	// Dataset is what spec.datasetRef names, if it is there.
	Dataset *v1alpha1.DatasetRetention
	// NoDataset says that it was looked for and is not there.
	NoDataset bool
	// NoSource says that the run of spec.checkpoint.from was looked for and is not there.
	NoSource bool
	// NoSuchGPU says that no node has GPUs of the kind that is asked for.
	NoSuchGPU bool
}

// DatasetFacts are what is known around a dataset.
type DatasetFacts struct {
	// Now is the time. Zero: nothing is said that needs it.
	Now time.Time
	// MaxAgeCeiling and AfterTrainingCeiling are the administrator's; 0 for none.
	MaxAgeCeiling, AfterTrainingCeiling time.Duration
}
