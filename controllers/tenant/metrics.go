package tenant

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Actions of writes, as a label.
const (
	actionApply  = "apply"
	actionRemove = "remove"
	actionPatch  = "patch"
	actionStatus = "status"
)

// allReasons are the reasons of the condition, each a series from the start.
var allReasons = []string{
	v1alpha1.ReasonTenantReady, v1alpha1.ReasonNamespaceProtected, v1alpha1.ReasonTierUnknown, v1alpha1.ReasonStoreUnreachable,
	v1alpha1.ReasonQuotaPending, v1alpha1.ReasonBillingMalformed, v1alpha1.ReasonPaymentRequired,
	v1alpha1.ReasonAllowanceMalformed, v1alpha1.ReasonAllowanceMissing,
}

// Metrics of the controller. Only the leader reconciles, so only its numbers count.
type Metrics struct {
	tenants *prometheus.GaugeVec
	writes  *prometheus.CounterVec

	mu sync.Mutex
	// known is how each tenant stands. All are looked at after a restart, so it fills by
	// itself.
	known map[string]string
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		tenants: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lethe_tenants", Help: "Tenants by the reason of their TenantReady condition.",
		}, []string{"reason"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_tenant_writes_total",
			Help: "Writes that set tenants up or changed them back, by kind and action. It stands still at rest.",
		}, []string{"kind", "action"}),
		known: map[string]string{},
	}
	for _, reason := range allReasons {
		m.tenants.WithLabelValues(reason)
	}
	if err := errors.Join(registry.Register(m.tenants), registry.Register(m.writes)); err != nil {
		return nil, fmt.Errorf("register the metrics of tenants: %w", err)
	}
	return m, nil
}

// see takes note of how a tenant stands.
func (m *Metrics) see(tenant, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, known := m.known[tenant]
	if before == reason && known {
		return
	}
	if known {
		m.tenants.WithLabelValues(before).Dec()
	}
	m.known[tenant] = reason
	m.tenants.WithLabelValues(reason).Inc()
}

// gone takes a tenant out that is none any more.
func (m *Metrics) gone(tenant string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, known := m.known[tenant]; known {
		m.tenants.WithLabelValues(before).Dec()
		delete(m.known, tenant)
	}
}

// wrote counts a write.
func (m *Metrics) wrote(object client.Object, action string) {
	kind := fmt.Sprintf("%T", object)
	m.writes.WithLabelValues(kind[strings.LastIndex(kind, ".")+1:], action).Inc()
}
