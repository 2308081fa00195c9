package objectstoretest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// lockedFor is the default retention of a Locked bucket.
const lockedFor = 24 * time.Hour

func factsOf(kind Kind) objectstore.BucketFacts {
	f := objectstore.BucketFacts{Server: "MinIO"}
	if kind != Unversioned {
		f.Versioning = objectstore.VersioningEnabled
	}
	if kind == Locked {
		f.ObjectLock, f.DefaultRetention = true, lockedFor
	}
	return f
}

// until is when a version that is put now may be removed.
func (b *bucket) until() time.Time {
	if b.facts.DefaultRetention == 0 {
		return time.Time{}
	}
	return time.Now().Add(b.facts.DefaultRetention).UTC().Truncate(time.Second)
}

// SetFacts changes what Facts says of a bucket, and RemovePrefix goes by: of a store
// that is no MinIO, or a bucket with copies elsewhere. The bucket keeps its kind.
func (s *Store) SetFacts(bucketName string, change func(*objectstore.BucketFacts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.buckets[bucketName].facts)
}

// Facts is like objectstore.Client's.
func (s *Store) Facts(ctx context.Context, bucketName string) (f objectstore.BucketFacts, err error) {
	err = s.call(ctx, "read the bucket's configuration", func() error {
		b, err := s.find(bucketName)
		if err != nil {
			return err
		}
		f = b.facts
		return nil
	})
	return f, err
}

// RetainedUntil is like objectstore.Client's.
func (s *Store) RetainedUntil(ctx context.Context, bucketName string, v objectstore.Version) (until time.Time, err error) {
	err = s.call(ctx, "read a version's retention", func() error {
		b, err := s.find(bucketName)
		if err != nil {
			return err
		}
		found := b.version(v.Key, v.ID)
		if found == nil {
			return fmt.Errorf("%w (NoSuchVersion)", objectstore.ErrNotFound)
		}
		until = found.until
		return nil
	})
	return until, err
}

// RemovePrefix is like objectstore.Client's.
func (s *Store) RemovePrefix(ctx context.Context, bucketName, prefix string) error {
	if err := objectstore.CheckPrefix(prefix); err != nil {
		return wrap("remove a prefix", err)
	}
	return s.call(ctx, "remove a prefix", func() error {
		b, err := s.find(bucketName)
		if err != nil {
			return err
		}
		if err := b.facts.CheckRemovePrefix(); err != nil {
			return err
		}
		for key := range b.objects {
			// MinIO takes no notice of what went wrong with a single one.
			if strings.HasPrefix(key, prefix) && s.faults.ofKey(bucketName, key) == nil {
				delete(b.objects, key)
			}
		}
		return nil
	})
}

// Auditor looks at a Store as audit.Auditor does at a real one.
type Auditor struct{ Store *Store }

// Empty is like audit.Auditor's.
func (a Auditor) Empty(ctx context.Context, bucketName, prefix string) (bool, error) {
	for _, err := range a.Store.ListVersions(ctx, bucketName, prefix) {
		return false, err
	}
	for _, err := range a.Store.ListUploads(ctx, bucketName, prefix) {
		return false, err
	}
	return true, nil
}

// Identity is like audit.Auditor's.
func (a Auditor) Identity(ctx context.Context, bucketName string) (string, error) {
	body, err := a.Store.UnderKey(objectstore.Key{}).Get(ctx, bucketName, objectkey.IdentityKey, 0, -1)
	if err != nil {
		return "", err
	}
	var identity objectkey.Identity
	err = json.NewDecoder(body).Decode(&identity)
	return identity.Store, errors.Join(err, body.Close())
}
