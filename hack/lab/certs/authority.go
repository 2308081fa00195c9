// Package certs makes the lab's one certificate authority, what it signs, and
// the kubeconfig files that carry client certificates. All keys are ECDSA
// P-256, made at the first start, and lie in files only root may read.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/files"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made anew.
	renewBefore = 30 * 24 * time.Hour
)

// Authority signs certificates and writes them below Dir.
type Authority struct {
	Dir  string
	now  time.Time
	cert *x509.Certificate
	key  crypto.Signer
}

// Leaf describes one certificate. Hosts (names and addresses) make it a serving
// certificate, Groups are the Kubernetes groups of a client certificate.
type Leaf struct {
	File   string
	Name   string
	Groups []string
	Hosts  []string
}

// Open loads the authority of dir, or makes it. now decides what needs renewal.
func Open(dir string, now time.Time) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make certificate folder: %w", err)
	}
	a := &Authority{Dir: dir, now: now}
	pair, ok, err := a.load("ca")
	if err != nil {
		return nil, err
	}
	if ok {
		a.cert, a.key = pair.Leaf, pair.PrivateKey.(crypto.Signer)
		return a, nil
	}
	return a, a.create()
}

// CertFile and KeyFile are where a certificate of that name lies.
func (a *Authority) CertFile(name string) string { return filepath.Join(a.Dir, name+".crt") }

// KeyFile is where the private key beside CertFile lies.
func (a *Authority) KeyFile(name string) string { return filepath.Join(a.Dir, name+".key") }

func (a *Authority) create() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make authority key: %w", err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Lethe lab authority"},
		NotAfter:              a.now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	a.key, a.cert = key, template
	a.cert, err = a.sign("ca", template, key)
	return err
}

// Issue makes the certificate and key of the leaf unless a valid one of this
// authority is there.
func (a *Authority) Issue(leaf Leaf) error {
	pair, ok, err := a.load(leaf.File)
	if err != nil {
		return err
	}
	if ok && pair.Leaf.CheckSignatureFrom(a.cert) == nil && fits(pair.Leaf, leaf) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key of %s: %w", leaf.File, err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: leaf.Name, Organization: leaf.Groups},
		NotAfter:    a.now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if len(leaf.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	_, err = a.sign(leaf.File, template, key)
	return err
}

// fits tells whether the certificate at hand covers every host now asked for.
func fits(cert *x509.Certificate, leaf Leaf) bool {
	for _, host := range leaf.Hosts {
		if cert.VerifyHostname(host) != nil {
			return false
		}
	}
	return cert.Subject.CommonName == leaf.Name
}

func (a *Authority) sign(name string, template *x509.Certificate, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore = a.now.Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	if err := writeKey(a.KeyFile(name), key); err != nil {
		return nil, err
	}
	return cert, writePEM(a.CertFile(name), "CERTIFICATE", der)
}

// load reads a pair; ok is false when there is none or it ends soon.
func (a *Authority) load(name string) (pair tls.Certificate, ok bool, err error) {
	pair, err = tls.LoadX509KeyPair(a.CertFile(name), a.KeyFile(name))
	if errors.Is(err, os.ErrNotExist) {
		return tls.Certificate{}, false, nil
	}
	if err != nil {
		return tls.Certificate{}, false, fmt.Errorf("load certificate %s: %w", name, err)
	}
	return pair, a.now.Add(renewBefore).Before(pair.Leaf.NotAfter), nil
}

// EnsureKeyPair makes a bare key (NAME.key) and its public half (NAME.pub), as
// service-account tokens are signed with.
func (a *Authority) EnsureKeyPair(name string) error {
	if _, err := os.Stat(a.KeyFile(name)); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key %s: %w", name, err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode public key %s: %w", name, err)
	}
	if err := writePEM(filepath.Join(a.Dir, name+".pub"), "PUBLIC KEY", public); err != nil {
		return err
	}
	return writeKey(a.KeyFile(name), key)
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	return writePEM(path, "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return files.WriteSecret(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
