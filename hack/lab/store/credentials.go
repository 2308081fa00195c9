// Package store makes MinIO ready for the operator: buckets, their encryption
// and versioning, one user that may do just what the operator does, and one that
// may only look whether data is gone.
package store

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/lethe-dev/lethe/hack/lab/files"
)

// Credentials are every secret of the lab that is not a key of a certificate.
type Credentials struct {
	RootUser          string `json:"rootUser"`
	RootPassword      string `json:"rootPassword"`
	OperatorAccessKey string `json:"operatorAccessKey"`
	OperatorSecretKey string `json:"operatorSecretKey"`
	AuditorAccessKey  string `json:"auditorAccessKey"`
	AuditorSecretKey  string `json:"auditorSecretKey"`
	// KMSKey is the master key of MinIO's built-in key management.
	KMSKey string `json:"kmsKey"`
	// EtcdKey encrypts Kubernetes' secrets at rest (base64 of 32 bytes).
	EtcdKey string `json:"etcdKey"`
}

// LoadCredentials reads the credentials at path and makes up those that are missing,
// all or, in a lab from before there were as many, some. What it made up it saves.
func LoadCredentials(path string) (Credentials, error) {
	var c Credentials
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	default:
		if err := json.Unmarshal(data, &c); err != nil {
			return Credentials{}, fmt.Errorf("parse credentials: %w", err)
		}
	}
	whole := c.filled()
	if whole == c {
		return c, nil
	}
	data, err = json.MarshalIndent(whole, "", "  ")
	if err != nil {
		return Credentials{}, fmt.Errorf("encode credentials: %w", err)
	}
	return whole, files.WriteSecret(path, data)
}

// filled makes up what is missing.
func (c Credentials) filled() Credentials {
	for field, made := range map[*string]string{
		&c.RootUser: "lab-root", &c.RootPassword: rand.Text(),
		&c.OperatorAccessKey: operatorName, &c.OperatorSecretKey: rand.Text(),
		&c.AuditorAccessKey: auditorName, &c.AuditorSecretKey: rand.Text(),
		&c.KMSKey: "lethe-lab:" + randomKey(), &c.EtcdKey: randomKey(),
	} {
		if *field == "" {
			*field = made
		}
	}
	return c
}

// randomKey is base64 of 32 random bytes.
func randomKey() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // Never fails, see crypto/rand.
	return base64.StdEncoding.EncodeToString(key[:])
}
