package objectstore_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// wantKind wants exactly one of the kinds of errors, and no key in its text.
func wantKind(t *testing.T, err, want error) {
	t.Helper()
	for _, kind := range []error{
		objectstore.ErrNotFound, objectstore.ErrPrecondition, objectstore.ErrDenied, objectstore.ErrUnavailable,
		objectstore.ErrKey, objectstore.ErrUnsupported, objectstore.ErrHidden,
	} {
		if errors.Is(err, kind) != errors.Is(want, kind) {
			t.Errorf("got error %v, want %v", err, want)
		}
	}
	if (err == nil) != (want == nil) || (err != nil && strings.Contains(err.Error(), "alice")) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// configured is a server with such a configuration of its buckets. What is not set
// is not there, as S3 says it.
func configured(t *testing.T, name string, answers map[string]string) (client *objectstore.Client, removed *[]string) {
	t.Helper()
	removed = &[]string{}
	return serve(t, somebody, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", name)
		if r.Method == http.MethodDelete {
			*removed = append(*removed, r.URL.Path+" "+r.Header.Get("X-Minio-Force-Delete"))
			w.WriteHeader(http.StatusNoContent)
			return
		}
		for what, code := range map[string]string{
			"versioning": "", "notification": "", "object-lock": "ObjectLockConfigurationNotFoundError",
			"replication": "ReplicationConfigurationNotFoundError", "lifecycle": "NoSuchLifecycleConfiguration",
		} {
			if !r.URL.Query().Has(what) {
				continue
			}
			if answer := answers[what]; strings.HasPrefix(answer, "<") {
				_, _ = io.WriteString(w, answer)
				return
			} else if answer != "" {
				code = answer
			}
			switch code {
			case "":
				fmt.Fprintf(w, "<%sConfiguration></%[1]sConfiguration>", strings.ToUpper(what[:1])+what[1:])
			case "AccessDenied":
				w.WriteHeader(http.StatusForbidden)
			case "NotImplemented":
				w.WriteHeader(http.StatusNotImplemented)
				fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
			default:
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
			}
		}
	}), removed
}

