package objectstore

import (
	"context"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
)

// Values of BucketFacts.Versioning.
const (
	VersioningNever     = ""
	VersioningEnabled   = "Enabled"
	VersioningSuspended = "Suspended"
)

// BucketFacts are what decides how data in a bucket can be removed, and whether.
type BucketFacts struct {
	// ObjectLock: versions can be kept from removal, whoever asks.
	ObjectLock bool
	// DefaultRetention is how long each new version is kept from removal; 0 for not
	// at all.
	DefaultRetention time.Duration
	// Versioning is one of the Versioning constants.
	Versioning string
	// Replication: there are rules that copy objects elsewhere.
	Replication bool
	// Notification: somebody is told of each removal.
	Notification bool
	// Lifecycle: there are rules by which the store removes or moves objects itself.
	// Tiering: some of them move objects to another place.
	Lifecycle, Tiering bool
	// Server is what the store calls itself in its answers; perhaps nothing.
	Server string
}

// Facts reads a bucket's configuration. A missing bucket is ErrNotFound. A store that
// does not know one of the configurations at all has none of it.
func (c *Client) Facts(ctx context.Context, bucket string) (BucketFacts, error) {
	var f BucketFacts
	for _, read := range []func(context.Context, string, *BucketFacts) error{
		c.readVersioning, c.readLock, c.readReplication, c.readNotification, c.readLifecycle,
	} {
		if _, err := c.credentials.refresh(ctx); err != nil {
			return BucketFacts{}, failed(ctx, "read the bucket's configuration", err)
		}
		if err := read(ctx, bucket, &f); err != nil && !isUnknown(err) {
			return BucketFacts{}, failed(ctx, "read the bucket's configuration", err)
		}
	}
	f.Server = c.credentials.serverName()
	return f, nil
}

// isUnknown says whether a configuration is not there, or a notion of other stores.
func isUnknown(err error) bool {
	switch minio.ToErrorResponse(err).Code {
	case "ObjectLockConfigurationNotFoundError", "ReplicationConfigurationNotFoundError",
		"NoSuchLifecycleConfiguration", "NotImplemented":
		return true
	}
	return false
}

func (c *Client) readVersioning(ctx context.Context, bucket string, f *BucketFacts) error {
	versioning, err := c.core.GetBucketVersioning(ctx, bucket)
	f.Versioning = versioning.Status
	return err
}

func (c *Client) readLock(ctx context.Context, bucket string, f *BucketFacts) error {
	state, mode, validity, unit, err := c.core.GetObjectLockConfig(ctx, bucket)
	if err != nil {
		return err
	}
	f.ObjectLock = state == "Enabled"
	if mode == nil || validity == nil || unit == nil {
		return nil
	}
	const day = 24 * time.Hour
	f.DefaultRetention = time.Duration(*validity) * day //nolint:gosec // G115: a store's days.
	if *unit == minio.Years {
		f.DefaultRetention *= 365
	}
	return nil
}

func (c *Client) readReplication(ctx context.Context, bucket string, f *BucketFacts) error {
	replication, err := c.core.GetBucketReplication(ctx, bucket)
	f.Replication = len(replication.Rules) > 0
	return err
}

func (c *Client) readNotification(ctx context.Context, bucket string, f *BucketFacts) error {
	n, err := c.core.GetBucketNotification(ctx, bucket)
	f.Notification = len(n.LambdaConfigs)+len(n.TopicConfigs)+len(n.QueueConfigs) > 0
	return err
}

func (c *Client) readLifecycle(ctx context.Context, bucket string, f *BucketFacts) error {
	rules, err := c.core.GetBucketLifecycle(ctx, bucket)
	if err != nil {
		return err
	}
	for _, rule := range rules.Rules {
		f.Lifecycle = f.Lifecycle || rule.Status == minio.Enabled
		f.Tiering = f.Tiering || moves(rule)
	}
	return nil
}

// moves is true also of a rule that is off: it may have moved objects before.
func moves(rule lifecycle.Rule) bool {
	return !rule.Transition.IsNull() || rule.Transition.StorageClass != "" ||
		!rule.NoncurrentVersionTransition.IsStorageClassEmpty()
}

// RetainedUntil says until when a bucket's object lock keeps a version from removal;
// zero if it does not. A hold without an end is not seen. The version is one that was
// listed; a missing one is ErrNotFound.
func (c *Client) RetainedUntil(ctx context.Context, bucket string, v Version) (time.Time, error) {
	const what = "read a version's retention"
	if _, err := c.credentials.refresh(ctx); err != nil {
		return time.Time{}, failed(ctx, what, err)
	}
	_, until, err := c.core.GetObjectRetention(ctx, bucket, v.Key, v.ID)
	switch minio.ToErrorResponse(err).Code {
	case "NoSuchObjectLockConfiguration", invalidRequest, "MethodNotAllowed":
		return time.Time{}, nil // It has none; the bucket has none; it is a marker.
	}
	if err != nil || until == nil {
		return time.Time{}, failed(ctx, what, err)
	}
	return *until, nil
}
