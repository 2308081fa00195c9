package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/sse"
)

// Bucket names, as the operator's default configuration has them.
const (
	Datasets  = "lethe-datasets"
	Artifacts = "lethe-artifacts"
	Receipts  = "lethe-receipts"
	Ledger    = "lethe-ledger"
)

// receiptDays is how long a receipt can not be removed by anybody. A real install
// takes years; the lab's receipts go with the lab.
const receiptDays = 30

// bucket is one bucket with what is demanded of it.
type bucket struct {
	name string
	// locked buckets keep every version from deletion while it is retained.
	locked bool
}

// buckets are all versioned: a receipt has to be (object lock demands it), and
// those of data prove that an erase takes every version with it. The ledger's keep
// what was there before somebody overwrote it.
var buckets = []bucket{{name: Datasets}, {name: Artifacts}, {name: Receipts, locked: true}, {name: Ledger}}

// Admin is a connection to MinIO as its root user.
type Admin struct {
	endpoint  string
	creds     Credentials
	client    *minio.Client
	transport *http.Transport
}

// Connect makes a client of the store at endpoint (host:port) that trusts the
// authority in caFile. It sends nothing yet.
func Connect(endpoint, caFile string, c Credentials) (*Admin, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("read authority: no certificate in it")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	client, err := minio.New(endpoint, &minio.Options{
		Creds:  credentials.NewStaticV4(c.RootUser, c.RootPassword, ""),
		Secure: true, Transport: transport, MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to store: %w", err)
	}
	return &Admin{endpoint: endpoint, creds: c, client: client, transport: transport}, nil
}

// EnsureBuckets makes every bucket be there with its properties, and verifies
// each by reading it back. Idempotent.
func (a *Admin) EnsureBuckets(ctx context.Context) error {
	for _, b := range buckets {
		if err := a.ensureBucket(ctx, b); err != nil {
			return fmt.Errorf("prepare bucket %s: %w", b.name, err)
		}
	}
	return nil
}

func (a *Admin) ensureBucket(ctx context.Context, b bucket) error {
	exists, err := a.client.BucketExists(ctx, b.name)
	if err != nil {
		return err
	}
	if exists && a.verifyBucket(ctx, b) == nil {
		return nil
	}
	if !exists {
		// A lock can only be asked for when the bucket is made.
		if err := a.client.MakeBucket(ctx, b.name, minio.MakeBucketOptions{ObjectLocking: b.locked}); err != nil {
			return err
		}
	}
	if b.locked {
		// Not even the store's root removes a receipt before its time.
		mode, days, unit := minio.Compliance, uint(receiptDays), minio.Days
		if err := a.client.SetBucketObjectLockConfig(ctx, b.name, &mode, &days, &unit); err != nil {
			return err
		}
	} else if err := a.client.EnableVersioning(ctx, b.name); err != nil {
		return err
	}
	if err := a.client.SetBucketEncryption(ctx, b.name, sse.NewConfigurationSSES3()); err != nil {
		return err
	}
	return a.verifyBucket(ctx, b)
}

func (a *Admin) verifyBucket(ctx context.Context, b bucket) error {
	versioning, err := a.client.GetBucketVersioning(ctx, b.name)
	if err != nil {
		return err
	}
	if !versioning.Enabled() {
		return errors.New("versioning is off")
	}
	encryption, err := a.client.GetBucketEncryption(ctx, b.name)
	if err != nil {
		return err
	}
	if len(encryption.Rules) != 1 || encryption.Rules[0].Apply.SSEAlgorithm != "AES256" {
		return errors.New("default encryption is not SSE-S3")
	}
	if !b.locked {
		return nil
	}
	state, mode, days, _, err := a.client.GetObjectLockConfig(ctx, b.name)
	if err != nil {
		return err
	}
	if state != "Enabled" || mode == nil || *mode != minio.Compliance || days == nil || *days != receiptDays {
		return errors.New("object lock has no default retention")
	}
	return nil
}
