package resources

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Config is what a platform team can set about tenants. What it leaves out is as in
// Default.
type Config struct {
	// DefaultTier is the tier of tenants that name none.
	DefaultTier string `json:"defaultTier,omitempty"`
	// Tiers by their name. When there are any, those of Default are not there.
	Tiers map[string]Tier `json:"tiers,omitempty"`
	// OtherDevices are extended resources beside nvidia.com/gpu, for example
	// nvidia.com/mig-1g.10gb or amd.com/gpu. Tenants get none of them.
	OtherDevices []corev1.ResourceName `json:"otherDevices,omitempty"`
	// DeviceClaims is how many ResourceClaims a tenant may have. It is 0, unless the
	// GPUs come from a DeviceClass with the extended resource name nvidia.com/gpu: then
	// the scheduler makes one for each Pod.
	DeviceClaims int64 `json:"deviceClaims,omitempty"`
	// Counts bound what is kept in the API server.
	Counts Counts `json:"counts,omitzero"`
	// Network says where Pods may go.
	Network Network `json:"network,omitzero"`
}

// Tier is a kind of tenant.
type Tier struct {
	// RuntimeClass that its Pods run in, for example gvisor. "": the nodes' own.
	RuntimeClass string `json:"runtimeClass,omitempty"`
	// WritableRoot lets runs ask for spec.trainer.rootFilesystem: Writable.
	WritableRoot bool `json:"writableRoot,omitempty"`
	// Internet says who opens the internet. "": InternetOnRequest.
	Internet Internet `json:"internet,omitempty"`
	// Base is what a tenant has without GPUs, PerGPU what each GPU of its allowance adds.
	Base   Amount `json:"base,omitzero"`
	PerGPU Amount `json:"perGPU,omitzero"`
	// Container is what a container has that does not say itself.
	Container Container `json:"container,omitzero"`
}

// Internet says who opens the internet to the Pods of a tenant.
type Internet string

const (
	// InternetOnRequest leaves it to the Namespace's annotation lethe.dev/internet-egress.
	InternetOnRequest Internet = "OnRequest"
	// InternetAlways keeps it open.
	InternetAlways Internet = "Always"
	// InternetNever keeps it closed, whatever the annotation says.
	InternetNever Internet = "Never"
)

// Amount is a part of a tenant's quota.
type Amount struct {
	Pods             int64             `json:"pods,omitempty"`
	CPU              resource.Quantity `json:"cpu,omitzero"`
	Memory           resource.Quantity `json:"memory,omitzero"`
	EphemeralStorage resource.Quantity `json:"ephemeralStorage,omitzero"`
}

// Container is what a container has that does not say itself.
type Container struct {
	// CPU is requested; there is no limit.
	CPU resource.Quantity `json:"cpu,omitzero"`
	// Memory is request and limit.
	Memory resource.Quantity `json:"memory,omitzero"`
	// EphemeralStorage is the limit. A Pod of a run has twice of it: its trainer's and
	// its stage-out's. The dataset, what is restored of a checkpoint, artifacts and
	// scratch files lie there, too.
	EphemeralStorage resource.Quantity `json:"ephemeralStorage,omitzero"`
	// EphemeralStorageRequest is what the scheduler looks for on a node; 0 where nodes
	// do not tell what they have.
	EphemeralStorageRequest resource.Quantity `json:"ephemeralStorageRequest,omitzero"`
}

// Counts bound what a tenant can have in the API server.
type Counts struct {
	Runs       int64 `json:"runs,omitempty"`
	Datasets   int64 `json:"datasets,omitempty"`
	Services   int64 `json:"services,omitempty"`
	Secrets    int64 `json:"secrets,omitempty"`
	ConfigMaps int64 `json:"configMaps,omitempty"`
}

// Network says where Pods of runs may go. A NetworkPolicy sees the address of a Pod, not
// of its Service, and the Pod's port.
type Network struct {
	// DNS servers; the default are the Pods k8s-app=kube-dns of kube-system. Add the
	// address of a node-local cache where there is one.
	DNS []Peer `json:"dns,omitempty"`
	// Store is where the object store is. It may be left out when the operator's endpoint
	// of the store is an IP address.
	Store []Peer `json:"store,omitempty"`
	// Broker is where the operator's broker is; the default are the operator's own Pods.
	Broker []Peer `json:"broker,omitempty"`
	// Except are networks that are no internet, beside those that are private by
	// standard: the public addresses of nodes, of the API server, of services nearby.
	Except []string `json:"except,omitempty"`
}

