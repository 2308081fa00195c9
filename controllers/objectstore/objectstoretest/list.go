package objectstoretest

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// List is like objectstore.Client's.
func (s *Store) List(ctx context.Context, bucketName, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		pages(func(after objectstore.Object) (page []objectstore.Object, more bool, err error) {
			err = s.call(ctx, "list objects", func() error {
				b, err := s.find(bucketName)
				if err != nil {
					return err
				}
				for _, key := range b.keys(prefix) {
					v := b.current(key)
					if v == nil || key <= after.Key {
						continue
					}
					page = append(page, objectstore.Object{Key: key, Size: int64(len(v.data)), ETag: etag(v.data)})
				}
				page, more = s.cut(page)
				return nil
			})
			return page, more, err
		}, yield)
	}
}

// cut gives the first page of what is left, and whether that is not all of it.
func (s *Store) cut(left []objectstore.Object) ([]objectstore.Object, bool) {
	return left[:min(len(left), s.page)], len(left) > s.page
}

// ListVersions is like objectstore.Client's.
func (s *Store) ListVersions(ctx context.Context, bucketName, prefix string) iter.Seq2[objectstore.Version, error] {
	return s.ListVersionsFrom(ctx, bucketName, prefix, "")
}

// ListVersionsFrom is like objectstore.Client's.
func (s *Store) ListVersionsFrom(ctx context.Context, bucketName, prefix, after string) iter.Seq2[objectstore.Version, error] {
	return func(yield func(objectstore.Version, error) bool) {
		key, serial := after, int64(0)
		pages(func(objectstore.Version) (page []objectstore.Version, more bool, err error) {
			err = s.call(ctx, "list versions", func() error {
				b, err := s.find(bucketName)
				if err != nil {
					return err
				}
				page, more = b.versionsAfter(prefix, &key, &serial, s.page)
				return nil
			})
			return page, more, err
		}, yield)
	}
}

// versionsAfter gives the versions that come after the one with this key and
// serial, newest first for each key, and moves both to the last that it gives.
func (b *bucket) versionsAfter(prefix string, key *string, serial *int64, limit int) (page []objectstore.Version, more bool) {
	from, before := *key, *serial
	for _, k := range b.keys(prefix) {
		if k < from {
			continue
		}
		for _, v := range slices.Backward(b.objects[k]) {
			if k == from && v.serial >= before {
				continue
			}
			if len(page) == limit {
				return page, true
			}
			page = append(page, objectstore.Version{Key: k, ID: v.id, Size: int64(len(v.data)), Marker: v.marker})
			*key, *serial = k, v.serial
		}
	}
	return page, false
}

// ListOwners is like objectstore.Client's. One call is one listing of the bucket.
func (s *Store) ListOwners(ctx context.Context, bucketName string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		pages(func(string) (found []string, more bool, err error) {
			err = s.call(ctx, "list owners", func() error {
				b, err := s.find(bucketName)
				if err != nil {
					return err
				}
				found = b.owners()
				return nil
			})
			return found, false, err
		}, yield)
	}
}

func (b *bucket) owners() []string {
	seen := map[string]bool{}
	for key := range b.objects {
		seen[objectstore.OwnerOf(key)] = true
	}
	for upload := range b.uploads {
		seen[objectstore.OwnerOf(upload.Key)] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// ListUploads is like objectstore.Client's.
func (s *Store) ListUploads(ctx context.Context, bucketName, prefix string) iter.Seq2[objectstore.Upload, error] {
	return func(yield func(objectstore.Upload, error) bool) {
		pages(func(objectstore.Upload) (found []objectstore.Upload, more bool, err error) {
			err = s.call(ctx, "list uploads", func() error {
				b, err := s.find(bucketName)
				if err != nil {
					return err
				}
				for upload := range b.uploads {
					if strings.HasPrefix(upload.Key, prefix) {
						found = append(found, upload)
					}
				}
				return nil
			})
			return found, false, err
		}, yield)
	}
}

// pages yields page after page; next gives the one after the last entry.
func pages[T any](next func(after T) ([]T, bool, error), yield func(T, error) bool) {
	var last, none T
	for {
		page, more, err := next(last)
		if err != nil {
			yield(none, err)
			return
		}
		for _, entry := range page {
			if !yield(entry, nil) {
				return
			}
			last = entry
		}
		if !more {
			return
		}
	}
}
