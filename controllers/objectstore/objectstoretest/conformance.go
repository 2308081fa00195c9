package objectstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/hack/freeport"
)

// Reader is the part of a store that looks at objects.
type Reader interface {
	List(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Object, error]
	ListVersions(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Version, error]
	ListVersionsFrom(ctx context.Context, bucket, prefix, after string) iter.Seq2[objectstore.Version, error]
	ListUploads(ctx context.Context, bucket, prefix string) iter.Seq2[objectstore.Upload, error]
	Get(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, error)
}

// Surveyor is the part of a store that looks at what is around objects.
type Surveyor interface {
	ListOwners(ctx context.Context, bucket string) iter.Seq2[string, error]
	Facts(ctx context.Context, bucket string) (objectstore.BucketFacts, error)
	RetainedUntil(ctx context.Context, bucket string, v objectstore.Version) (time.Time, error)
}

// Writer is the part of a store that changes something.
type Writer interface {
	Put(ctx context.Context, bucket, key string, body io.Reader, size int64, opts objectstore.PutOptions) error
	RemoveVersions(ctx context.Context, bucket string, versions []objectstore.Version) error
	RemovePrefix(ctx context.Context, bucket, prefix string) error
	AbortUpload(ctx context.Context, bucket string, upload objectstore.Upload) error
	AssumeRole(ctx context.Context, policy string, life time.Duration) (objectstore.Credentials, error)
}

// Backend is all that an object store does.
type Backend interface {
	Reader
	Surveyor
	Writer
}

var (
	_ Backend = (*Store)(nil)
	_ Backend = (*objectstore.Client)(nil)
)

// Harness is a store under test and what the suite needs around it.
type Harness struct {
	Backend
	// Bucket makes a new bucket, and Plain one without encryption of its own.
	Bucket, Plain func(t testing.TB, kind Kind) string
	// Under is the store under a key.
	Under func(k objectstore.Key) Backend
	// BeginUpload leaves an upload unfinished.
	BeginUpload func(t testing.TB, bucket, key string) objectstore.Upload
	// Delete deletes an object without naming a version.
	Delete func(t testing.TB, bucket, key string)
	// Down is a store that does not answer, and Stranger the same store with
	// credentials that it does not know.
	Down, Stranger Backend
	// AnyKeys says that the store takes all keys that S3 does. MinIO refuses those with
	// an empty part.
	AnyKeys bool
	// As is the store with other credentials; nil where no policy is enforced.
	As func(t testing.TB, c objectstore.Credentials) Backend
}

// Memory makes a harness of the store in memory.
func Memory(t testing.TB) Harness {
	t.Helper()
	s, down, stranger := NewStore(), NewStore(), NewStore()
	down.SetDown(true)
	stranger.FailAll(objectstore.ErrDenied)
	buckets := 0
	bucket := func(_ testing.TB, kind Kind) string {
		s.mu.Lock()
		buckets++
		name := fmt.Sprintf("bucket-%d", buckets)
		s.mu.Unlock()
		s.AddBucket(name, kind)
		return name
	}
	return Harness{
		Backend: s,
		Bucket:  bucket, Plain: bucket,
		Under:       func(k objectstore.Key) Backend { return s.UnderKey(k) },
		AnyKeys:     true,
		BeginUpload: func(_ testing.TB, bucket, key string) objectstore.Upload { return s.BeginUpload(bucket, key) },
		Delete:      func(_ testing.TB, bucket, key string) { s.Delete(bucket, key) },
		Down:        down, Stranger: stranger,
	}
}

// Real makes a harness of a MinIO.
func Real(t testing.TB, m *MinIO) Harness {
	t.Helper()
	address, err := freeport.Claim()
	if err != nil {
		t.Fatalf("find an address for no server: %v", err)
	}
	nobody := m.Config(m.Root)
	nobody.Endpoint = "https://" + address
	down, err := objectstore.New(nobody)
	if err != nil {
		t.Fatalf("make a client for no server: %v", err)
	}
	client := m.Client(t, m.Root)
	return Harness{
		Backend:     client,
		Bucket:      m.Bucket,
		Plain:       m.PlainBucket,
		Under:       func(k objectstore.Key) Backend { return client.UnderKey(k) },
		BeginUpload: m.BeginUpload,
		Delete:      m.Delete,
		Down:        down,
		Stranger:    m.Client(t, objectstore.Credentials{AccessKeyID: "stranger", SecretAccessKey: "not-the-password"}),
		As:          func(t testing.TB, c objectstore.Credentials) Backend { t.Helper(); return m.Client(t, c) },
	}
}

