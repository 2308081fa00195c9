package objectstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
)

// RemoveVersions removes exactly these versions and markers for good, page by page
// of 1,000; what is absent counts as removed. All pages are tried unless the store
// is unavailable or the context ends. The error joins one for each cause, with the
// number of versions that it kept; no error means that the store confirmed each.
func (c *Client) RemoveVersions(ctx context.Context, bucket string, versions []Version) error {
	var errs []error
	for batch := range slices.Chunk(versions, MaxBatch) {
		if _, err := c.credentials.refresh(ctx); err != nil {
			return errors.Join(append(errs, failed(ctx, "remove versions", err))...)
		}
		if err := c.removePage(ctx, bucket, batch); err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// removePage sends one request and takes only what the store confirms for removed:
// minio-go leaves out the answers NoSuchVersion and InvalidArgument, of which the
// second is a failure, and answers nothing at all when the context has ended.
func (c *Client) removePage(ctx context.Context, bucket string, batch []Version) error {
	open := make(map[Version]struct{}, len(batch))
	for _, v := range batch {
		open[identity(v.Key, v.ID)] = struct{}{}
	}
	results, err := c.core.RemoveObjectsWithIter(ctx, bucket, objectInfos(batch), minio.RemoveObjectsOptions{})
	if err != nil {
		return failed(ctx, "remove versions", err)
	}
	var kept causes
	for result := range results {
		delete(open, identity(result.ObjectName, result.ObjectVersionID))
		kept.add(result.Err)
	}
	if err := ctx.Err(); err != nil {
		return failed(ctx, "remove versions", err)
	}
	if !kept.unavailable() {
		for v := range open {
			kept.add(c.removeOne(ctx, bucket, v))
		}
	}
	return kept.joined(ctx)
}

// removeOne asks about a single version that the answer for many did not name.
func (c *Client) removeOne(ctx context.Context, bucket string, v Version) error {
	err := c.core.RemoveObject(ctx, bucket, v.Key, minio.RemoveObjectOptions{VersionID: v.ID})
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchKey, minio.NoSuchVersion:
		return nil
	}
	return err
}

func objectInfos(versions []Version) func(yield func(minio.ObjectInfo) bool) {
	return func(yield func(minio.ObjectInfo) bool) {
		for _, v := range versions {
			if !yield(minio.ObjectInfo{Key: v.Key, VersionID: versionID(v.ID)}) {
				return
			}
		}
	}
}

func identity(key, id string) Version { return Version{Key: key, ID: versionID(id)} }

// causes counts the versions that were not removed by the reason, since a thousand
// equal sentences help nobody.
type causes map[string]*cause

type cause struct {
	err   error
	count int
}

func (c *causes) add(err error) {
	if err == nil {
		return
	}
	err = refusal(err)
	if *c == nil {
		*c = causes{}
	}
	text := err.Error()
	if (*c)[text] == nil {
		(*c)[text] = &cause{err: err}
	}
	(*c)[text].count++
}

// refusal says of a version under object lock what it is: S3 has no code for it.
func refusal(err error) error {
	if answer := minio.ToErrorResponse(err); answer.Code == invalidRequest {
		return fmt.Errorf("%w (InvalidRequest: perhaps it is under object lock)", ErrDenied)
	}
	return translate(err)
}

func (c causes) unavailable() bool {
	for _, one := range c {
		if errors.Is(one.err, ErrUnavailable) {
			return true
		}
	}
	return false
}

func (c causes) joined(ctx context.Context) error {
	if len(c) > 0 && ctx.Err() != nil {
		return failed(ctx, "remove versions", ctx.Err())
	}
	errs := make([]error, 0, len(c))
	for _, one := range c {
		errs = append(errs, fmt.Errorf("remove versions: %d not removed: %w", one.count, one.err))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// AbortUpload drops an unfinished multipart upload and its parts; an absent one is
// dropped already. A missing bucket is ErrNotFound.
func (c *Client) AbortUpload(ctx context.Context, bucket string, upload Upload) error {
	if _, err := c.credentials.refresh(ctx); err != nil {
		return failed(ctx, "abort upload", err)
	}
	err := c.core.AbortMultipartUpload(ctx, bucket, upload.Key, upload.ID)
	if answer := minio.ToErrorResponse(err); answer.Code == minio.NoSuchUpload {
		return nil
	}
	return failed(ctx, "abort upload", err)
}

// RemovePrefix removes all that lies under a prefix, whatever it is, by one request
// that MinIO knows (force delete). It is nothing to rely on: MinIO says that it went
// well also when a drive failed, and it does not see unfinished uploads. The caller
// lists afterwards. The prefix ends with a slash and has two parts at least.
//
// ErrUnsupported: the store is no MinIO, or refuses; or the bucket has an object
// lock, copies or moves its objects, or tells somebody of each removal, all of which
// the request would go past; or this configuration may not be read. Then nothing was
// removed.
func (c *Client) RemovePrefix(ctx context.Context, bucket, prefix string) error {
	const what = "remove a prefix"
	if err := CheckPrefix(prefix); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	facts, err := c.Facts(ctx, bucket)
	switch {
	case errors.Is(err, ErrDenied):
		return fmt.Errorf("%s: %w: the bucket's configuration may not be read", what, ErrUnsupported)
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := facts.CheckRemovePrefix(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	err = c.core.RemoveObject(ctx, bucket, prefix, minio.RemoveObjectOptions{ForceDelete: true})
	switch minio.ToErrorResponse(err).Code {
	case minio.InvalidArgument, invalidRequest, "NotImplemented", "MethodNotAllowed":
		return fmt.Errorf("%s: %w: refused by the store", what, ErrUnsupported)
	}
	return failed(ctx, what, err)
}

// CheckPrefix says whether RemovePrefix may be asked for this: a prefix that is too
// short, or means another one, would take a stranger's data along.
func CheckPrefix(prefix string) error {
	parts := strings.Split(prefix, "/")
	if len(parts) < 3 || parts[len(parts)-1] != "" {
		return errors.New("a prefix needs two parts that end with a slash")
	}
	for _, part := range parts[:len(parts)-1] {
		if part == "" || part == "." || part == ".." {
			return errors.New("a part of the prefix is empty or dots")
		}
	}
	return nil
}

// CheckRemovePrefix gives ErrUnsupported, and why, if RemovePrefix must not be used
// on the bucket.
func (f BucketFacts) CheckRemovePrefix() error {
	switch {
	case !strings.HasPrefix(f.Server, "MinIO"):
		return fmt.Errorf("%w: the store is no MinIO", ErrUnsupported)
	case f.ObjectLock:
		return fmt.Errorf("%w: the bucket has an object lock", ErrUnsupported)
	case f.Replication || f.Tiering:
		return fmt.Errorf("%w: the bucket has copies elsewhere", ErrUnsupported)
	case f.Notification:
		return fmt.Errorf("%w: somebody is told of each removal", ErrUnsupported)
	}
	return nil
}