// Peer is an address, or a set of Pods.
type Peer struct {
	// CIDR is a network. Empty: Pods.
	CIDR string `json:"cidr,omitempty"`
	// Namespace and Pods are labels that select Pods. Without Pods they are all Pods of
	// the namespaces; a Namespace has to be given.
	Namespace map[string]string `json:"namespace,omitempty"`
	Pods      map[string]string `json:"pods,omitempty"`
	// Port of TCP, and for DNS of UDP. 0: all.
	Port int32 `json:"port,omitempty"`
}

// DefaultTier is the name of the one tier of Default.
const DefaultTier = "standard"

// Default is the configuration of an operator that is given none.
func Default() Config {
	return Config{
		DefaultTier: DefaultTier,
		Tiers:       map[string]Tier{DefaultTier: defaultTier()},
		Counts:      Counts{Runs: 1000, Datasets: 500, Services: 200, Secrets: 20, ConfigMaps: 20},
		Network: Network{DNS: []Peer{{
			Namespace: map[string]string{corev1.LabelMetadataName: metav1.NamespaceSystem},
			Pods:      map[string]string{"k8s-app": "kube-dns"},
			Port:      53,
		}}},
	}
}

func defaultTier() Tier {
	return Tier{
		Internet: InternetOnRequest,
		Base: Amount{
			Pods: 20, CPU: resource.MustParse("8"), Memory: resource.MustParse("32Gi"), EphemeralStorage: resource.MustParse("1Ti"),
		},
		PerGPU: Amount{
			Pods: 2, CPU: resource.MustParse("24"), Memory: resource.MustParse("256Gi"), EphemeralStorage: resource.MustParse("1Ti"),
		},
		Container: Container{
			CPU: resource.MustParse("1"), Memory: resource.MustParse("8Gi"),
			EphemeralStorage: resource.MustParse("200Gi"), EphemeralStorageRequest: resource.MustParse("1Gi"),
		},
	}
}

// ParseConfig reads a configuration, in YAML or JSON. A field that does not exist is an
// error, and so is whatever could never work.
func ParseConfig(text []byte) (Config, error) {
	var given Config
	if err := yaml.UnmarshalStrict(text, &given); err != nil {
		return Config{}, fmt.Errorf("read the configuration of tenants: %w", err)
	}
	c := given.completed()
	return c, c.Validate()
}

// completed fills in what is left out.
func (c Config) completed() Config {
	d := Default()
	if len(c.Tiers) == 0 {
		c.Tiers = d.Tiers
	}
	tiers := make(map[string]Tier, len(c.Tiers))
	for name, tier := range c.Tiers {
		tiers[name] = tier.completed()
	}
	c.Tiers = tiers
	if c.DefaultTier == "" && len(c.Tiers) == 1 {
		for name := range c.Tiers {
			c.DefaultTier = name
		}
	}
	if len(c.Network.DNS) == 0 {
		c.Network.DNS = d.Network.DNS
	}
	for _, count := range []struct {
		given *int64
		usual int64
	}{
		{&c.Counts.Runs, d.Counts.Runs},
		{&c.Counts.Datasets, d.Counts.Datasets},
		{&c.Counts.Services, d.Counts.Services},
		{&c.Counts.Secrets, d.Counts.Secrets},
		{&c.Counts.ConfigMaps, d.Counts.ConfigMaps},
	} {
		if *count.given == 0 {
			*count.given = count.usual
		}
	}
	return c
}

func (t Tier) completed() Tier {
	d := defaultTier()
	if t.Internet == "" {
		t.Internet = d.Internet
	}
	if t.Base == (Amount{}) {
		t.Base = d.Base
	}
	if t.PerGPU == (Amount{}) {
		t.PerGPU = d.PerGPU
	}
	if t.Container == (Container{}) {
		t.Container = d.Container
	}
	return t
}

