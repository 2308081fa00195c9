package stand

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificate is for localhost, signed by an authority that forgets its key at once.
type Certificate struct {
	// CAFile, CertFile and KeyFile are PEM.
	CAFile, CertFile, KeyFile string
	// Pool trusts the authority, and nothing else.
	Pool *x509.CertPool
	Pair tls.Certificate
	// SPKI is the base64 SHA-256 of the public key, by which a browser can be told to
	// trust this very certificate.
	SPKI string
}

// certificateLife is longer than any demo.
const certificateLife = 7 * 24 * time.Hour

// NewCertificate makes one and writes it into a folder.
func NewCertificate(dir string) (*Certificate, error) {
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Lethe demo authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("number a certificate: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("sign the authority: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return writeCertificate(dir, caDER, leafDER, keyDER)
}

func writeCertificate(dir string, caDER, leafDER, keyDER []byte) (*Certificate, error) {
	c := &Certificate{
		CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
		Pool: x509.NewCertPool(),
	}
	for _, part := range []struct {
		path, kind string
		der        []byte
	}{{c.CAFile, "CERTIFICATE", caDER}, {c.CertFile, "CERTIFICATE", leafDER}, {c.KeyFile, "PRIVATE KEY", keyDER}} {
		if err := os.WriteFile(part.path, pem.EncodeToMemory(&pem.Block{Type: part.kind, Bytes: part.der}), 0o600); err != nil {
			return nil, fmt.Errorf("write the certificate: %w", err)
		}
	}
	authority, err := x509.ParseCertificate(caDER)
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	c.Pool.AddCert(authority)
	if c.Pair, err = tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	sum := sha256.Sum256(c.Pair.Leaf.RawSubjectPublicKeyInfo)
	c.SPKI = base64.StdEncoding.EncodeToString(sum[:])
	return c, nil
}
