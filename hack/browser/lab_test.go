package browser_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// lab is the cluster that journeys about training need; `lab env` says where it is.
var lab struct {
	kubeconfig, store string
	// spki is the digest of the store's public key, for the browser to trust it.
	spki string
}

// findLab reads where the lab is.
func findLab() error {
	lab.kubeconfig, lab.store = os.Getenv("KUBECONFIG"), os.Getenv("LETHE_S3_ENDPOINT")
	if lab.kubeconfig == "" || lab.store == "" {
		return errors.New("the lab is not there: use `make test-browser`, or eval \"$(lab env)\" first")
	}
	ca, err := os.ReadFile(os.Getenv("LETHE_S3_CA"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	address, err := url.Parse(lab.store)
	if err != nil {
		return err
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	connection, err := dialer.DialContext(context.Background(), "tcp", address.Host)
	if err != nil {
		return fmt.Errorf("look at the store's certificate: %w; is the lab up? make lab-status", err)
	}
	defer func() { _ = connection.Close() }() // Nothing was sent.
	secured, ok := connection.(*tls.Conn)
	if !ok {
		return errors.New("look at the store's certificate: there is no TLS")
	}
	digest := sha256.Sum256(secured.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	lab.spki = base64.StdEncoding.EncodeToString(digest[:])
	return nil
}

// asPortal gives a kubeconfig with the rights of the portal's service account.
func asPortal(t *testing.T) string {
	t.Helper()
	run := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "kubectl", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("apply", "--server-side", "-f", "../../config/portal/service_account.yaml", "-f", "../../config/portal/role.yaml")
	token := run("create", "token", "lethe-portal", "--namespace=lethe-system", "--duration=2h")
	config, err := clientcmd.LoadFromFile(lab.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	user := config.Contexts[config.CurrentContext].AuthInfo
	config.AuthInfos = map[string]*clientcmdapi.AuthInfo{user: {Token: token}}
	path := filepath.Join(t.TempDir(), "portal.kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// removeTenants deletes the namespaces that portals have made, with all that is in them,
// and does not wait for it. Tenants of other journeys have other names.
func removeTenants(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's own has ended
	defer cancel()
	all, err := exec.CommandContext(ctx, "kubectl", "get", "namespaces", "--selector=lethe.dev/tenant", "--output=name").Output()
	if err != nil {
		t.Errorf("find the tenants: %v", err)
	}
	for namespace := range strings.FieldsSeq(string(all)) {
		if !strings.HasPrefix(namespace, "namespace/t-") {
			continue
		}
		if out, err := exec.CommandContext(ctx, "kubectl", "delete", "--wait=false", namespace).CombinedOutput(); err != nil {
			t.Errorf("remove a tenant: %v\n%s", err, out)
		}
	}
}