// Validate says what is wrong with a configuration, all at once.
func (c Config) Validate() error {
	var errs []error
	if _, there := c.Tiers[c.DefaultTier]; !there {
		errs = append(errs, fmt.Errorf("defaultTier %q is not one of the tiers", c.DefaultTier))
	}
	for name, tier := range c.Tiers {
		if err := tier.validate(); err != nil {
			errs = append(errs, fmt.Errorf("tier %q: %w", name, err))
		}
	}
	for _, name := range c.OtherDevices {
		if !strings.Contains(string(name), "/") || len(validation.IsQualifiedName(string(gpuQuota(name)))) > 0 || name == v1alpha1.ResourceGPU {
			errs = append(errs, fmt.Errorf("otherDevices: %q is no extended resource beside %s", name, v1alpha1.ResourceGPU))
		}
	}
	n := c.Counts
	for _, count := range []int64{c.DeviceClaims, n.Runs, n.Datasets, n.Services, n.Secrets, n.ConfigMaps} {
		if count < 0 {
			errs = append(errs, fmt.Errorf("%d: a count is not negative", count))
		}
	}
	return errors.Join(append(errs, c.Network.validate())...)
}

func (t Tier) validate() error {
	var errs []error
	if t.RuntimeClass != "" && len(validation.IsDNS1123Subdomain(t.RuntimeClass)) > 0 {
		errs = append(errs, fmt.Errorf("runtimeClass %q is no name", t.RuntimeClass))
	}
	if !slices.Contains([]Internet{InternetOnRequest, InternetAlways, InternetNever}, t.Internet) {
		errs = append(errs, fmt.Errorf("internet %q is not %s, %s or %s", t.Internet, InternetOnRequest, InternetAlways, InternetNever))
	}
	for _, q := range []resource.Quantity{
		t.Base.CPU, t.Base.Memory, t.Base.EphemeralStorage, t.PerGPU.CPU, t.PerGPU.Memory, t.PerGPU.EphemeralStorage,
		t.Container.EphemeralStorageRequest,
	} {
		if q.Sign() < 0 {
			errs = append(errs, fmt.Errorf("%s: an amount is not negative", q.String()))
		}
	}
	if t.Base.Pods < 0 || t.PerGPU.Pods < 0 {
		errs = append(errs, errors.New("pods are not negative"))
	}
	k := t.Container
	if k.CPU.Sign() <= 0 || k.Memory.Sign() <= 0 || k.EphemeralStorage.Sign() <= 0 {
		errs = append(errs, errors.New("container: cpu, memory and ephemeralStorage are greater than zero"))
	}
	if k.EphemeralStorageRequest.Cmp(k.EphemeralStorage) > 0 {
		errs = append(errs, errors.New("container: ephemeralStorageRequest is not more than ephemeralStorage"))
	}
	return errors.Join(errs...)
}

func (n Network) validate() error {
	var errs []error
	for _, peer := range slices.Concat(n.DNS, n.Store, n.Broker) {
		if err := peer.validate(); err != nil {
			errs = append(errs, fmt.Errorf("network: %w", err))
		}
	}
	for _, cidr := range n.Except {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || prefix != prefix.Masked() || prefix.Bits() == 0 {
			errs = append(errs, fmt.Errorf("network: except %q is no network", cidr))
		}
	}
	return errors.Join(errs...)
}

func (p Peer) validate() error {
	if p.Port < 0 || p.Port > 65535 {
		return fmt.Errorf("%d is no port", p.Port)
	}
	if p.CIDR == "" {
		if len(p.Namespace) == 0 {
			return errors.New("a peer has a cidr, or the labels of a namespace")
		}
		return errors.Join(metav1validation.ValidateLabels(p.Namespace, field.NewPath("namespace")).ToAggregate(),
			metav1validation.ValidateLabels(p.Pods, field.NewPath("pods")).ToAggregate())
	}
	if prefix, err := netip.ParsePrefix(p.CIDR); err != nil || prefix != prefix.Masked() {
		return fmt.Errorf("cidr %q is no network", p.CIDR)
	}
	if len(p.Namespace)+len(p.Pods) > 0 {
		return fmt.Errorf("a peer has a cidr or labels, and %q has both", p.CIDR)
	}
	return nil
}

// Tier gives the tier of that name; "" is the default one.
func (c Config) Tier(name string) (Tier, bool) {
	if name == "" {
		name = c.DefaultTier
	}
	tier, known := c.Tiers[name]
	return tier, known
}