// RunConformance holds a store against what callers rely on.
func RunConformance(t *testing.T, harness func(t *testing.T) Harness) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Harness){
		"reads back what it stores":            testContents,
		"reads ranges":                         testRanges,
		"takes unusual keys":                   testKeys,
		"stores nothing of a broken body":      testBrokenBody,
		"puts only if absent":                  testIfAbsent,
		"lists objects":                        testList,
		"lists versions":                       testVersions,
		"shows what lies below a removed key":  testNested,
		"lists more than a page":               testPages,
		"lists and aborts uploads":             testUploads,
		"removes the versions that it is told": testRemove,
		"keeps what is locked":                 testLocked,
		"tells its errors apart":               testErrors,
		"bounds sessions":                      testSessionBounds,
		"enforces session policies":            testPolicies,
		"keeps objects under keys":             testUnderKey,
		"lists the plain sizes":                testSizesUnderKey,
		"tells a wrong key from other errors":  testKeyErrors,
		"lists from a key on":                  testListFrom,
		"lists owners":                         testOwners,
		"lists more than a page of owners":     testManyOwners,
		"knows its buckets":                    testFacts,
		"knows until when it keeps a version":  testRetained,
		"removes a prefix":                     testRemovePrefix,
		"removes no prefix that is not safe":   testRemovePrefixRefused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, harness(t))
		})
	}
}

// eachKind runs a test on both kinds of bucket that data may lie in.
func eachKind(t *testing.T, h Harness, test func(t *testing.T, bucket string, kind Kind)) {
	t.Helper()
	for name, kind := range map[string]Kind{"unversioned": Unversioned, "versioned": Versioned} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, h.Bucket(t, kind), kind)
		})
	}
}

// stream hides every method of a body but Read.
type stream struct{ io.Reader }

func testContents(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, _ Kind) {
		for name, size := range map[string]int{"empty": 0, "tiny": 1, "small": 70_000, "in parts": 17<<20 + 3, "in several parts": 34<<20 + 5} {
			want := pattern(size)
			for how, body := range map[string]io.Reader{"once": stream{bytes.NewReader(want)}, "anywhere": bytes.NewReader(want)} {
				key := "ns/uid/data/" + name + "/" + how
				if err := h.Put(t.Context(), bucket, key, body, int64(size), objectstore.PutOptions{ContentType: "text/plain"}); err != nil {
					t.Fatalf("put %s: %v", key, err)
				}
				if got := get(t, h, bucket, key, 0, -1); !bytes.Equal(got, want) {
					t.Errorf("%s: got %d other bytes, want %d", key, len(got), len(want))
				}
			}
		}
		if left := collect(t, h.ListUploads(t.Context(), bucket, "ns/uid/")); len(left) > 0 {
			t.Errorf("uploads in parts left %d unfinished", len(left))
		}
	})
}

func testRanges(t *testing.T, h Harness) {
	bucket := h.Bucket(t, Unversioned)
	put(t, h, bucket, "key", "0123456789")
	for name, c := range map[string]struct {
		offset, length int64
		want           string
	}{
		"all":                {0, -1, "0123456789"},
		"from the start":     {0, 3, "012"},
		"from the middle":    {4, 3, "456"},
		"to the end":         {7, -1, "789"},
		"one byte":           {9, 1, "9"},
		"longer than it is":  {8, 50, "89"},
		"nothing":            {3, 0, ""},
		"nothing at the end": {10, 0, ""},
	} {
		if got := string(get(t, h, bucket, "key", c.offset, c.length)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	for name, offset := range map[string]int64{"negative": -1, "beyond the end": 10} {
		if _, err := h.Get(t.Context(), bucket, "key", offset, 5); err == nil || errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("an offset that is %s gives %v, want another error", name, err)
		}
	}
}

func testKeys(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, _ Kind) {
		keys := []string{
			"ns/uid/data/a b", "ns/uid/data/a+b", "ns/uid/data/a%41b", "ns/uid/data/a&b<c>'d\"e", "ns/uid/data/ümläut/日本語.txt",
			"ns/uid/data/#hash?query=1", "ns/uid/data/folder/", "ns/uid/data/~tilde!*()", "ns/uid/data/" + strings.Repeat("long/", 150) + "end",
		}
		for _, key := range keys {
			put(t, h, bucket, key, "")
			h.BeginUpload(t, bucket, strings.TrimSuffix(key, "/"))
		}
		slices.Sort(keys)
		var got []string
		for _, o := range collect(t, h.List(t.Context(), bucket, "ns/uid/")) {
			got = append(got, o.Key)
		}
		if diff := cmp.Diff(keys, got); diff != "" {
			t.Errorf("listed keys (-want +got):\n%s", diff)
		}
		empty(t, h, bucket, "ns/uid/")
	})
}

