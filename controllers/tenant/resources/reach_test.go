package resources_test

import (
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
)

// reaches does what a network that enforces a policy does with an address.
func reaches(t *testing.T, policy *networkingv1.NetworkPolicy, address string) bool {
	t.Helper()
	to := netip.MustParseAddr(address)
	for _, rule := range policy.Spec.Egress {
		for _, peer := range rule.To {
			if peer.IPBlock != nil && netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(to) && !excepted(peer.IPBlock, to) {
				return true
			}
		}
	}
	return false
}

func excepted(block *networkingv1.IPBlock, to netip.Addr) bool {
	for _, cidr := range block.Except {
		if netip.MustParsePrefix(cidr).Contains(to) {
			return true
		}
	}
	return false
}
