package apitest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Controllers runs a real kube-controller-manager with these of its controllers, for all
// namespaces, until the test ends. Tests of one binary share the server: start the same
// controller once only. The test skips when the binary is missing, unless the real thing
// is required.
func (c *Cluster) Controllers(t testing.TB, names ...string) {
	t.Helper()
	assets, err := assetsFolder()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(assets, "kube-controller-manager")
	if _, err := os.Stat(binary); err != nil {
		if os.Getenv(envRequire) != "1" {
			t.Skipf("SKIPPED, NOT TESTED: %s is missing; run `make tools`", binary)
		}
		t.Fatalf("find the controllers: %v", err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(connection(c.Config), kubeconfig); err != nil {
		t.Fatalf("write a kubeconfig: %v", err)
	}
	var said strings.Builder
	manager := exec.Command(binary, //nolint:noctx // ended below, with a signal that it can answer
		"--kubeconfig="+kubeconfig, "--controllers="+strings.Join(names, ","), "--leader-elect=false", "--secure-port=0")
	manager.Stdout, manager.Stderr = &said, &said
	manager.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := manager.Start(); err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	t.Cleanup(func() {
		if err := manager.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("end the controllers: %v", err)
		}
		_ = manager.Wait() // it was killed
		if t.Failed() {
			t.Logf("the controllers said:\n%s", tail(said.String(), 4000))
		}
	})
}

func tail(text string, most int) string {
	if len(text) > most {
		return text[len(text)-most:]
	}
	return text
}

// connection is a kubeconfig with what a connection has.
func connection(config *rest.Config) clientcmdapi.Config {
	const name = "test"
	return clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {
			Server: config.Host, CertificateAuthorityData: config.CAData,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}
}
