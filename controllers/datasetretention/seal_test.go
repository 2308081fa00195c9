package datasetretention

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const testPrefix = testNamespace + "/" + string(testUID) + "/"

// shelf is a store of sizes, with a manifest and with faults.
type shelf struct {
	Store
	sizes    map[string]int64
	manifest []byte
	// asked is how many bytes of the manifest were asked for.
	asked int64
	// getErr, readErr and listErr are what the calls fail with; listErr after
	// listed objects.
	getErr, readErr, listErr error
	listed                   int
}

func (s *shelf) Get(_ context.Context, _, _ string, _, length int64) (io.ReadCloser, error) {
	s.asked = length
	if s.getErr != nil {
		return nil, s.getErr
	}
	end := io.Reader(strings.NewReader(""))
	if s.readErr != nil {
		end = iotest.ErrReader(s.readErr)
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(s.manifest), end)), nil
}

func (s *shelf) List(_ context.Context, bucket, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		if bucket != testBucket || prefix != testPrefix+"data/" {
			yield(objectstore.Object{}, fmt.Errorf("unexpected listing of %s/%s", bucket, prefix))
			return
		}
		for i, path := range slices.Sorted(maps.Keys(s.sizes)) {
			if s.listErr != nil && i == s.listed {
				break
			}
			if !yield(objectstore.Object{Key: prefix + path, Size: s.sizes[path]}, nil) {
				return
			}
		}
		if s.listErr != nil {
			yield(objectstore.Object{}, s.listErr)
		}
	}
}

