package components

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/site"
)

var fixedNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestServingCertificatesCoverEveryAddress(t *testing.T) {
	t.Parallel()
	s := site.Site{State: t.TempDir()}
	if err := IssueAll(s, fixedNow); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(s.CA())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for name, hosts := range map[string][]string{
		"kube-apiserver": {site.NodeIP, "127.0.0.1", "localhost", site.ServiceIP, "kubernetes.default.svc"},
		"minio":          {site.NodeIP, "127.0.0.1", "localhost"},
	} {
		pair, err := tls.LoadX509KeyPair(pki(s, name+".crt"), pki(s, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts {
			_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: fixedNow})
			if err != nil {
				t.Errorf("%s as %s: %v", name, host, err)
			}
		}
	}
}

func TestCertificatesAreKeptWhileTheyLast(t *testing.T) {
	t.Parallel()
	s := site.Site{State: t.TempDir()}
	read := func(now time.Time) string {
		if err := IssueAll(s, now); err != nil {
			t.Fatal(err)
		}
		cert, err := os.ReadFile(pki(s, "minio.crt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(cert)
	}
	first := read(fixedNow)
	if read(fixedNow.Add(300*24*time.Hour)) != first {
		t.Error("renewed long before its end")
	}
	if read(fixedNow.Add(350*24*time.Hour)) == first {
		t.Error("not renewed shortly before its end")
	}
}

func TestKeysAreForRootOnly(t *testing.T) {
	t.Parallel()
	s := site.Site{State: t.TempDir()}
	if err := IssueAll(s, fixedNow); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pki(s, "ca.key"), pki(s, "service-account.key"), s.Admin()} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", path, mode)
		}
	}
}
