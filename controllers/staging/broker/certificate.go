package broker

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// CASecret is the name of the Secret in the operator's namespace that holds the
// broker's CA; type kubernetes.io/tls.
const CASecret = "lethe-broker-ca"

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 30 * 24 * time.Hour
	// skew is how far behind the clock of a caller may be.
	skew = 5 * time.Minute
	// serialBits makes a serial number that is positive and never comes twice.
	serialBits = 120
)

// CA issues the certificates of the operator's replicas, for the broker and for the
// webhooks. It may issue for servers only and not make further CAs; names are left open
// because they differ from cluster to cluster, and nothing but the broker's callers, and
// the API server for our webhooks, trusts it.
type CA struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// Bundle gives the certificates that the broker's are verified with, PEM.
func (ca CA) Bundle() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.certificate.Raw})
}

// Derive gives 128 bits, in hexadecimal, that only who has the CA's key can know, and that
// are the same for every replica. Another purpose gives others.
func (ca CA) Derive(purpose string) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return "", fmt.Errorf("encode key: %w", err)
	}
	sum := hmac.New(sha256.New, der)
	sum.Write([]byte("lethe.dev/" + purpose))
	return hex.EncodeToString(sum.Sum(nil)[:16]), nil
}

// +kubebuilder:rbac:groups="",namespace=lethe-system,resources=secrets,verbs=get;create

// EnsureCA reads the CA from its Secret, or makes one when there is none. When
// several replicas start at once, the first to write wins and the others take
// its CA. The client reads live. A Secret that can not be used is an error that
// says what to do; it is never replaced by itself, because callers trust it.
func EnsureCA(ctx context.Context, live client.Client, namespace string, now time.Time, random io.Reader) (CA, error) {
	key := client.ObjectKey{Namespace: namespace, Name: CASecret}
	var secret corev1.Secret
	err := live.Get(ctx, key, &secret)
	if err == nil {
		return parseCA(&secret, now)
	}
	if !apierrors.IsNotFound(err) {
		return CA{}, fmt.Errorf("read Secret %s: %w", key, err)
	}
	ca, fresh, err := newCA(key, now, random)
	if err != nil {
		return CA{}, err
	}
	err = live.Create(ctx, fresh)
	if err == nil {
		return ca, nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return CA{}, fmt.Errorf("create Secret %s: %w", key, err)
	}
	if err := live.Get(ctx, key, &secret); err != nil {
		return CA{}, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return parseCA(&secret, now)
}

func newCA(name client.ObjectKey, now time.Time, random io.Reader) (CA, *corev1.Secret, error) {
	key, serial, err := newKey(random)
	if err != nil {
		return CA{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Lethe broker CA"},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	certificate, err := sign(template, CA{certificate: template, key: key}, key, random)
	if err != nil {
		return CA{}, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return CA{}, nil, fmt.Errorf("encode key: %w", err)
	}
	ca := CA{certificate: certificate, key: key}
	immutable := true
	return ca, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
		Type:       corev1.SecretTypeTLS,
		Immutable:  &immutable,
		Data: map[string][]byte{
			corev1.TLSCertKey:       ca.Bundle(),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		},
	}, nil
}

// parseCA reads a CA from its Secret.
func parseCA(secret *corev1.Secret, now time.Time) (CA, error) {
	unusable := func(err error) (CA, error) {
		return CA{}, fmt.Errorf("use Secret %s/%s: %w; delete it and restart the operator to get a new CA",
			secret.Namespace, secret.Name, err)
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return unusable(errors.New("it does not hold a certificate and its key"))
	}
	certificate, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return unusable(err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !certificate.IsCA {
		return unusable(errors.New("the certificate is not a CA's"))
	}
	if now.After(certificate.NotAfter) {
		return unusable(errors.New("the certificate has expired"))
	}
	return CA{certificate: certificate, key: key}, nil
}

// Certificates mints the certificate of this replica. Its key never leaves memory.
type Certificates struct {
	ca     CA
	names  []string
	clock  clock.PassiveClock
	random io.Reader

	mu      sync.Mutex
	current *tls.Certificate
	renewAt time.Time
}

// NewCertificates mints certificates for these DNS names and IP addresses.
func NewCertificates(ca CA, names []string, clk clock.PassiveClock, random io.Reader) *Certificates {
	return &Certificates{ca: ca, names: names, clock: clk, random: random}
}

// Get is a CertificateFunc. It mints a certificate on the first call, and another
// when half of its life is over; should that fail, the old one goes on until its end.
func (c *Certificates) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if c.current != nil && now.Before(c.renewAt) {
		return c.current, nil
	}
	fresh, err := c.mint(now)
	if err != nil {
		return c.last(now, err)
	}
	c.current, c.renewAt = fresh, now.Add(fresh.Leaf.NotAfter.Sub(now)/2)
	return fresh, nil
}

// last gives the certificate that could not be renewed, or the reason for which
// it could not when it has ended.
func (c *Certificates) last(now time.Time, reason error) (*tls.Certificate, error) {
	if c.current != nil && now.Before(c.current.Leaf.NotAfter) {
		return c.current, nil
	}
	return nil, reason
}

func (c *Certificates) mint(now time.Time) (*tls.Certificate, error) {
	key, serial, err := newKey(c.random)
	if err != nil {
		return nil, err
	}
	end := now.Add(leafLife)
	if last := c.ca.certificate.NotAfter; end.After(last) {
		end = last
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Lethe broker"},
		NotBefore:    now.Add(-skew),
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range c.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	leaf, err := sign(template, c.ca, key, c.random)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func newKey(random io.Reader) (*ecdsa.PrivateKey, *big.Int, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	raw := make([]byte, serialBits/8)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, nil, fmt.Errorf("generate serial number: %w", err)
	}
	serial := new(big.Int).SetBytes(raw)
	return key, serial.Add(serial, big.NewInt(1)), nil
}

func sign(template *x509.Certificate, ca CA, key crypto.Signer, random io.Reader) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(random, template, ca.certificate, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read signed certificate: %w", err)
	}
	return certificate, nil
}