var errBody = errors.New("the disk is broken")

func testBrokenBody(t *testing.T, h Harness) {
	bucket := h.Bucket(t, Versioned)
	for name, size := range map[string]int64{"one request": 100_000, "parts": 40 << 20} {
		half := pattern(int(size / 2))
		for how, c := range map[string]struct {
			body io.Reader
			want error
		}{
			"fails":                      {io.MultiReader(bytes.NewReader(half), failing{}), errBody},
			"ends too early":             {stream{bytes.NewReader(half)}, nil},
			"ends too early, everywhere": {bytes.NewReader(half), nil},
		} {
			err := h.Put(t.Context(), bucket, "ns/uid/data/key", c.body, size, objectstore.PutOptions{})
			if err == nil || errors.Is(err, objectstore.ErrUnavailable) || (c.want != nil && !errors.Is(err, c.want)) {
				t.Errorf("%s, body %s: got error %v, want one of the body", name, how, err)
			}
		}
	}
	if err := h.Put(t.Context(), bucket, "ns/uid/data/key", failing{}, -1, objectstore.PutOptions{}); err == nil {
		t.Error("a negative size is taken")
	}
	if left := collect(t, h.ListVersions(t.Context(), bucket, "ns/")); len(left) > 0 {
		t.Errorf("%d versions were stored", len(left))
	}
	if left := collect(t, h.ListUploads(t.Context(), bucket, "ns/")); len(left) > 0 {
		t.Errorf("%d uploads were left", len(left))
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBody }

func testIfAbsent(t *testing.T, h Harness) {
	for _, kind := range []Kind{Unversioned, Versioned, Locked} {
		bucket := h.Bucket(t, kind)
		only := objectstore.PutOptions{IfAbsent: true}
		if err := h.Put(t.Context(), bucket, "ns/uid.json", strings.NewReader("first"), 5, only); err != nil {
			t.Fatalf("put the first: %v", err)
		}
		err := h.Put(t.Context(), bucket, "ns/uid.json", strings.NewReader("second"), 6, only)
		wantError(t, "put the second", err, objectstore.ErrPrecondition)
		if got := string(get(t, h, bucket, "ns/uid.json", 0, -1)); got != "first" {
			t.Errorf("the object is %q now", got)
		}
	}
}

func testSessionBounds(t *testing.T, h Harness) {
	policy := sessionPolicy("bucket", "ns/uid/")
	for name, c := range map[string]struct {
		policy string
		life   time.Duration
	}{
		"no policy":       {"", time.Hour},
		"too long policy": {policy + strings.Repeat(" ", objectstore.MaxSessionPolicy), time.Hour},
		"too short life":  {policy, time.Minute},
	} {
		if got, err := h.AssumeRole(t.Context(), c.policy, c.life); err == nil || got != (objectstore.Credentials{}) {
			t.Errorf("%s is taken: %v", name, err)
		}
	}
	got, err := h.AssumeRole(t.Context(), policy, 20*time.Minute)
	if err != nil {
		t.Fatalf("assume role: %v", err)
	}
	if got.AccessKeyID == "" || got.SecretAccessKey == "" || got.SessionToken == "" {
		t.Error("the credentials are not whole")
	}
	if diff := cmp.Diff(time.Now().Add(20*time.Minute), got.ExpiresAt, cmpopts.EquateApproxTime(time.Minute)); diff != "" {
		t.Errorf("end of life (-want +got):\n%s", diff)
	}
}
