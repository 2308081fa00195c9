package objectstore

import (
	"context"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// MaxSessionPolicy is the length in bytes up to which STS takes a session policy.
	MaxSessionPolicy = 2048
	// MinSessionLife is the shortest life of credentials that STS gives.
	MinSessionLife = 15 * time.Minute
)

// AssumeRole gets temporary credentials that may do what both the client's own and
// the policy (an inline session policy, JSON of at most MaxSessionPolicy bytes)
// allow. Life is at least MinSessionLife, in whole seconds. The client's own must
// not be temporary: MinIO does not let those beget more.
func (c *Client) AssumeRole(ctx context.Context, policy string, life time.Duration) (Credentials, error) {
	if err := CheckSession(policy, life); err != nil {
		return Credentials{}, err
	}
	own, err := c.credentials.refresh(ctx)
	if err != nil {
		return Credentials{}, failed(ctx, "assume role", err)
	}
	provider := &credentials.STSAssumeRole{
		Client:      c.http,
		STSEndpoint: c.endpoint,
		Options: credentials.STSAssumeRoleOptions{
			AccessKey:       own.AccessKeyID,
			SecretKey:       own.SecretAccessKey,
			SessionToken:    own.SessionToken,
			Policy:          policy,
			Location:        c.region,
			DurationSeconds: int(life / time.Second),
		},
	}
	value, err := provider.RetrieveWithCredContext(&credentials.CredContext{Context: ctx})
	if err != nil {
		return Credentials{}, failed(ctx, "assume role", err)
	}
	return Credentials{
		AccessKeyID:     value.AccessKeyID,
		SecretAccessKey: value.SecretAccessKey,
		SessionToken:    value.SessionToken,
		ExpiresAt:       value.Expiration,
	}, nil
}

// CheckSession says whether AssumeRole may be asked for this.
func CheckSession(policy string, life time.Duration) error {
	if policy == "" || len(policy) > MaxSessionPolicy {
		return fmt.Errorf("assume role: the session policy has %d bytes; 1 to %d are allowed", len(policy), MaxSessionPolicy)
	}
	if life < MinSessionLife {
		return fmt.Errorf("assume role: a life of %s is shorter than %s", life, MinSessionLife)
	}
	return nil
}
