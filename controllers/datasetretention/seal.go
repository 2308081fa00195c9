package datasetretention

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Store is a view of the store under one key, for what is read there. All methods
// only read, may be repeated, and give errors that wrap objectstore.ErrNotFound when
// the object or the bucket is not there.
type Store interface {
	// Facts tells how the bucket is configured.
	Facts(ctx context.Context, bucket string) (objectstore.BucketFacts, error)
	// Get opens length bytes of an object from offset on; to its end when length
	// is negative. The error may also come from a read. An object that is not under
	// the view's key is objectstore.ErrKey.
	Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error)
	// List yields the current objects under a prefix in ascending byte order of
	// their keys. An error is the last thing that it yields.
	List(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Object, error]
}

// sealCheck is what the check of a sealed dataset found.
type sealCheck struct {
	// reason is ReasonVerified, or why the dataset is not usable.
	reason string
	// summary of the manifest; valid when reason is ReasonVerified.
	summary objectkey.ManifestSummary
	// missing and differing count the manifest's files that the store lacks, and
	// those that it has in another size.
	missing, differing int64
	// extra counts objects in the store that the manifest does not list. No run
	// gets them; the erase removes them like all others.
	extra int64
	// detail says what is wrong with a malformed manifest, or one that is too large.
	detail string
}

// maxManifest is the longest manifest that is read, in bytes: enough for some eight
// million files, and not so much that one check takes hours.
const maxManifest int64 = 1 << 30

// errTooLong says that a manifest is longer than maxManifest.
var errTooLong = errors.New("it is longer than 1 GiB, so it lists too many files for one dataset")

// checkSeal compares the manifest, of at most limit bytes, with one listing of the
// data. Both come in the order of their keys, so memory is bounded however large
// the dataset is. Contents are not read: stage-in verifies them. An error is the
// store's; what is wrong with the dataset is in the result.
func checkSeal(ctx context.Context, store Store, home v1alpha1.ObjectLocation, limit int64) (sealCheck, error) {
	next, stop := iter.Pull2(store.List(ctx, home.Bucket, objectkey.DataPrefix(home.Prefix)))
	defer stop()
	m := &merge{next: next}
	// The listing comes first: it fails when the bucket is not there, so that a
	// wrong bucket is never taken for a missing manifest.
	if err := m.advance(); err != nil {
		return sealCheck{}, err
	}
	summary, err := readManifest(ctx, store, home, limit, m)
	switch {
	case errors.Is(err, errTooLong):
		return sealCheck{reason: v1alpha1.ReasonManifestMalformed, detail: errTooLong.Error()}, nil
	case errors.Is(err, objectkey.ErrBadManifest):
		return sealCheck{reason: v1alpha1.ReasonManifestMalformed, detail: err.Error()}, nil
	case errors.Is(err, objectstore.ErrKey):
		return sealCheck{reason: v1alpha1.ReasonManifestMalformed, detail: "it is not stored under the dataset's own key"}, nil
	case errors.Is(err, errNoManifest):
		return sealCheck{reason: v1alpha1.ReasonManifestMissing}, nil
	case err != nil:
		return sealCheck{}, err
	}
	if err := m.drain(); err != nil {
		return sealCheck{}, err
	}
	found := sealCheck{
		reason: v1alpha1.ReasonVerified, summary: summary,
		missing: m.missing, differing: m.differing, extra: m.extra,
	}
	switch {
	case summary.Objects == 0:
		found.reason = v1alpha1.ReasonEmpty
	case m.missing+m.differing > 0:
		found.reason = v1alpha1.ReasonIncomplete
	}
	return found, nil
}

var errNoManifest = errors.New("there is no manifest")

func readManifest(
	ctx context.Context, store Store, home v1alpha1.ObjectLocation, limit int64, m *merge,
) (objectkey.ManifestSummary, error) {
	// One byte more than there may be tells a manifest that ends from one that is cut.
	body, err := store.Get(ctx, home.Bucket, objectkey.Manifest(home.Prefix), 0, limit+1)
	if errors.Is(err, objectstore.ErrNotFound) {
		return objectkey.ManifestSummary{}, errNoManifest
	}
	if err != nil {
		return objectkey.ManifestSummary{}, fmt.Errorf("open manifest: %w", err)
	}
	// Closing what was only read has nothing to report.
	defer func() { _ = body.Close() }()
	summary, err := objectkey.ReadManifest(&bounded{in: body, left: limit}, func(e objectkey.Entry) error {
		return m.expect(objectkey.Data(home.Prefix, e.Path), e.Size)
	})
	if errors.Is(err, objectstore.ErrNotFound) && !m.failed {
		return summary, errNoManifest
	}
	return summary, err
}

// bounded fails with errTooLong when there is more to read than is left.
type bounded struct {
	in   io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, errTooLong
	}
	return n, err
}

// merge walks the listing alongside the manifest.
type merge struct {
	next func() (objectstore.Object, error, bool)
	// current is the listed object that no entry was compared with yet.
	current objectstore.Object
	// ended is true when there is none.
	ended bool
	// failed is true when the listing broke off.
	failed bool

	missing, differing, extra int64
}

// expect compares the next entry of the manifest.
func (m *merge) expect(key string, size int64) error {
	for !m.ended && m.current.Key < key {
		m.extra++
		if err := m.advance(); err != nil {
			return err
		}
	}
	if m.ended || m.current.Key != key {
		m.missing++
		return nil
	}
	if m.current.Size != size {
		m.differing++
	}
	return m.advance()
}

// drain counts what is listed after the manifest's last entry.
func (m *merge) drain() error {
	for !m.ended {
		m.extra++
		if err := m.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (m *merge) advance() error {
	object, err, more := m.next()
	if more && err != nil {
		m.failed = true
		return fmt.Errorf("list data: %w", err)
	}
	m.current, m.ended = object, !more
	return nil
}
