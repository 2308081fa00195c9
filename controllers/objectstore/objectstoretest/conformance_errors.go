package objectstoretest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func testRemove(t *testing.T, h Harness) {
	eachKind(t, h, func(t *testing.T, bucket string, _ Kind) {
		for _, key := range []string{"ns/uid/data/a", "ns/uid/data/b", "ns/uidx/data/a"} {
			put(t, h, bucket, key, "1")
			put(t, h, bucket, key, "2")
		}
		h.Delete(t, bucket, "ns/uid/data/b")
		all := collect(t, h.ListVersions(t.Context(), bucket, "ns/uid/"))
		if err := h.RemoveVersions(t.Context(), bucket, all[:1]); err != nil {
			t.Fatalf("remove one version: %v", err)
		}
		if got := len(collect(t, h.ListVersions(t.Context(), bucket, "ns/uid/"))); got != len(all)-1 {
			t.Errorf("%d of %d versions are left", got, len(all))
		}
		never := all[0]
		never.Key = "ns/uid/data/never"
		for what, versions := range map[string][]objectstore.Version{
			"what is gone, what is left and what never was": append(all, never), "what is gone": all[:1], "nothing": nil,
		} {
			if err := h.RemoveVersions(t.Context(), bucket, versions); err != nil {
				t.Errorf("remove %s: %v", what, err)
			}
		}
		if left := collect(t, h.ListVersions(t.Context(), bucket, "ns/uid/")); len(left) > 0 {
			t.Errorf("%d versions are left", len(left))
		}
		if got := string(get(t, h, bucket, "ns/uidx/data/a", 0, -1)); got != "2" {
			t.Errorf("the neighbour is %q now", got)
		}
	})
}

func testLocked(t *testing.T, h Harness) {
	bucket := h.Bucket(t, Locked)
	put(t, h, bucket, "ns/uid.json", "receipt")
	versions := collect(t, h.ListVersions(t.Context(), bucket, "ns/"))
	wantError(t, "remove a locked version", h.RemoveVersions(t.Context(), bucket, versions), objectstore.ErrDenied)
	if got := string(get(t, h, bucket, "ns/uid.json", 0, -1)); got != "receipt" {
		t.Errorf("the object is %q now", got)
	}
}

// private is what no error may contain: the name of somebody's file.
const private = "alice-diagnosis.pdf"

// operations calls every method of a store once.
func operations() map[string]func(ctx context.Context, s Backend, bucket string) error {
	const key = "ns/uid/data/" + private
	return map[string]func(context.Context, Backend, string) error{
		"list":          func(ctx context.Context, s Backend, b string) error { return errorOf(s.List(ctx, b, key)) },
		"list versions": func(ctx context.Context, s Backend, b string) error { return errorOf(s.ListVersions(ctx, b, key)) },
		"list uploads":  func(ctx context.Context, s Backend, b string) error { return errorOf(s.ListUploads(ctx, b, key)) },
		"get": func(ctx context.Context, s Backend, b string) error {
			return closed(s.Get(ctx, b, key, 0, -1))
		},
		"get nothing": func(ctx context.Context, s Backend, b string) error {
			return closed(s.Get(ctx, b, key, 0, 0))
		},
		"put": func(ctx context.Context, s Backend, b string) error {
			return s.Put(ctx, b, key, strings.NewReader("x"), 1, objectstore.PutOptions{})
		},
		"put if absent": func(ctx context.Context, s Backend, b string) error {
			return s.Put(ctx, b, key, stream{strings.NewReader("x")}, 1, objectstore.PutOptions{IfAbsent: true})
		},
		"put in parts": func(ctx context.Context, s Backend, b string) error {
			return s.Put(ctx, b, key, strings.NewReader(strings.Repeat("x", 17<<20)), 17<<20, objectstore.PutOptions{})
		},
		"remove": func(ctx context.Context, s Backend, b string) error {
			return s.RemoveVersions(ctx, b, []objectstore.Version{{Key: key, ID: "null"}})
		},
		"list from": func(ctx context.Context, s Backend, b string) error {
			return errorOf(s.ListVersionsFrom(ctx, b, "ns/", key))
		},
		"list owners": func(ctx context.Context, s Backend, b string) error { return errorOf(s.ListOwners(ctx, b)) },
		"facts": func(ctx context.Context, s Backend, b string) error {
			_, err := s.Facts(ctx, b)
			return err
		},
		"abort": func(ctx context.Context, s Backend, b string) error {
			return s.AbortUpload(ctx, b, objectstore.Upload{Key: key, ID: "upload"})
		},
	}
}

