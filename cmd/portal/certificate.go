package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"
)

// certificate is the one on disk.
type certificate struct{ *reloaded[*tls.Certificate] }

func openCertificate(certFile, keyFile string, now func() time.Time, log *slog.Logger) (*certificate, error) {
	r, err := newReloaded(&reloaded[*tls.Certificate]{
		what: "the certificate", paths: []string{certFile, keyFile}, now: now, log: log,
		read: func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			if err != nil {
				return nil, fmt.Errorf("read the certificate: %w", err)
			}
			return &pair, nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &certificate{r}, nil
}

// choose is for tls.Config.GetCertificate.
func (c *certificate) choose(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil }

// expires is when the certificate in use ends.
func (c *certificate) expires() time.Time { return c.get().Leaf.NotAfter }
