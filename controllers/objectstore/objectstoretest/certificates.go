package objectstoretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// makeCertificates makes an authority and a certificate for 127.0.0.1, writes the
// latter where MinIO looks for it, and gives the authority's in PEM form.
func makeCertificates(t testing.TB, dir string) []byte {
	t.Helper()
	keyCA, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("make keys: %v", err)
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lethe test authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	derCA, err1 := x509.CreateCertificate(rand.Reader, authority, authority, &keyCA.PublicKey, keyCA)
	der, err2 := x509.CreateCertificate(rand.Reader, server, authority, &key.PublicKey, keyCA)
	pkcs, err3 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatalf("make certificates: %v", err)
	}
	err1 = os.WriteFile(filepath.Join(dir, "public.crt"), pemOf("CERTIFICATE", der), 0o600)
	err2 = os.WriteFile(filepath.Join(dir, "private.key"), pemOf("PRIVATE KEY", pkcs), 0o600)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("write certificates: %v", err)
	}
	return pemOf("CERTIFICATE", derCA)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