func testErrors(t *testing.T, h Harness) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	present := h.Bucket(t, Versioned)
	for name, c := range map[string]struct {
		ctx    context.Context //nolint:containedctx // A case of a table.
		store  Backend
		bucket string
		want   error
		only   []string
	}{
		"no bucket":        {t.Context(), h, "absent", objectstore.ErrNotFound, nil},
		"no object":        {t.Context(), h, present, objectstore.ErrNotFound, []string{"get", "get nothing"}},
		"no server":        {t.Context(), h.Down, present, objectstore.ErrUnavailable, nil},
		"not known":        {t.Context(), h.Stranger, present, objectstore.ErrDenied, nil},
		"context is ended": {cancelled, h, present, context.Canceled, nil},
	} {
		for op, do := range operations() {
			if c.only != nil && !strings.Contains(strings.Join(c.only, ","), op) {
				continue
			}
			t.Run(name+", "+op, func(t *testing.T) {
				t.Parallel()
				begun := time.Now()
				wantError(t, op, do(c.ctx, c.store, c.bucket), c.want)
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("took %s", took)
				}
			})
		}
	}
	for name, c := range map[string]struct {
		store Backend
		want  error
	}{"no server": {h.Down, objectstore.ErrUnavailable}, "not known": {h.Stranger, objectstore.ErrDenied}} {
		_, err := c.store.AssumeRole(t.Context(), sessionPolicy(present, "ns/uid/"), time.Hour)
		wantError(t, name+", assume role", err, c.want)
	}
	_, err := h.AssumeRole(cancelled, sessionPolicy(present, "ns/uid/"), time.Hour)
	wantError(t, "context is ended, assume role", err, context.Canceled)
}

// wantError wants exactly one of the kinds of errors, and no key in its text.
func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	for _, kind := range []error{
		objectstore.ErrNotFound, objectstore.ErrPrecondition, objectstore.ErrDenied, objectstore.ErrUnavailable,
		objectstore.ErrKey, objectstore.ErrUnsupported, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, kind) != errors.Is(want, kind) {
			t.Errorf("%s: got error %v, want %v", what, err, want)
		}
	}
	if err != nil && (strings.Contains(err.Error(), private) || strings.Contains(err.Error(), "ns/uid")) {
		t.Errorf("%s: the error names a key: %v", what, err)
	}
}

func errorOf[T any](entries func(yield func(T, error) bool)) error {
	var last error
	for _, err := range entries {
		last = err
	}
	return last
}

func closed(body io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	return body.Close()
}

// sessionPolicy allows to read and write, not to remove, below a prefix.
func sessionPolicy(bucket, prefix string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::%[1]s/%[2]s*"]},
		{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::%[1]s"],"Condition":{"StringLike":{"s3:prefix":["%[2]s*"]}}}]}`,
		bucket, prefix)
}

func testPolicies(t *testing.T, h Harness) {
	if h.As == nil {
		return // This store does not enforce policies and does not say so.
	}
	bucket, other := h.Bucket(t, Versioned), h.Bucket(t, Versioned)
	for _, b := range []string{bucket, other} {
		put(t, h, b, "ns/uid/data/"+private, "mine")
		put(t, h, b, "ns/other/data/"+private, "not mine")
	}
	versions := collect(t, h.ListVersions(t.Context(), bucket, "ns/uid/"))
	credentials, err := h.AssumeRole(t.Context(), sessionPolicy(bucket, "ns/uid/"), objectstore.MinSessionLife)
	if err != nil {
		t.Fatalf("assume role: %v", err)
	}
	s := h.As(t, credentials)
	own := Harness{Backend: s}
	if got := string(get(t, own, bucket, "ns/uid/data/"+private, 0, -1)); got != "mine" {
		t.Errorf("got %q", got)
	}
	put(t, own, bucket, "ns/uid/data/new", "x")
	if err := s.Put(t.Context(), bucket, "ns/uid/data/parts", strings.NewReader(strings.Repeat("x", 17<<20)), 17<<20, objectstore.PutOptions{}); err != nil {
		t.Errorf("put in parts: %v", err)
	}
	if got := len(collect(t, s.List(t.Context(), bucket, "ns/uid/"))); got != 3 {
		t.Errorf("listed %d objects", got)
	}
	_, beget := s.AssumeRole(t.Context(), sessionPolicy(bucket, "ns/"), time.Hour)
	for what, err := range map[string]error{
		"read another's":          closed(s.Get(t.Context(), bucket, "ns/other/data/"+private, 0, -1)),
		"read in another bucket":  closed(s.Get(t.Context(), other, "ns/uid/data/"+private, 0, -1)),
		"write another's":         s.Put(t.Context(), bucket, "ns/other/data/x", strings.NewReader("x"), 1, objectstore.PutOptions{}),
		"list another's":          errorOf(s.List(t.Context(), bucket, "ns/other/")),
		"list all":                errorOf(s.List(t.Context(), bucket, "")),
		"list another's versions": errorOf(s.ListVersions(t.Context(), bucket, "ns/other/")),
		"list uploads":            errorOf(s.ListUploads(t.Context(), bucket, "ns/uid/")),
		"remove its own":          s.RemoveVersions(t.Context(), bucket, versions),
		"make credentials":        beget,
	} {
		wantError(t, what, err, objectstore.ErrDenied)
	}
	if got := len(collect(t, h.ListVersions(t.Context(), bucket, "ns/"))); got != 4 {
		t.Errorf("the bucket holds %d versions, want 4", got)
	}
}
