package overlays_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/lethe-dev/lethe/hack/apitest"
)

// foreign are the modules of others whose kinds the overlays have, and the files in them that
// define these. They are taken as their authors publish them, so that what the API server
// says about our objects is what it says in a cluster with them.
var foreign = []struct {
	module, sum string
	files       []string
}{
	{
		"github.com/cert-manager/cert-manager@v1.21.2", "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
		[]string{"deploy/crds/cert-manager.io_certificates.yaml"},
	},
	{
		"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
		[]string{
			"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
			"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
		},
	},
	{
		"sigs.k8s.io/kueue@v0.16.1", "h1:67H0gT8VvY3kJKbI6XI09OyJ1UJ0eJ8mbOw0ITHJVpU=",
		[]string{
			"config/components/crd/bases/kueue.x-k8s.io_clusterqueues.yaml",
			"config/components/crd/bases/kueue.x-k8s.io_localqueues.yaml",
			"config/components/crd/bases/kueue.x-k8s.io_resourceflavors.yaml",
		},
	},
}

// teach makes the API server know the kinds of others.
func teach(t *testing.T, server *apitest.Cluster) {
	t.Helper()
	var files []string
	for _, f := range foreign {
		folder := download(t, f.module, f.sum)
		for _, file := range f.files {
			files = append(files, filepath.Join(folder, file))
		}
	}
	_, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{Paths: files, ErrorIfPathMissing: true})
	if err != nil {
		t.Fatalf("install the kinds of others: %v", err)
	}
}

// download gives the folder of a module, which is fetched once into the cache of all modules.
// Nothing of it is built.
func download(t *testing.T, module, sum string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir() // Outside of our own module, which has nothing to do with it.
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if bad := json.Unmarshal(out, &got); err != nil || bad != nil || got.Sum != sum {
		t.Fatalf("download %s: %v, sum %q, %s%s", module, err, got.Sum, got.Error, said.String())
	}
	return got.Dir
}
