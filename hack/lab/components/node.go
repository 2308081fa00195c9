package components

import (
	"strconv"

	"github.com/lethe-dev/lethe/hack/lab/daemon"
	"github.com/lethe-dev/lethe/hack/lab/site"
)

// DevicePlugins is the one folder of kubelet that no flag moves.
const DevicePlugins = "/var/lib/kubelet/device-plugins"

// GPUProduct labels the node, so that a run that asks for a product is placed
// by it; its name says that it is no real one.
const GPUProduct = "LETHE-FAKE-H100"

func containerd(s site.Site, h *health) Component {
	config := configFile(s, "containerd.toml")
	return Component{
		Address: "run/containerd/containerd.sock",
		Healthy: h.dial(s.ContainerdSocket()),
		Spec: daemon.Spec{
			Name: "containerd", Args: []string{"--config", config},
			Inputs: []string{config, configFile(s, "runsc.toml"), configFile(s, "10-lethe.conflist")},
		},
	}
}

func kubelet(s site.Site, h *health) Component {
	config := configFile(s, "kubelet.yaml")
	return Component{
		Address: site.NodeIP + ":10250",
		Healthy: h.get("http://127.0.0.1:10248/healthz"),
		Spec: daemon.Spec{
			Name: "kubelet",
			Args: []string{
				"--config=" + config, "--kubeconfig=" + kubeconfig(s, "kubelet"),
				"--root-dir=" + s.Path("kubelet"), "--cert-dir=" + s.Path("kubelet", "pki"),
				"--hostname-override=" + site.NodeName, "--node-ip=" + site.NodeIP,
				"--node-labels=nvidia.com/gpu.product=" + GPUProduct,
			},
			Inputs: []string{
				config, kubeconfig(s, "kubelet"), configFile(s, "resolv.conf"),
				pki(s, "kubelet-serving.crt"), s.CA(),
			},
		},
	}
}

func kubeProxy(s site.Site, h *health) Component {
	config := configFile(s, "kube-proxy.yaml")
	return Component{
		Address: "iptables",
		Healthy: h.get("http://127.0.0.1:10256/livez"),
		Spec: daemon.Spec{
			Name: "kube-proxy", Args: []string{"--config=" + config},
			Inputs: []string{config, kubeconfig(s, "kube-proxy")},
		},
	}
}

func fakeGPUs(_ site.Site, h *health) Component {
	return Component{
		Address: strconv.Itoa(site.GPUs) + " x nvidia.com/gpu",
		Healthy: h.dial(DevicePlugins + "/lethe-fake-gpu.sock"),
		Spec: daemon.Spec{
			Name: "fake-gpu-plugin",
			Args: []string{"--count=" + strconv.Itoa(site.GPUs), "--plugin-dir=" + DevicePlugins},
		},
	}
}
