package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// errPlace says that a recorded location is not the one that follows from the
// object's UID: the operator was configured for another bucket, or somebody who
// may write the status tried to point the broker at other data.
var errPlace = errors.New("recorded location is not the one derived from the UID")

// recordedPlace derives the place of an object's data and checks it against the
// one that its status records, so that neither alone is believed. Which store it was
// (status.location.store) is the erase's to check: credentials of another store open
// nothing there.
func recordedPlace(bucket string, object metav1.Object, recorded v1alpha1.ObjectLocation) (place, error) {
	at, err := newPlace(bucket, object.GetNamespace(), string(object.GetUID()))
	if err != nil {
		return place{}, err
	}
	if recorded.Bucket != at.bucket || recorded.Prefix != at.prefix {
		return place{}, fmt.Errorf("%w: %s/%s", errPlace, object.GetNamespace(), object.GetName())
	}
	return at, nil
}

// uploadGrant gets credentials that write a dataset's files, under its key if it has
// one, until that time, cut to a whole second. To the caller they end with their
// policy, so he renews them in time.
func (s *Server) uploadGrant(ctx context.Context, at place, key objectstore.Key, until time.Time) (staging.StoreGrant, error) {
	until = until.UTC().Truncate(time.Second)
	policy, err := uploadPolicy(at, until, !key.IsZero())
	if err != nil {
		return staging.StoreGrant{}, err
	}
	grant, err := s.grant(ctx, at, policy, objectstore.MinSessionLife)
	if err != nil {
		return staging.StoreGrant{}, err
	}
	grant.EncryptionKey = key.Bytes()
	if until.Before(grant.ExpiresAt) {
		grant.ExpiresAt = until
	}
	return grant, nil
}

// grant gets credentials that the policy confines to the place.
func (s *Server) grant(ctx context.Context, at place, policy string, life time.Duration) (staging.StoreGrant, error) {
	issued := s.clock.Now()
	credentials, err := s.sts.AssumeRole(ctx, policy, life)
	if err != nil {
		return staging.StoreGrant{}, fmt.Errorf("assume role: %w", err)
	}
	expires := credentials.ExpiresAt
	if expires.IsZero() {
		expires = issued.Add(life)
	}
	return staging.StoreGrant{
		Endpoint:          s.store.Endpoint,
		CABundle:          s.store.CABundle,
		Region:            s.store.Region,
		Bucket:            at.bucket,
		Prefix:            at.prefix,
		AccessKeyID:       credentials.AccessKeyID,
		SecretAccessKey:   credentials.SecretAccessKey,
		SessionToken:      credentials.SessionToken,
		IssuedAt:          issued.UTC(),
		ExpiresAt:         expires.UTC(),
		InsecurePlaintext: s.store.InsecurePlaintext,
	}, nil
}
