package resources

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Networks that are not the internet. The metadata services of clouds are in them
// (169.254.169.254, fd00:ec2::254, 100.100.100.200, 192.0.0.192), or stand for themselves.
var (
	notInternet4 = []string{
		"0.0.0.0/8",        // this network
		"10.0.0.0/8",       // private (RFC 1918)
		"100.64.0.0/10",    // shared by carriers (RFC 6598)
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // Azure's host, which serves metadata and is no private address
		"169.254.0.0/16",   // link-local, metadata
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocol assignments
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarks
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, broadcast
	}
	notInternet6 = []string{
		"::/96",        // unspecified, loopback, IPv4-compatible
		"64:ff9b::/96", // NAT64: reaches private IPv4 addresses
		"64:ff9b:1::/48",
		"2001::/32", // Teredo
		"2002::/16", // 6to4
		"fc00::/7",  // unique local
		"fe80::/10", // link-local
		"ff00::/8",  // multicast
	}
)

// Policies builds the tenant's NetworkPolicies: nothing in, nothing out, for all Pods;
// and for Pods of runs what they can't do without. The nodes of one run find each other
// through a policy of that run's own (controllers/trainingrun/resources).
func Policies(t Tenant, c Config) []*networkingv1.NetworkPolicy {
	all := []*networkingv1.NetworkPolicy{denyAll(t), runEgress(t, c.Network)}
	if t.Internet {
		all = append(all, internet(t, c.Network.Except))
	}
	return all
}

func denyAll(t Tenant) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: meta(t, "lethe-deny-all"),
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		},
	}
}

func runEgress(t Tenant, n Network) *networkingv1.NetworkPolicy {
	policy := egress(t, "lethe-run-egress")
	for _, peer := range n.DNS {
		policy.Spec.Egress = append(policy.Spec.Egress, rule(peer, corev1.ProtocolUDP, corev1.ProtocolTCP))
	}
	for _, peer := range slices.Concat(n.Store, n.Broker) {
		policy.Spec.Egress = append(policy.Spec.Egress, rule(peer, corev1.ProtocolTCP))
	}
	return policy
}

func internet(t Tenant, except []string) *networkingv1.NetworkPolicy {
	no4, no6 := slices.Clone(notInternet4), slices.Clone(notInternet6)
	for _, cidr := range except {
		if prefix, err := netip.ParsePrefix(cidr); err == nil && prefix.Addr().Is4() {
			no4 = append(no4, cidr)
		} else {
			no6 = append(no6, cidr)
		}
	}
	policy := egress(t, "lethe-internet")
	policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{
		{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: no4}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "::/0", Except: no6}},
	}}}
	return policy
}

// egress is a policy for the Pods of runs.
func egress(t Tenant, name string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: meta(t, name),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: v1alpha1.LabelRunUID, Operator: metav1.LabelSelectorOpExists},
			}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		},
	}
}

func rule(peer Peer, protocols ...corev1.Protocol) networkingv1.NetworkPolicyEgressRule {
	to := networkingv1.NetworkPolicyPeer{}
	if peer.CIDR != "" {
		to.IPBlock = &networkingv1.IPBlock{CIDR: peer.CIDR}
	} else {
		to.NamespaceSelector = &metav1.LabelSelector{MatchLabels: peer.Namespace}
		if len(peer.Pods) > 0 {
			to.PodSelector = &metav1.LabelSelector{MatchLabels: peer.Pods}
		}
	}
	r := networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{to}}
	for _, protocol := range protocols {
		port := networkingv1.NetworkPolicyPort{Protocol: ptr.To(protocol)}
		if peer.Port != 0 {
			port.Port = ptr.To(intstr.FromInt32(peer.Port))
		}
		r.Ports = append(r.Ports, port)
	}
	return r
}

// StorePeer is where a store is whose endpoint has an IP address. It reports false for a
// host name: nobody could say to which addresses that will resolve, or which Pods are
// behind it.
func StorePeer(endpoint string) (Peer, bool, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return Peer{}, false, fmt.Errorf("the store's endpoint is no URL")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return Peer{}, false, nil //nolint:nilerr // a host name is an answer
	}
	addr = addr.Unmap().WithZone("")
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return Peer{}, false, fmt.Errorf("the store's endpoint has no port that is known")
	}
	return Peer{CIDR: netip.PrefixFrom(addr, addr.BitLen()).String(), Port: int32(number)}, true, nil
}

// BrokerPeer is where the broker is: the operator's own Pods, at the port of the address
// that they listen on.
func BrokerPeer(namespace, listens string) (Peer, error) {
	_, port, err := net.SplitHostPort(listens)
	if err != nil {
		return Peer{}, fmt.Errorf("read the broker's address: %w", err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return Peer{}, fmt.Errorf("read the broker's port: %w", err)
	}
	return Peer{
		Namespace: map[string]string{corev1.LabelMetadataName: namespace},
		Pods:      map[string]string{"app.kubernetes.io/name": "lethe-manager"},
		Port:      int32(number),
	}, nil
}
