package components

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

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

// frontProxy is whom aggregated API servers believe when it speaks for others.
const frontProxy = "front-proxy-client"

// IssueAll makes whatever certificate, key or kubeconfig is missing or old.
func IssueAll(s site.Site, now time.Time) error {
	authority, err := certs.Open(s.Path("pki"), now)
	if err != nil {
		return err
	}
	// An authority of its own: who holds a certificate of the other one must
	// not be able to speak for others.
	proxies, err := certs.Open(s.Path("pki", "front-proxy"), now)
	if err != nil {
		return err
	}
	if err := proxies.Issue(certs.Leaf{File: "client", Name: frontProxy}); err != nil {
		return err
	}
	for _, leaf := range leaves() {
		if err := authority.Issue(leaf); err != nil {
			return err
		}
	}
	if err := authority.EnsureKeyPair("service-account"); err != nil {
		return err
	}
	if err := linkStoreCerts(s, authority); err != nil {
		return err
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

// linkStoreCerts gives MinIO its certificate under the names it wants.
func linkStoreCerts(s site.Site, authority *certs.Authority) error {
	dir := s.Path("minio-certs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make store certificate folder: %w", err)
	}
	for name, target := range map[string]string{
		"public.crt": authority.CertFile("minio"), "private.key": authority.KeyFile("minio"),
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("link store certificate: %w", err)
		}
	}
	return nil
}