// manifestOf is the manifest of files of these sizes.
func manifestOf(t *testing.T, sizes map[string]int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := objectkey.NewManifestWriter(&b)
	for _, path := range slices.Sorted(maps.Keys(sizes)) {
		entry := objectkey.Entry{Path: path, Size: sizes[path], SHA256: strings.Repeat("0", 64)}
		if err := w.Add(entry); err != nil {
			t.Fatalf("add to manifest: %v", err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatalf("close manifest: %v", err)
	}
	return b.Bytes()
}

func TestCheckSeal(t *testing.T) {
	t.Parallel()
	type sizes = map[string]int64
	type counts struct {
		Reason                    string
		Missing, Differing, Extra int64
	}
	three := sizes{"a": 1, "b/c": 2, "b0": 3}
	cases := map[string]struct {
		lists, holds sizes
		want         counts
	}{
		"all files as listed":     {three, three, counts{Reason: v1alpha1.ReasonVerified}},
		"nothing listed":          {sizes{}, sizes{}, counts{Reason: v1alpha1.ReasonEmpty}},
		"nothing listed but held": {sizes{}, three, counts{Reason: v1alpha1.ReasonEmpty, Extra: 3}},
		"nothing held":            {three, sizes{}, counts{Reason: v1alpha1.ReasonIncomplete, Missing: 3}},
		"the first is missing":    {three, sizes{"b/c": 2, "b0": 3}, counts{Reason: v1alpha1.ReasonIncomplete, Missing: 1}},
		"the middle is missing":   {three, sizes{"a": 1, "b0": 3}, counts{Reason: v1alpha1.ReasonIncomplete, Missing: 1}},
		"the last is missing":     {three, sizes{"a": 1, "b/c": 2}, counts{Reason: v1alpha1.ReasonIncomplete, Missing: 1}},
		"another size":            {three, sizes{"a": 1, "b/c": 9, "b0": 3}, counts{Reason: v1alpha1.ReasonIncomplete, Differing: 1}},
		"more before, between and after": {
			three, sizes{"0": 1, "a": 1, "b": 1, "b/c": 2, "b/d": 1, "b0": 3, "z": 1}, counts{Reason: v1alpha1.ReasonVerified, Extra: 4},
		},
		"all other files": {three, sizes{"x": 1, "y": 1}, counts{Reason: v1alpha1.ReasonIncomplete, Missing: 3, Extra: 2}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &shelf{sizes: c.holds, manifest: manifestOf(t, c.lists)}
			got, err := checkSeal(t.Context(), store, testHome(), maxManifest)
			if err != nil {
				t.Fatalf("check: %v", err)
			}
			if diff := cmp.Diff(c.want, counts{got.reason, got.missing, got.differing, got.extra}); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
			if got.summary.Digest != objectkey.Digest(store.manifest) {
				t.Errorf("digest %s is not the manifest's", got.summary.Digest)
			}
		})
	}
}

func TestCheckSealFaults(t *testing.T) {
	t.Parallel()
	files := map[string]int64{"a": 1, "b": 2}
	away := fmt.Errorf("get: %w", objectstore.ErrUnavailable)
	absent := fmt.Errorf("get: %w", objectstore.ErrNotFound)
	cases := map[string]struct {
		store shelf
		// want is the reason of the verdict; empty: an error, because nothing is
		// known about the dataset.
		want string
	}{
		"no manifest":                       {shelf{sizes: files, getErr: absent}, v1alpha1.ReasonManifestMissing},
		"no manifest, seen at the read":     {shelf{sizes: files, readErr: absent}, v1alpha1.ReasonManifestMissing},
		"no bucket is not a missing one":    {shelf{getErr: absent, listErr: absent}, ""},
		"a bucket that goes is not either":  {shelf{sizes: files, listed: 1, listErr: absent}, ""},
		"a manifest of zero bytes":          {shelf{sizes: files, manifest: []byte{}}, v1alpha1.ReasonManifestMalformed},
		"a manifest that is no JSON":        {shelf{sizes: files, manifest: []byte("hello\n")}, v1alpha1.ReasonManifestMalformed},
		"the store is away at the manifest": {shelf{sizes: files, getErr: away}, ""},
		"the store goes while it is read":   {shelf{sizes: files, readErr: away}, ""},
		"the store is away at the listing":  {shelf{sizes: files, listErr: away}, ""},
		"the store goes during the listing": {shelf{sizes: files, listed: 1, listErr: away}, ""},
		"the store goes after the listing":  {shelf{sizes: files, listed: 2, listErr: away}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.store.manifest == nil {
				c.store.manifest = manifestOf(t, files)
			}
			got, err := checkSeal(t.Context(), &c.store, testHome(), maxManifest)
			if (err != nil) != (c.want == "") || got.reason != c.want {
				t.Errorf("verdict %q, error %v, want %q", got.reason, err, c.want)
			}
			if c.want == "" && !errors.Is(err, objectstore.ErrUnavailable) && !errors.Is(err, objectstore.ErrNotFound) {
				t.Errorf("the cause is lost: %v", err)
			}
		})
	}
}

func TestCheckSealReadsOnlySoMuch(t *testing.T) {
	t.Parallel()
	files := map[string]int64{"a": 1, "b": 2}
	manifest := manifestOf(t, files)
	whole := int64(len(manifest))
	cases := map[string]struct {
		limit  int64
		reason string
		detail string
	}{
		"a manifest of the longest length is read": {whole, v1alpha1.ReasonVerified, ""},
		"a longer one is refused":                  {whole - 1, v1alpha1.ReasonManifestMalformed, errTooLong.Error()},
		"so is one that is cut between two lines":  {int64(bytes.IndexByte(manifest, '\n')), v1alpha1.ReasonManifestMalformed, errTooLong.Error()},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &shelf{sizes: files, manifest: manifest}
			got, err := checkSeal(t.Context(), store, testHome(), c.limit)
			if err != nil || got.reason != c.reason || got.detail != c.detail {
				t.Errorf("verdict %s (%s), error %v, want %s (%s)", got.reason, got.detail, err, c.reason, c.detail)
			}
			if store.asked != c.limit+1 {
				t.Errorf("asked the store for %d bytes, want %d", store.asked, c.limit+1)
			}
		})
	}
}

func testHome() v1alpha1.ObjectLocation {
	return v1alpha1.ObjectLocation{Bucket: testBucket, Prefix: testPrefix}
}
