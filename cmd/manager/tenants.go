package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/tenant"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

// portalAccount is the portal's service account, in the operator's namespace; see
// v1alpha1.PortalUser.
const portalAccount = "lethe-portal"

// cacheTenants adds to the cache what the operator made for tenants, and of Namespaces
// what says that they are tenants.
func cacheTenants(options *cache.Options) {
	ours := labels.SelectorFromSet(labels.Set{resources.LabelManagedBy: resources.ManagedBy})
	for _, kind := range []client.Object{
		&corev1.ResourceQuota{}, &corev1.LimitRange{}, &corev1.ServiceAccount{}, &networkingv1.NetworkPolicy{}, &rbacv1.RoleBinding{},
	} {
		options.ByObject[kind] = cache.ByObject{Label: ours}
	}
	options.ByObject[&corev1.Namespace{}] = cache.ByObject{Transform: slimNamespace}
}

// slimNamespace keeps labels, Lethe's own annotations, and of the conditions Lethe's.
func slimNamespace(o any) (any, error) {
	if namespace, ok := o.(*corev1.Namespace); ok {
		namespace.ManagedFields = nil
		for key := range namespace.Annotations {
			if !strings.HasPrefix(key, "lethe.dev/") {
				delete(namespace.Annotations, key)
			}
		}
		var kept []corev1.NamespaceCondition
		for _, condition := range namespace.Status.Conditions {
			if condition.Type == v1alpha1.ConditionTenantReady {
				kept = append(kept, condition)
			}
		}
		namespace.Status.Conditions = kept
	}
	return o, nil
}

// tenantConfig reads the configuration of tenants, and adds what the operator knows by
// itself: where its broker is, and the store when its endpoint has an IP address.
func (c config) tenantConfig(storeEndpoint string) (resources.Config, error) {
	tenants := resources.Default()
	if c.tenants.file != "" {
		text, err := os.ReadFile(c.tenants.file)
		if err != nil {
			return tenants, fmt.Errorf("read --tenant-config: %w", err)
		}
		if tenants, err = resources.ParseConfig(text); err != nil {
			return tenants, err
		}
	}
	for _, cidr := range c.tenants.storeCIDRs {
		tenants.Network.Store = append(tenants.Network.Store, resources.Peer{CIDR: cidr})
	}
	if peer, known, err := resources.StorePeer(storeEndpoint); err != nil {
		return tenants, err
	} else if known && len(tenants.Network.Store) == 0 {
		tenants.Network.Store = []resources.Peer{peer}
	}
	if len(tenants.Network.Broker) == 0 {
		peer, err := resources.BrokerPeer(c.namespace, c.brokerAddress)
		if err != nil {
			return tenants, err
		}
		tenants.Network.Broker = []resources.Peer{peer}
	}
	return tenants, tenants.Validate()
}

func newTenants(cfg config, mgr ctrl.Manager, storeEndpoint string, clk clock.PassiveClock) (*tenant.Reconciler, error) {
	settings, err := cfg.tenantConfig(storeEndpoint)
	if err != nil {
		return nil, err
	}
	tenantMetrics, err := tenant.NewMetrics(metrics.Registry)
	if err != nil {
		return nil, err
	}
	return tenant.New(tenant.Dependencies{
		Client: mgr.GetClient(), Recorder: mgr.GetEventRecorder(tenant.Name), Metrics: tenantMetrics, Clock: clk,
	}, tenant.Options{
		Config: settings, Namespace: cfg.namespace, PortalAccount: portalAccount, BillingGrace: cfg.billingGrace,
	})
}

// tenantsConfig is how the operator looks after tenants.
type tenantsConfig struct {
	// file is the configuration in YAML. "": the defaults.
	file string
	// storeCIDRs are where Pods find the store, beside what the file says.
	storeCIDRs cidrs
}

// cidrs is a flag that takes networks, with commas between them.
type cidrs []string

func (c *cidrs) String() string { return strings.Join(*c, ",") }

// Set adds networks. What is none is refused with the rest of the configuration.
func (c *cidrs) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one == "" {
			return errors.New("a network is empty")
		}
		*c = append(*c, strings.TrimSpace(one))
	}
	return nil
}
