package components

import (
	"fmt"
	"os"

	"github.com/lethe-dev/lethe/hack/lab/certs"
	"github.com/lethe-dev/lethe/hack/lab/site"
)

// leaves are all certificates of the lab. Their names are what Kubernetes'
// built-in RBAC rules are bound to.
func leaves() []certs.Leaf {
	local := []string{site.NodeIP, "127.0.0.1", "localhost"}
	return []certs.Leaf{
		{
			File: "kube-apiserver", Name: "kube-apiserver",
			Hosts: append([]string{
				site.ServiceIP, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local",
			}, local...),
		},
		{File: "minio", Name: "minio", Hosts: local},
		{File: "etcd", Name: "etcd", Hosts: local},
		{File: "kubelet-serving", Name: site.NodeName, Hosts: append([]string{site.NodeName}, local...)},
		{File: "kubelet", Name: "system:node:" + site.NodeName, Groups: []string{"system:nodes"}},
		{File: "kubelet-client", Name: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		{File: "kube-controller-manager", Name: "system:kube-controller-manager"},
		{File: "kube-scheduler", Name: "system:kube-scheduler"},
		{File: "kube-proxy", Name: "system:kube-proxy"},
		{File: "admin", Name: "lab-admin", Groups: []string{"system:masters"}},
	}
}

// IssueAll makes whatever certificate, key or kubeconfig is missing or old.
func IssueAll(s site.Site, authority *certs.Authority) error {
	for _, leaf := range leaves() {
		if err := authority.Issue(leaf); err != nil {
			return err
		}
	}
	if err := authority.EnsureKeyPair("service-account"); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Path("etc"), 0o700); err != nil {
		return fmt.Errorf("make configuration folder: %w", err)
	}
	for _, client := range []string{"kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		if err := authority.WriteKubeconfig(kubeconfig(s, client), site.APIServer, client); err != nil {
			return err
		}
	}
	return authority.WriteKubeconfig(s.Admin(), site.APIServer, "admin")
}

func kubeconfig(s site.Site, client string) string {
	return s.Path("etc", client+".kubeconfig")
}
