package objectstore

import (
	"context"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"
)

// OwnerOf gives the first two parts of a key, with the slash after them; a key with
// fewer is its own owner.
func OwnerOf(key string) string {
	first := strings.IndexByte(key, '/')
	if first < 0 {
		return key
	}
	second := strings.IndexByte(key[first+1:], '/')
	if second < 0 {
		return key
	}
	return key[:first+1+second+1]
}

// ListOwners yields the OwnerOf each key of which the bucket has a version, a delete
// marker or an unfinished upload, each once and in no order. An error is the last
// thing that it yields. It takes one request for each first part and a thousand
// owners, however many objects they have. Of uploads it sees what ListUploads does
// without a prefix. While there is an object "a", MinIO tells of nothing below "a/":
// that shows once the object, which is an owner of its own, has gone.
func (c *Client) ListOwners(ctx context.Context, bucket string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		o := owners{client: c, bucket: bucket, seen: map[string]bool{}, yield: yield}
		if o.top(ctx) {
			o.uploads(ctx)
		}
	}
}

// owners is one listing of them. Its methods report whether to go on.
type owners struct {
	client *Client
	bucket string
	seen   map[string]bool
	yield  func(string, error) bool
}

// found yields the owner of a key unless it did before.
func (o *owners) found(key string) bool {
	owner := OwnerOf(key)
	if o.seen[owner] {
		return true
	}
	o.seen[owner] = true
	return o.yield(owner, nil)
}

// level calls visit for each thing at one level: a key, or what several keys have in
// common up to their next slash.
func (o *owners) level(ctx context.Context, prefix string, visit func(key string) bool) (goOn bool) {
	goOn = true
	options := minio.ListObjectsOptions{Prefix: prefix, WithVersions: true}
	o.client.list(ctx, o.bucket, options, func(entry minio.ObjectInfo, err error) bool {
		if err != nil {
			o.yield("", failed(ctx, "list owners", err))
			goOn = false
			return false
		}
		goOn = visit(entry.Key)
		return goOn
	})
	return goOn
}

func (o *owners) top(ctx context.Context) bool {
	return o.level(ctx, "", func(key string) bool {
		if strings.HasSuffix(key, "/") {
			return o.level(ctx, key, o.found)
		}
		return o.found(key)
	})
}

func (o *owners) uploads(ctx context.Context) bool {
	for upload, err := range o.client.ListUploads(ctx, o.bucket, "") {
		if err != nil {
			return o.yield("", err)
		}
		if !o.found(upload.Key) {
			return false
		}
	}
	return true
}
