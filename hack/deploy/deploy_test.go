package deploy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Where the lab's node is reached, and the ports that the overlay takes on it.
const (
	address = "10.77.0.1"
	portal  = "https://" + address + ":30444"
	// socket is where the lab's containerd listens, disks a folder for volumes.
	socket = "/var/lib/lethe-lab/run/containerd/containerd.sock"
	disks  = "/var/lib/lethe-lab/test-deploy"
	tenant = "deployed"
	// patience bounds each command.
	patience = 6 * time.Minute
)

// stage is what the journey works with.
type stage struct {
	*testing.T
	// repo is the repository, overlay the copy of the overlay that was made this machine's.
	repo, cache, overlay, work string
}

func TestASingleNodeFromInstallToUndeploy(t *testing.T) {
	if os.Getenv("LETHE_TEST_DEPLOY") != "1" {
		t.Skip("SKIPPED, NOT TESTED: it takes the lab's operator away while it runs; run `make test-deploy`")
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, repo: repo, cache: os.Getenv("LETHE_CACHE"), work: t.TempDir()}
	s.takeTheLab()
	s.writeOverlay()
	s.volumes()

	s.make("deploy")
	s.checkPortal()
	s.train()
	s.refusesToGo()
	s.forget()
	s.make("undeploy")
	s.checkLeft()
	// What was left is enough to go on with.
	s.make("deploy")
	s.checkPortal()
	s.make("undeploy")
}

// run runs a command to its end and gives what it printed.
func (s *stage) run(name string, args ...string) string {
	s.Helper()
	out, err := s.try(name, args...)
	if err != nil {
		s.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return out
}

func (s *stage) try(name string, args ...string) (string, error) {
	s.Helper()
	// Not the test's own context: what cleans up runs when that has ended.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begin := time.Now()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.repo, &out, &out
	err := cmd.Run()
	s.Logf("%5.1fs %s %s", time.Since(begin).Seconds(), filepath.Base(name), strings.Join(args, " "))
	return out.String(), err
}

func (s *stage) bin(name string) string { return filepath.Join(s.cache, "bin", name) }

func (s *stage) kubectl(args ...string) string {
	s.Helper()
	return s.run(s.bin("kubectl"), args...)
}

func (s *stage) lethe(args ...string) string {
	s.Helper()
	return s.run(s.bin("kubectl-lethe"), append(args, "-n", tenant)...)
}

func (s *stage) make(target string) {
	s.Helper()
	s.Log(s.run("make", "--no-print-directory", target, "OVERLAY="+s.overlay, "IMAGES="+filepath.Join(s.cache, "images"), "KUBECTL="+s.bin("kubectl")))
}

// takeTheLab removes the operator that the lab deploys itself, and puts it back at the end.
func (s *stage) takeTheLab() {
	s.Helper()
	// What other journeys have deleted takes a while to be erased.
	for _, kind := range []string{"trainingruns", "datasetretentions"} {
		if out, err := s.try(s.bin("kubectl"), "wait", kind, "-A", "--all", "--for=delete", "--timeout=4m"); err != nil {
			s.Fatalf("somebody uses the lab: %v\n%s", err, out)
		}
	}
	s.Cleanup(func() {
		if s.Failed() {
			s.explain()
		}
		for _, args := range [][]string{
			{"delete", "namespace", tenant, "lethe-store", "lethe-system", "--ignore-not-found"},
			{"delete", "persistentvolume", "deployed-store", "deployed-portal", "--ignore-not-found"},
		} {
			if out, err := s.try(s.bin("kubectl"), args...); err != nil {
				s.Errorf("clean up: %v\n%s", err, out)
			}
		}
		for _, verb := range []string{"up", "deploy"} {
			if out, err := s.try(s.bin("lab"), verb); err != nil {
				s.Errorf("put the lab back: %v\n%s", err, out)
			}
		}
		if err := os.RemoveAll(disks); err != nil {
			s.Error(err)
		}
	})
	s.kubectl("delete", "-k", "config/lab", "--ignore-not-found")
	s.kubectl("delete", "clustertrustbundle", "lethe-broker", "--ignore-not-found")
}

// explain tells what the cluster looked like when the journey failed.
func (s *stage) explain() {
	for _, namespace := range []string{"lethe-store", "lethe-system", tenant} {
		for _, look := range [][]string{
			{"get", "pods,persistentvolumeclaims,trainingruns,datasetretentions", "-o", "wide"},
			{"get", "events", "--field-selector=type=Warning"},
			{"logs", "--selector=app.kubernetes.io/part-of=lethe", "--all-containers", "--prefix", "--tail=20"},
		} {
			out, _ := s.try(s.bin("kubectl"), append([]string{"-n", namespace}, look...)...) // What it says is shown.
			s.Log(out)
		}
	}
}

func (s *stage) ctr(args ...string) string {
	s.Helper()
	return s.run(s.bin("ctr"), append([]string{"--address", socket, "--namespace", "k8s.io", "images"}, args...)...)
}

// trainer is the sample trainer by its digest: the overlay takes no other images.
func (s *stage) trainer() string {
	s.Helper()
	const name = "lethe.dev/digits"
	for line := range strings.Lines(s.ctr("list")) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == name+":dev" {
			s.ctr("tag", "--force", name+":dev", name+"@"+fields[2])
			return name + "@" + fields[2]
		}
	}
	s.Fatal("the lab has no trainer")
	return ""
}