func TestFactsOfOtherStores(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		server      string
		answers     map[string]string
		want        objectstore.BucketFacts
		err         error
		unsupported error // of RemovePrefix
	}{
		"MinIO with nothing set": {"MinIO", nil, objectstore.BucketFacts{Server: "MinIO"}, nil, nil},
		"another store":          {"AmazonS3", nil, objectstore.BucketFacts{Server: "AmazonS3"}, nil, objectstore.ErrUnsupported},
		"a store without a name": {"", nil, objectstore.BucketFacts{}, nil, objectstore.ErrUnsupported},
		"a store that knows nothing of it": {
			"Other",
			map[string]string{"object-lock": "NotImplemented", "replication": "NotImplemented", "notification": "NotImplemented", "lifecycle": "NotImplemented"},
			objectstore.BucketFacts{Server: "Other"},
			nil, objectstore.ErrUnsupported,
		},
		"suspended versions": {
			"MinIO",
			map[string]string{"versioning": "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"},
			objectstore.BucketFacts{Server: "MinIO", Versioning: objectstore.VersioningSuspended},
			nil, nil,
		},
		"a lock for years": {
			"MinIO",
			map[string]string{"object-lock": "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Years>2</Years></DefaultRetention></Rule></ObjectLockConfiguration>"},
			objectstore.BucketFacts{Server: "MinIO", ObjectLock: true, DefaultRetention: 2 * 365 * day},
			nil, objectstore.ErrUnsupported,
		},
		"a lock without a default": {
			"MinIO",
			map[string]string{"object-lock": "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"},
			objectstore.BucketFacts{Server: "MinIO", ObjectLock: true},
			nil, objectstore.ErrUnsupported,
		},
		"copies elsewhere": {
			"MinIO",
			map[string]string{"replication": "<ReplicationConfiguration><Rule><Status>Enabled</Status></Rule></ReplicationConfiguration>"},
			objectstore.BucketFacts{Server: "MinIO", Replication: true},
			nil, objectstore.ErrUnsupported,
		},
		"somebody who is told": {
			"MinIO",
			map[string]string{"notification": "<NotificationConfiguration><QueueConfiguration><Queue>arn:minio:sqs::1:webhook</Queue><Event>s3:ObjectRemoved:*</Event></QueueConfiguration></NotificationConfiguration>"},
			objectstore.BucketFacts{Server: "MinIO", Notification: true},
			nil, objectstore.ErrUnsupported,
		},
		"rules that remove": {
			"MinIO",
			map[string]string{"lifecycle": "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter></Filter><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"},
			objectstore.BucketFacts{Server: "MinIO", Lifecycle: true},
			nil, nil,
		},
		"rules that moved once": {
			"MinIO",
			map[string]string{"lifecycle": "<LifecycleConfiguration><Rule><Status>Disabled</Status><Filter></Filter><Transition><Days>1</Days><StorageClass>COLD</StorageClass></Transition></Rule></LifecycleConfiguration>"},
			objectstore.BucketFacts{Server: "MinIO", Tiering: true},
			nil, objectstore.ErrUnsupported,
		},
		"no bucket": {"MinIO", map[string]string{"replication": "NoSuchBucket"}, objectstore.BucketFacts{}, objectstore.ErrNotFound, objectstore.ErrNotFound},
		"cut short": {"MinIO", map[string]string{"object-lock": "<ObjectLockConfiguration>"}, objectstore.BucketFacts{}, objectstore.ErrUnavailable, objectstore.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, removed := configured(t, c.server, c.answers)
			got, err := client.Facts(t.Context(), "bucket")
			wantKind(t, err, c.err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			wantKind(t, client.RemovePrefix(t.Context(), "bucket", "ns/uid/"), c.unsupported)
			var want []string
			if c.unsupported == nil {
				want = []string{"/bucket/ns/uid/ true"}
			}
			if diff := cmp.Diff(want, *removed, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("removals (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRemovePrefixNeedsToKnow(t *testing.T) {
	t.Parallel()
	client, removed := configured(t, "MinIO", map[string]string{"replication": "AccessDenied"})
	_, err := client.Facts(t.Context(), "bucket")
	wantKind(t, err, objectstore.ErrDenied)
	wantKind(t, client.RemovePrefix(t.Context(), "bucket", "ns/uid/"), objectstore.ErrUnsupported)
	if len(*removed) > 0 {
		t.Errorf("removed %q", *removed)
	}
}

// TestHiddenPrefix pins down what ErrHidden is about: MinIO lists nothing, although
// the object can be read.
func TestHiddenPrefix(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	client := server.Client(t, server.Root)
	for name, marker := range map[string]bool{"an object at the prefix": false, "a marker at the prefix": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := server.Bucket(t, objectstoretest.Versioned)
			for _, key := range []string{"ns/uid/data/x", "ns/uid"} {
				if err := client.Put(t.Context(), bucket, key, strings.NewReader("x"), 1, objectstore.PutOptions{}); err != nil {
					t.Fatalf("put: %v", err)
				}
			}
			if marker {
				server.Delete(t, bucket, "ns/uid")
			}
			for prefix, want := range map[string]error{"ns/uid/": objectstore.ErrHidden, "ns/uid/data/": nil, "ns/uid": nil, "ns/": nil, "ns/other/": nil} {
				var last error
				for _, err := range client.ListVersions(t.Context(), bucket, prefix) {
					last = err
				}
				if !errors.Is(last, want) {
					t.Errorf("the listing of %q ends with %v, want %v", prefix, last, want)
				}
			}
			body, err := client.Get(t.Context(), bucket, "ns/uid/data/x", 0, -1)
			if err != nil {
				t.Fatalf("nothing was hidden: %v", err)
			}
			if err := body.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestRightsForPrefix: s3:DeleteObject is all that it takes to remove a prefix, and it
// can be given for that one alone. Reading the configuration takes the other rights.
func TestRightsForPrefix(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	root := server.Client(t, server.Root)
	bucket := server.Bucket(t, objectstoretest.Versioned)
	const policy = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:GetBucketVersioning","s3:GetBucketObjectLockConfiguration","s3:GetReplicationConfiguration",
			"s3:GetBucketNotification","s3:GetLifecycleConfiguration"],"Resource":["arn:aws:s3:::%[1]s"]},
		{"Effect":"Allow","Action":["s3:DeleteObject"],"Resource":["arn:aws:s3:::%[1]s/ns/uid/*"]}]}`
	as := func(policy string) *objectstore.Client {
		credentials, err := root.AssumeRole(t.Context(), fmt.Sprintf(policy, bucket), objectstore.MinSessionLife)
		if err != nil {
			t.Fatalf("assume role: %v", err)
		}
		return server.Client(t, credentials)
	}
	for _, key := range []string{"ns/uid/data/x", "ns/uid/data/x", "ns/other/data/x"} {
		if err := root.Put(t.Context(), bucket, key, strings.NewReader("x"), 1, objectstore.PutOptions{}); err != nil {
			t.Fatalf("put: %v", err)
		}
	}
	wantKind(t, as(strings.Replace(policy, `"s3:DeleteObject"`, `"s3:DeleteObjectVersion"`, 1)).RemovePrefix(t.Context(), bucket, "ns/uid/"), objectstore.ErrDenied)
	wantKind(t, as(policy).RemovePrefix(t.Context(), bucket, "ns/other/"), objectstore.ErrDenied)
	wantKind(t, as(policy).RemovePrefix(t.Context(), bucket, "ns/uid/"), nil)
	var left []string
	for v, err := range root.ListVersions(t.Context(), bucket, "") {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		left = append(left, v.Key)
	}
	if diff := cmp.Diff([]string{"ns/other/data/x"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	for _, right := range []string{
		"s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration", "s3:GetReplicationConfiguration", "s3:GetBucketNotification", "s3:GetLifecycleConfiguration",
	} {
		_, err := as(strings.Replace(policy, right, "s3:GetBucketLocation", 1)).Facts(t.Context(), bucket)
		wantKind(t, err, objectstore.ErrDenied)
	}
}
