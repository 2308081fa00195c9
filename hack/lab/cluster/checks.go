package cluster

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/site"
)

// CheckNode returns nil when the node is ready and has its GPUs.
func CheckNode(ctx context.Context, s site.Site) error {
	const fields = `{.status.conditions[?(@.type=="Ready")].status}/{.status.allocatable.nvidia\.com/gpu}`
	out, err := Kubectl(ctx, s, "", "get", "node", site.NodeName, "-o", "jsonpath="+fields, "--request-timeout=5s")
	if err != nil {
		return err
	}
	if want := "True/" + strconv.Itoa(site.GPUs); out != want {
		return fmt.Errorf("node has Ready/GPUs %q, not %q", out, want)
	}
	return nil
}

// CheckRegistered returns nil when kubelet has made the node with its address.
func CheckRegistered(ctx context.Context, s site.Site) error {
	const field = `{.status.addresses[?(@.type=="InternalIP")].address}`
	out, err := Kubectl(ctx, s, "", "get", "node", site.NodeName, "-o", "jsonpath="+field, "--request-timeout=5s")
	if err != nil {
		return err
	}
	if out != site.NodeIP {
		return fmt.Errorf("node has address %q, not %s", out, site.NodeIP)
	}
	return nil
}

// CheckDNS returns nil when the cluster's DNS answers through its Service,
// which takes kube-proxy, the pod network and CoreDNS.
func CheckDNS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	resolver := &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, net.JoinHostPort(site.DNSIP, "53"))
		},
	}
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
	if err != nil {
		return fmt.Errorf("resolve by the cluster's DNS: %w", err)
	}
	if len(addresses) != 1 || addresses[0] != site.ServiceIP {
		return fmt.Errorf("the cluster's DNS answers %v, not %s", addresses, site.ServiceIP)
	}
	return nil
}