// writeOverlay copies the overlay and makes it this machine's, as its user would.
func (s *stage) writeOverlay() {
	s.Helper()
	for _, folder := range []string{"config", "hack/lab/store"} {
		if err := os.CopyFS(filepath.Join(s.work, folder), os.DirFS(filepath.Join(s.repo, folder))); err != nil {
			s.Fatal(err)
		}
	}
	s.overlay = filepath.Join(s.work, "config/overlays/single-node")
	s.edit("kustomization.yaml", "lethe.example.com", address)
	s.edit("portal.yaml", "lethe.example.com", address)
	// Two cores, and a node that does not tell how large its disk is.
	s.edit("tenants.yaml", "cpu: 500m", "cpu: 50m")
	s.edit("tenants.yaml", "ephemeralStorageRequest: 1Gi", `ephemeralStorageRequest: "0"`)
	if err := os.Chmod(filepath.Join(s.overlay, "setup.sh"), 0o755); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) edit(file, old, replacement string) {
	s.Helper()
	path := filepath.Join(s.overlay, file)
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(text, []byte(old)) {
		s.Fatalf("%s does not have %q: %v", file, old, err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte(old), []byte(replacement)), 0o600); err != nil {
		s.Fatal(err)
	}
}

// volumes makes what a cluster with a provisioner makes by itself.
func (s *stage) volumes() {
	s.Helper()
	const volume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: deployed-%[1]s}
spec:
  capacity: {storage: 200Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: %[2]s, name: %[3]s}
  local: {path: %[4]s/%[1]s}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [linux]}]}]
