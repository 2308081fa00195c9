package main

import (
	"context"
	"fmt"
)

// receiptsBucket is where the lab's operator puts its receipts.
const receiptsBucket = "lethe-receipts"

// holdings is all that a store holds under a prefix.
type holdings struct {
	bucket, prefix             string
	objects, versions, uploads int
	bytes                      int64
}

func (h holdings) String() string {
	return fmt.Sprintf("s3://%s/%s: %d objects, %d versions and delete markers (%d bytes), %d unfinished uploads",
		h.bucket, h.prefix, h.objects, h.versions, h.bytes, h.uploads)
}

// search lists with the store's root credentials, not with the operator's.
func (d *demo) search(ctx context.Context) (holdings, error) {
	h := holdings{bucket: d.data.bucket, prefix: d.data.prefix}
	for _, err := range d.store.List(ctx, h.bucket, h.prefix) {
		if err != nil {
			return h, fmt.Errorf("list objects: %w", err)
		}
		h.objects++
	}
	for v, err := range d.store.ListVersions(ctx, h.bucket, h.prefix) {
		if err != nil {
			return h, fmt.Errorf("list versions: %w", err)
		}
		h.versions++
		h.bytes += v.Size
	}
	for _, err := range d.store.ListUploads(ctx, h.bucket, h.prefix) {
		if err != nil {
			return h, fmt.Errorf("list uploads: %w", err)
		}
		h.uploads++
	}
	return h, nil
}
