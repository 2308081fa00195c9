package audit_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// looking allows what an auditor needs, and nothing else.
const looking = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":["s3:ListBucket","s3:ListBucketVersions","s3:ListBucketMultipartUploads"],"Resource":["arn:aws:s3:::bucket-*","arn:aws:s3:::absent"]},
	{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::bucket-*/lethe-identity.json"]}]}`

// auditorOf makes an auditor of a MinIO, with a policy of its own.
func auditorOf(t *testing.T, server *objectstoretest.MinIO, policy string) *audit.Auditor {
	t.Helper()
	credentials, err := server.Client(t, server.Root).AssumeRole(t.Context(), policy, objectstore.MinSessionLife)
	if err != nil {
		t.Fatalf("assume role: %v", err)
	}
	cfg := server.Config(credentials)
	a, err := audit.New(audit.Config{Endpoint: cfg.Endpoint, CABundle: cfg.CABundle, Credentials: cfg.Credentials})
	if err != nil {
		t.Fatalf("make an auditor: %v", err)
	}
	return a
}

func TestOnMinIO(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	client, a := server.Client(t, server.Root), auditorOf(t, server, looking)
	put := func(t *testing.T, c *objectstore.Client, bucket, key string, size int) {
		t.Helper()
		err := c.Put(t.Context(), bucket, key, bytes.NewReader(make([]byte, size)), int64(size), objectstore.PutOptions{})
		if err != nil {
			t.Fatalf("put: %v", err)
		}
	}
	remove := func(t *testing.T, bucket string, keep int) {
		t.Helper()
		var all []objectstore.Version
		for v, err := range client.ListVersions(t.Context(), bucket, "ns/") {
			if err != nil {
				t.Fatalf("list: %v", err)
			}
			all = append(all, v)
		}
		if err := client.RemoveVersions(t.Context(), bucket, all[keep:]); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	one := func(key string, size int) func(*testing.T, string) {
		return func(t *testing.T, bucket string) {
			t.Helper()
			put(t, client, bucket, key, size)
		}
	}
	for name, c := range map[string]struct {
		prefix string
		fill   func(t *testing.T, bucket string)
		want   bool
		err    error
	}{
		"nothing":           {"ns/uid/", func(*testing.T, string) {}, true, nil},
		"an object":         {"ns/uid/", one("ns/uid/data/x", 1), false, nil},
		"an empty object":   {"ns/uid/", one("ns/uid/data/x", 0), false, nil},
		"a folder":          {"ns/uid/", one("ns/uid/data/", 0), false, nil},
		"an object deep":    {"ns/uid/", one("ns/uid/a/b/c/d/e", 1), false, nil},
		"an unusual object": {"n s/ümlaut+%41&<>/", one("n s/ümlaut+%41&<>/data/\x01", 1), false, nil},
		"an unusual prefix": {"n s/ümlaut+%41&<>/", one("n s/ümlaut+%41&<>", 1), false, objectstore.ErrHidden},
		"an object under a key": {"ns/uid/", func(t *testing.T, b string) {
			t.Helper()
			put(t, client.UnderKey(objectstoretest.Key(t, 1)), b, "ns/uid/data/x", 17<<20)
		}, false, nil},
		"a version under a marker": {"ns/uid/", func(t *testing.T, b string) {
			t.Helper()
			put(t, client, b, "ns/uid/data/x", 1)
			server.Delete(t, b, "ns/uid/data/x")
		}, false, nil},
		"a lone marker": {"ns/uid/", func(t *testing.T, b string) {
			t.Helper()
			put(t, client, b, "ns/uid/data/x", 1)
			server.Delete(t, b, "ns/uid/data/x")
			remove(t, b, 1) // The marker is the newest.
		}, false, nil},
		"an old version": {"ns/uid/", func(t *testing.T, b string) {
			t.Helper()
			put(t, client, b, "ns/uid/data/x", 1)
			put(t, client, b, "ns/uid/data/x", 2)
			put(t, client, b, "ns/uid/data/y", 2)
			remove(t, b, 1)
		}, false, nil},
		"an upload": {"ns/uid/", func(t *testing.T, b string) {
			t.Helper()
			server.BeginUpload(t, b, "ns/uid/data/x")
		}, false, nil},
		"an upload of the name": {"ns/uid/data/x", func(t *testing.T, b string) {
			t.Helper()
			server.BeginUpload(t, b, "ns/uid/data/x")
		}, false, nil},
		"neighbours": {"ns/uid/", func(t *testing.T, b string) {
			t.Helper()
			put(t, client, b, "ns/uid2/data/x", 1)
			put(t, client, b, "ns/ui/data/x", 1)
			put(t, client, b, "lethe-identity.json", 1)
			server.BeginUpload(t, b, "ns/uid2/data/x")
		}, true, nil},
		"all removed": {"ns/uid/", func(t *testing.T, b string) {
			t.Helper()
			put(t, client, b, "ns/uid/data/x", 1)
			server.Delete(t, b, "ns/uid/data/x")
			put(t, client, b, "ns/uid/data/x/y", 17<<20)
			for range 2 {
				remove(t, b, 0)
			}
			upload := server.BeginUpload(t, b, "ns/uid/data/z")
			if err := client.AbortUpload(t.Context(), b, upload); err != nil {
				t.Fatalf("abort: %v", err)
			}
		}, true, nil},
		"removed at once": {"ns/uid/", func(t *testing.T, b string) {
			t.Helper()
			put(t, client, b, "ns/uid/data/x", 1)
			server.Delete(t, b, "ns/uid/data/x")
			if err := client.RemovePrefix(t.Context(), b, "ns/uid/"); err != nil {
				t.Fatalf("remove prefix: %v", err)
			}
		}, true, nil},
		"something hidden": {"ns/uid/", func(t *testing.T, b string) {
			t.Helper()
			put(t, client, b, "ns/uid/data/x", 1)
			put(t, client, b, "ns/uid", 1)
		}, false, objectstore.ErrHidden},
		"a whole bucket":   {"", one("x", 1), false, nil},
		"no bucket at all": {"", func(*testing.T, string) {}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := server.Bucket(t, objectstoretest.Versioned)
			c.fill(t, bucket)
			empty, err := a.Empty(t.Context(), bucket, c.prefix)
			if empty != c.want {
				t.Errorf("empty is %t", empty)
			}
			wantError(t, err, c.err)
		})
	}
}

func TestRightsOnMinIO(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	client, a := server.Client(t, server.Root), auditorOf(t, server, looking)
	bucket := server.Bucket(t, objectstoretest.Versioned)
	empty, err := a.Empty(t.Context(), "absent", prefix)
	if empty {
		t.Error("a bucket that is not there is empty")
	}
	wantError(t, err, objectstore.ErrNotFound)
	// MinIO lists versions for whoever may list objects.
	for _, right := range []string{"s3:ListBucket", "s3:ListBucketMultipartUploads"} {
		poor := auditorOf(t, server, strings.Replace(looking, fmt.Sprintf("%q", right), `"s3:GetBucketLocation"`, 1))
		empty, err := poor.Empty(t.Context(), bucket, prefix)
		if empty {
			t.Errorf("without the right to %s it is empty", right)
		}
		wantError(t, err, objectstore.ErrDenied)
	}
	_, err = a.Identity(t.Context(), bucket)
	wantError(t, err, objectstore.ErrNotFound)
	const identity = `{"kind":"` + objectkey.IdentityKind + `","store":"0123"}`
	err = client.Put(t.Context(), bucket, objectkey.IdentityKey, strings.NewReader(identity), int64(len(identity)), objectstore.PutOptions{})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if got, err := a.Identity(t.Context(), bucket); got != "0123" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	server.Stop()
	empty, err = a.Empty(t.Context(), bucket, prefix)
	if empty {
		t.Error("a server that is down is empty")
	}
	wantError(t, err, objectstore.ErrUnavailable)
}