---`
	var text string
	for name, claim := range map[string][2]string{"store": {"lethe-store", "lethe-minio"}, "portal": {"lethe-system", "lethe-portal"}} {
		if err := os.MkdirAll(filepath.Join(disks, name), 0o755); err != nil {
			s.Fatal(err)
		}
		text += fmt.Sprintf(volume, name, claim[0], claim[1], disks)
	}
	file := filepath.Join(s.work, "volumes.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	s.kubectl("apply", "-f", file)
}

// checkPortal opens the page on which people sign up, as a browser does that trusts the
// authority of setup.sh.
func (s *stage) checkPortal() {
	s.Helper()
	text := s.kubectl("-n", "lethe-system", "get", "secret", "lethe-portal-tls", "-o", `go-template={{index .data "ca.crt"}}`)
	ca, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		s.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}}
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, portal+"/sign-up", http.NoBody)
	if err != nil {
		s.Fatal(err)
	}
	answer, err := browser.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		s.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("<form")) {
		s.Fatalf("%s: %s\n%s", request.URL, answer.Status, page)
	}
	// It is warned of what does not answer: the cluster, too.
	const ops = "/api/v1/namespaces/lethe-system/services/lethe-portal-metrics:9090/proxy/readyz"
	if ready := s.kubectl("get", "--raw", ops); strings.TrimSpace(ready) != "ok" {
		s.Errorf("the portal is ready: %s\n%s", ready, s.kubectl("-n", "lethe-system", "logs", "deployment/lethe-portal"))
	}
	invited := s.kubectl("-n", "lethe-system", "exec", "deployment/lethe-portal", "--", "/portal", "admin", "invite", "admin@example.com")
	if !strings.Contains(invited, portal+"/") {
		s.Errorf("the invitation has no link: %s", invited)
	}
}

// train uploads a dataset, trains on it and takes the artifacts, all by the command line.
func (s *stage) train() {
	s.Helper()
	dataset := filepath.Join(s.work, "digits")
	s.run(s.bin("digits"), "export", dataset)
	s.kubectl("create", "namespace", tenant)
	s.kubectl("annotate", "namespace", tenant, "lethe.dev/gpu-allowance=1")
	s.kubectl("label", "namespace", tenant, "lethe.dev/tenant="+tenant)
	s.kubectl("-n", tenant, "apply", "-f", "config/samples/uploader.yaml")
	s.kubectl("wait", "namespace", tenant, "--for=condition=lethe.dev/TenantReady", "--timeout=1m")
	s.Log(s.run(s.bin("kubectl-lethe"), "doctor", "--tenant", tenant))
	s.lethe("upload", dataset, "digits", "--after-training", "720h")
	s.lethe("run", "digits-1", "--dataset", "digits", "--image", s.trainer(), "--cpu", "1", "--memory", "512Mi", "--env", "DIGITS_EPOCHS=2")
	results := filepath.Join(s.work, "results")
	s.lethe("artifacts", "digits-1", results)
	if _, err := os.Stat(filepath.Join(results, "model.json")); err != nil {
		s.Error(err)
	}
}

// refusesToGo: nothing is removed while there are datasets.
func (s *stage) refusesToGo() {
	s.Helper()
	out, err := s.try("make", "undeploy", "OVERLAY="+s.overlay, "KUBECTL="+s.bin("kubectl"))
	if err == nil || !strings.Contains(out, "delete all runs and datasets first") {
		s.Errorf("undeploy with a dataset: %v\n%s", err, out)
	}
	s.kubectl("-n", "lethe-system", "get", "deployment", "lethe-manager")
}

// forget deletes all, and waits until it is erased.
func (s *stage) forget() {
	s.Helper()
	s.kubectl("-n", tenant, "delete", "trainingruns,datasetretentions", "--all", "--timeout=5m")
	s.kubectl("delete", "namespace", tenant)
}

// checkLeft: what can't be made again stays, and nothing else.
func (s *stage) checkLeft() {
	s.Helper()
	left := s.kubectl("get", "deployments,persistentvolumeclaims", "-A", "-l", "app.kubernetes.io/part-of=lethe", "-o", "name")
	for _, name := range []string{"deployment.apps/lethe-minio", "persistentvolumeclaim/lethe-portal", "persistentvolumeclaim/lethe-minio"} {
		if !strings.Contains(left, name) {
			s.Errorf("%s is gone; left is\n%s", name, left)
		}
	}
	if strings.Contains(left, "lethe-manager") || strings.Contains(left, "deployment.apps/lethe-portal") {
		s.Errorf("operator and portal are still there:\n%s", left)
	}
	for _, kinds := range []string{
		"clusterroles", "clusterrolebindings", "customresourcedefinitions", "validatingwebhookconfigurations",
		"validatingadmissionpolicies", "mutatingadmissionpolicies", "priorityclasses", "clustertrustbundles",
	} {
		if got := s.kubectl("get", kinds, "-o", "name"); strings.Contains(got, "lethe") {
			s.Errorf("left of %s: %s", kinds, got)
		}
	}
	s.kubectl("-n", "lethe-system", "get", "secret", "lethe-portal", "lethe-store", "lethe-receipt-key")
	s.kubectl("-n", "kube-public", "get", "configmap", "lethe-receipts")
}
