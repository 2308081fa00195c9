// Package store makes MinIO ready for the operator: buckets, their encryption
// and versioning, and one user that may do just what the operator does.
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
	// KMSKey is the master key of MinIO's built-in key management.
	KMSKey string `json:"kmsKey"`
	// EtcdKey encrypts Kubernetes' secrets at rest (base64 of 32 bytes).
	EtcdKey string `json:"etcdKey"`
}

// LoadCredentials reads the credentials at path, or makes them up.
func LoadCredentials(path string) (Credentials, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		var c Credentials
		if err := json.Unmarshal(data, &c); err != nil {
			return Credentials{}, fmt.Errorf("parse credentials: %w", err)
		}
		return c, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	c := Credentials{
		RootUser: "lab-root", RootPassword: rand.Text(),
		OperatorAccessKey: operatorName, OperatorSecretKey: rand.Text(),
		KMSKey: "lethe-lab:" + randomKey(), EtcdKey: randomKey(),
	}
	data, err = json.MarshalIndent(c, "", "  ")
	if err != nil {
		return Credentials{}, fmt.Errorf("encode credentials: %w", err)
	}
	return c, files.WriteSecret(path, data)
}

// randomKey is base64 of 32 random bytes.
func randomKey() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // Never fails, see crypto/rand.
	return base64.StdEncoding.EncodeToString(key[:])
}
