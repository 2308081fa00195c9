package objectstore

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"
)

// MaxBatch is how many entries one request lists or removes at most, by S3's rules.
const MaxBatch = 1000

// List yields the current objects whose keys start with prefix, in ascending byte
// order of the keys. An error is the last thing that it yields: a listing without
// one is complete. A missing bucket is ErrNotFound, a missing prefix is nothing.
func (c *Client) List(ctx context.Context, bucket, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		c.list(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}, func(o minio.ObjectInfo, err error) bool {
			if err != nil {
				return yield(Object{}, failed(ctx, "list objects", err))
			}
			return yield(Object{Key: o.Key, Size: o.Size, ETag: o.ETag}, nil)
		})
	}
}

// ListVersions yields every version and delete marker whose key starts with prefix,
// in ascending byte order of the keys, those of one key next to each other. An
// error is the last thing that it yields: a listing without one is complete. But
// while there is an object "a", MinIO tells of nothing below "a/": whoever empties a
// prefix lists again until nothing comes. If the prefix itself is such an "a/", an
// empty listing ends with ErrHidden.
func (c *Client) ListVersions(ctx context.Context, bucket, prefix string) iter.Seq2[Version, error] {
	return c.ListVersionsFrom(ctx, bucket, prefix, "")
}

// ListVersionsFrom is ListVersions of the keys that come after the given one in the
// order of their bytes; that one's own versions are left out.
func (c *Client) ListVersionsFrom(ctx context.Context, bucket, prefix, after string) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		if after > prefix && !strings.HasPrefix(after, prefix) {
			return // Beyond all of them, which MinIO takes for a mistake.
		}
		options := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}
		if strings.HasPrefix(after, prefix) {
			options.StartAfter = after
		}
		none := true
		c.list(ctx, bucket, options, func(o minio.ObjectInfo, err error) bool {
			none = false
			if err != nil {
				return yield(Version{}, failed(ctx, "list versions", err))
			}
			return yield(Version{Key: o.Key, ID: versionID(o.VersionID), Size: o.Size, Marker: o.IsDeleteMarker}, nil)
		})
		if none {
			if err := c.checkHidden(ctx, bucket, prefix); err != nil {
				yield(Version{}, failed(ctx, "list versions", err))
			}
		}
	}
}

// checkHidden looks for a version or marker whose key is the prefix without its
// slash. That is the first of all keys that start so.
func (c *Client) checkHidden(ctx context.Context, bucket, prefix string) (err error) {
	name, ok := strings.CutSuffix(prefix, "/")
	if !ok || name == "" {
		return nil
	}
	options := minio.ListObjectsOptions{Prefix: name, WithVersions: true}
	c.list(ctx, bucket, options, func(o minio.ObjectInfo, failure error) bool {
		err = failure
		if failure == nil && o.Key == name {
			err = ErrHidden
		}
		return false
	})
	return err
}

// list calls visit for each entry until it says false, and with an error at the end
// if the listing is not complete: minio-go itself ends one without a word when the
// context does.
func (c *Client) list(ctx context.Context, bucket string, options minio.ListObjectsOptions, visit func(minio.ObjectInfo, error) bool) {
	if _, err := c.credentials.refresh(ctx); err != nil {
		visit(minio.ObjectInfo{}, err)
		return
	}
	noOwner := false
	options.FetchOwner, options.MaxKeys = &noOwner, MaxBatch
	for entry := range c.core.ListObjectsIter(ctx, bucket, options) {
		if entry.Err != nil {
			visit(minio.ObjectInfo{}, entry.Err)
			return
		}
		if !visit(entry, nil) {
			return
		}
	}
	if err := ctx.Err(); err != nil {
		visit(minio.ObjectInfo{}, err)
	}
}

// ListUploads yields the unfinished multipart uploads whose keys start with prefix,
// in no order. An error is the last thing that it yields.
//
// S3 lists them by prefix. MinIO does not: asked with a prefix it reads its disks,
// but only for the one key that equals the prefix; asked without, it gives the
// bucket's uploads that were begun at this server since it started, from memory. So
// both are asked, and the whole bucket's starts where the prefix does, which
// stores that keep S3's order heed and MinIO does not. What remains unseen: on
// MinIO, an upload that was begun before the server's last start, unless the
// prefix is its key. MinIO drops those by itself after its stale_uploads_expiry,
// which a deployment therefore sets short.
func (c *Client) ListUploads(ctx context.Context, bucket, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		if _, err := c.credentials.refresh(ctx); err != nil {
			yield(Upload{}, failed(ctx, "list uploads", err))
			return
		}
		u := uploads{client: c, bucket: bucket, prefix: prefix, seen: map[Upload]bool{}, yield: yield}
		if u.walk(ctx, prefix, "") && prefix != "" {
			u.walk(ctx, "", prefix)
		}
	}
}

// uploads is one listing of them.
type uploads struct {
	client         *Client
	bucket, prefix string
	seen           map[Upload]bool
	yield          func(Upload, error) bool
}

// walk yields what was not seen yet and reports whether to go on.
func (u *uploads) walk(ctx context.Context, prefix, marker string) bool {
	idMarker := ""
	for {
		result, err := u.client.core.ListMultipartUploads(ctx, u.bucket, prefix, marker, idMarker, "", MaxBatch)
		if err != nil {
			u.yield(Upload{}, failed(ctx, "list uploads", err))
			return false
		}
		for _, found := range result.Uploads {
			if !u.visit(Upload{Key: found.Key, ID: found.UploadID}) {
				return false
			}
		}
		next, nextID := result.NextKeyMarker, result.NextUploadIDMarker
		switch {
		case !result.IsTruncated:
			return true
		case next == marker && nextID == idMarker:
			u.yield(Upload{}, fmt.Errorf("list uploads: %w: there is more, but the store does not say where", ErrUnavailable))
			return false
		case next > u.prefix && !strings.HasPrefix(next, u.prefix):
			return true // A store that gives pages gives them in the order of the keys.
		}
		marker, idMarker = next, nextID
	}
}

func (u *uploads) visit(found Upload) bool {
	if !strings.HasPrefix(found.Key, u.prefix) || u.seen[found] {
		return true
	}
	u.seen[found] = true
	return u.yield(found, nil)
}

// versionID names the only version of an object that has no versions.
func versionID(id string) string {
	if id == "" {
		return "null"
	}
	return id
}
