// Package components says what the lab runs: each program with its arguments,
// the files it reads, and how to tell that it is well.
//
// The arguments keep everything quiet and small (two cores are shared with the
// tests) but leave on what the operator has to get along with: TLS everywhere,
// RBAC and node authorization, NodeRestriction, Pod Security admission,
// encryption of secrets at rest, and an audit log of what the operator asks for.
package components

import (
	"context"

	"github.com/lethe-dev/lethe/hack/lab/daemon"
	"github.com/lethe-dev/lethe/hack/lab/site"
)

// Component is one program of the lab.
type Component struct {
	daemon.Spec

	// Address is where it listens, for people.
	Address string
	// Healthy returns nil when the component does its work.
	Healthy func(ctx context.Context) error
}

// Store says how MinIO is to be started; its values are secret.
type Store struct {
	RootUser, RootPassword, KMSKey string
}

// All returns the components in the order of their start. stamps tell the
// build of each program by file name.
func All(s site.Site, store Store, stamps map[string]string) []Component {
	h := newHealth(s)
	all := []Component{
		etcd(s, h),
		minio(s, h, store),
		apiServer(s, h),
		controllerManager(s, h),
		scheduler(s, h),
		containerd(s, h),
		kubelet(s, h),
		kubeProxy(s, h),
		fakeGPUs(s, h),
	}
	for i := range all {
		all[i].Exe = s.Bin(all[i].Name)
		all[i].Log = s.Log(all[i].Name)
		all[i].Stamp = stamps[all[i].Name]
	}
	return all
}

func etcd(s site.Site, h *health) Component {
	const client, peer, metrics = "https://127.0.0.1:23790", "https://127.0.0.1:23800", "http://127.0.0.1:23791"
	cert, key := pki(s, "etcd.crt"), pki(s, "etcd.key")
	return Component{
		Address: "127.0.0.1:23790",
		Healthy: h.get(metrics + "/readyz"),
		Spec: daemon.Spec{
			Name: "etcd",
			Args: []string{
				"--name=lab", "--data-dir=" + s.Path("etcd"), "--log-level=warn",
				"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
				"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
				"--initial-cluster=lab=" + peer, "--listen-metrics-urls=" + metrics,
				"--client-cert-auth", "--trusted-ca-file=" + s.CA(), "--cert-file=" + cert, "--key-file=" + key,
				"--peer-client-cert-auth", "--peer-trusted-ca-file=" + s.CA(), "--peer-cert-file=" + cert, "--peer-key-file=" + key,
			},
			Inputs: []string{s.CA(), cert},
		},
	}
}

// minio listens on the node's address only, which pods and this machine reach.
func minio(s site.Site, h *health, store Store) Component {
	return Component{
		Address: site.StoreAddress,
		Healthy: h.get(site.StoreURL + "/minio/health/cluster"),
		Spec: daemon.Spec{
			Name: "minio",
			Args: []string{"server", "--quiet", "--address", site.StoreAddress, "--certs-dir", s.Path("minio-certs"), s.Path("minio")},
			Env: []string{
				"MINIO_ROOT_USER=" + store.RootUser, "MINIO_ROOT_PASSWORD=" + store.RootPassword,
				"MINIO_KMS_SECRET_KEY=" + store.KMSKey,
				"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_SCANNER_SPEED=slow",
				// What is removed lies in a trash folder for up to this long; the default
				// of five minutes is more than a lab lives.
				"MINIO_API_DELETE_CLEANUP_INTERVAL=10s",
				// As a real install should: unfinished uploads are not kept for a day.
				"MINIO_API_STALE_UPLOADS_EXPIRY=1h", "MINIO_API_STALE_UPLOADS_CLEANUP_INTERVAL=15m",
			},
			Inputs: []string{s.Path("minio-certs", "public.crt")},
		},
	}
}

func apiServer(s site.Site, h *health) Component {
	return Component{
		Address: site.NodeIP + ":6443",
		Healthy: h.get(site.APIServer + "/readyz"),
		Spec: daemon.Spec{
			Name: "kube-apiserver",
			Args: []string{
				"--bind-address=" + site.NodeIP, "--advertise-address=" + site.NodeIP, "--secure-port=6443",
				"--tls-cert-file=" + pki(s, "kube-apiserver.crt"), "--tls-private-key-file=" + pki(s, "kube-apiserver.key"),
				"--client-ca-file=" + s.CA(),
				"--etcd-servers=https://127.0.0.1:23790", "--etcd-cafile=" + s.CA(),
				"--etcd-certfile=" + pki(s, "etcd.crt"), "--etcd-keyfile=" + pki(s, "etcd.key"),
				"--kubelet-certificate-authority=" + s.CA(), "--kubelet-preferred-address-types=InternalIP",
				"--kubelet-client-certificate=" + pki(s, "kubelet-client.crt"), "--kubelet-client-key=" + pki(s, "kubelet-client.key"),
				"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
				"--service-account-key-file=" + pki(s, "service-account.pub"),
				"--service-account-signing-key-file=" + pki(s, "service-account.key"),
				"--service-cluster-ip-range=" + site.ServiceCIDR,
				"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
				"--encryption-provider-config=" + configFile(s, "encryption.yaml"),
				"--audit-policy-file=" + configFile(s, "audit.yaml"), "--audit-log-path=" + s.Path("logs", "audit.log"),
				"--audit-log-maxsize=100", "--audit-log-maxbackup=1",
				"--requestheader-client-ca-file=" + pki(s, "front-proxy/ca.crt"),
				"--requestheader-allowed-names=" + frontProxy, "--requestheader-username-headers=X-Remote-User",
				"--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
				"--proxy-client-cert-file=" + pki(s, "front-proxy/client.crt"),
				"--proxy-client-key-file=" + pki(s, "front-proxy/client.key"),
				"--profiling=false",
			},
			Inputs: []string{
				s.CA(), pki(s, "front-proxy/client.crt"), pki(s, "kube-apiserver.crt"), pki(s, "etcd.crt"), pki(s, "kubelet-client.crt"),
				pki(s, "service-account.pub"), configFile(s, "encryption.yaml"), configFile(s, "audit.yaml"),
			},
		},
	}
}

func controllerManager(s site.Site, h *health) Component {
	config := kubeconfig(s, "kube-controller-manager")
	return Component{
		Address: "127.0.0.1:10257",
		Healthy: h.get("https://127.0.0.1:10257/healthz"),
		Spec: daemon.Spec{
			Name: "kube-controller-manager",
			Args: []string{
				"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
				"--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false",
				"--use-service-account-credentials", "--root-ca-file=" + s.CA(),
				"--service-account-private-key-file=" + pki(s, "service-account.key"),
				"--cluster-signing-cert-file=" + s.CA(), "--cluster-signing-key-file=" + pki(s, "ca.key"),
				"--flex-volume-plugin-dir=" + s.Path("volume-plugins"),
				"--concurrent-gc-syncs=4", "--concurrent-replicaset-syncs=2", "--concurrent-endpoint-syncs=2",
			},
			Inputs: []string{config, s.CA(), pki(s, "service-account.pub")},
		},
	}
}

func scheduler(s site.Site, h *health) Component {
	config := kubeconfig(s, "kube-scheduler")
	return Component{
		Address: "127.0.0.1:10259",
		Healthy: h.get("https://127.0.0.1:10259/healthz"),
		Spec: daemon.Spec{
			Name: "kube-scheduler",
			Args: []string{
				"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
				"--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false",
			},
			Inputs: []string{config},
		},
	}
}

func pki(s site.Site, file string) string { return s.Path("pki", file) }
