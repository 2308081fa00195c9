package v1alpha1

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A tenant is a Namespace with LabelTenant. It has no kind of its own: what the operator
// makes for a tenant hangs on the Namespace, and goes with it.
//
// The label and the annotations of the prefix lethe.dev/ on Namespaces are written by the
// portal, the operator and cluster administrators only; a policy sees to that
// (config/policies), because everything below is trusted.
const (
	// LabelTenant makes a Namespace a tenant. Its value is an opaque id that is the
	// portal's to choose, and is not interpreted: not a name, not an address.
	LabelTenant = "lethe.dev/tenant"
	// AnnotationGPUAllowance is how many GPUs the tenant may have at once: an integer
	// from 0 to MaxGPUAllowance. Absent or malformed: 0.
	AnnotationGPUAllowance = "lethe.dev/gpu-allowance"
	// AnnotationBilling is a Billing. Absent: Active.
	AnnotationBilling = "lethe.dev/billing"
	// AnnotationSuspendedAt is when the operator first saw that billing was Suspended,
	// in RFC 3339. The operator alone writes it, and removes it when billing is Active.
	AnnotationSuspendedAt = "lethe.dev/suspended-at"
	// AnnotationRuntimeClass is the RuntimeClass that the tenant's Pods run in, by its
	// tier; "" stands for the nodes' own. The operator alone writes it, when everything
	// else that the tenant needs is there: without it no run starts.
	AnnotationRuntimeClass = "lethe.dev/runtime-class"
	// AnnotationWritableRoot set to "true" lets the tenant's runs ask for a writable root
	// filesystem, by its tier. The operator alone writes it.
	AnnotationWritableRoot = "lethe.dev/writable-root"
	// AnnotationTier names a tier of the operator's configuration. Absent: the default
	// tier. A tier that the operator does not know gives no GPU.
	AnnotationTier = "lethe.dev/tier"
	// AnnotationInternetEgress set to "true" opens the internet to the tenant's Pods,
	// without private networks and metadata addresses.
	AnnotationInternetEgress = "lethe.dev/internet-egress"
)

// PortalUser is the name that the portal's service account has for the API server.
const PortalUser = "system:serviceaccount:lethe-system:lethe-portal"

// OperatorUser is the name that the operator's service account has for the API server.
const OperatorUser = "system:serviceaccount:lethe-system:lethe-manager"

// MaxGPUAllowance is the most GPUs that AnnotationGPUAllowance can say.
const MaxGPUAllowance = 10_000

// MaxBillingGrace bounds the time from Suspended until running runs are stopped.
const MaxBillingGrace = 30 * 24 * time.Hour

// Billing is whether a tenant's runs are paid for.
type Billing string

const (
	// BillingActive lets runs start and go on.
	BillingActive Billing = "Active"
	// BillingSuspended lets no run start; those that run are stopped at a checkpoint
	// when the operator's grace is over. Data stays as its retention says.
	BillingSuspended Billing = "Suspended"
)

// ConditionTenantReady (positive, tenant controller) is a condition of a tenant's
// Namespace: everything that the tenant needs is there, and its annotations are
// understood. False says with one of the reasons below what is not so.
const ConditionTenantReady = "lethe.dev/TenantReady"

// Reasons of ConditionTenantReady. It has ReasonPaymentRequired, too.
const (
	// ReasonTenantReady: Pods may be made.
	ReasonTenantReady = "Ready"
	// ReasonAllowanceMissing: the Namespace has no GPU allowance, so it has no GPUs.
	ReasonAllowanceMissing = "AllowanceMissing"
	// ReasonAllowanceMalformed: the GPU allowance is no number from 0 to
	// MaxGPUAllowance, and counts as 0.
	ReasonAllowanceMalformed = "AllowanceMalformed"
	// ReasonBillingMalformed: the billing annotation is neither Active nor Suspended,
	// and counts as Suspended.
	ReasonBillingMalformed = "BillingMalformed"
	// ReasonNamespaceProtected: the Namespace is the cluster's own, or the operator's, and
	// is never a tenant.
	ReasonNamespaceProtected = "NamespaceProtected"
	// ReasonQuotaPending: the cluster's quota controller has not taken the tenant's quota
	// over yet, so it would not hold.
	ReasonQuotaPending = "QuotaPending"
	// ReasonStoreUnreachable: the operator does not know by which addresses Pods reach the
	// object store, and so can't let them.
	ReasonStoreUnreachable = "StoreUnreachable"
	// ReasonTierUnknown: the tier is not one of the operator's, and no GPU is given.
	ReasonTierUnknown = "TierUnknown"
)

var (
	// ErrNoAllowance says that a Namespace has no GPU allowance.
	ErrNoAllowance = errors.New("annotation " + AnnotationGPUAllowance + " is missing")
	// ErrMalformedAllowance says that a GPU allowance can not be read.
	ErrMalformedAllowance = fmt.Errorf("annotation %s is not a number from 0 to %d", AnnotationGPUAllowance, MaxGPUAllowance)
	// ErrMalformedBilling says that a billing state can not be read.
	ErrMalformedBilling = fmt.Errorf("annotation %s is neither %s nor %s", AnnotationBilling, BillingActive, BillingSuspended)
)

// IsTenant says whether a Namespace with these labels is a tenant. Also an empty value
// makes one.
func IsTenant(labels map[string]string) bool {
	_, is := labels[LabelTenant]
	return is
}

// GPUAllowance reads how many GPUs a tenant may have at once. With an error, ErrNoAllowance
// or ErrMalformedAllowance, it is 0.
func GPUAllowance(annotations map[string]string) (int64, error) {
	raw, there := annotations[AnnotationGPUAllowance]
	if !there {
		return 0, ErrNoAllowance
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 0 || n > MaxGPUAllowance || strconv.FormatInt(n, 10) != raw {
		return 0, ErrMalformedAllowance
	}
	return n, nil
}

// BillingOf reads a tenant's billing. A value that is not known counts as Suspended, with
// ErrMalformedBilling: a slip must not give away what nobody pays for.
func BillingOf(annotations map[string]string) (Billing, error) {
	switch raw, there := annotations[AnnotationBilling]; {
	case !there || raw == string(BillingActive):
		return BillingActive, nil
	case raw == string(BillingSuspended):
		return BillingSuspended, nil
	default:
		return BillingSuspended, ErrMalformedBilling
	}
}

// SuspendedAt reads when the operator first saw that a tenant's billing was Suspended. It
// reports false when it was not noted, or not in RFC 3339.
func SuspendedAt(annotations map[string]string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339, annotations[AnnotationSuspendedAt])
	return at, err == nil
}

// InternetEgress says whether a tenant's Pods may reach the internet.
func InternetEgress(annotations map[string]string) bool {
	return annotations[AnnotationInternetEgress] == "true"
}
