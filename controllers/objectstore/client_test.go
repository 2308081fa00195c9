package objectstore_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

var somebody = objectstore.Static(objectstore.Credentials{AccessKeyID: "somebody", SecretAccessKey: "password"})

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  objectstore.Config
		want string
	}{
		"a plain endpoint":         {objectstore.Config{Endpoint: "http://store:9000", Credentials: somebody}, "is not https"},
		"a bare host":              {objectstore.Config{Endpoint: "store:9000", Credentials: somebody}, "is not a URL"},
		"no endpoint":              {objectstore.Config{Credentials: somebody}, "is not a URL"},
		"an endpoint with a path":  {objectstore.Config{Endpoint: "https://store/path", Credentials: somebody}, "more than a host"},
		"no credentials":           {objectstore.Config{Endpoint: "https://store"}, "credentials are missing"},
		"a bundle without content": {objectstore.Config{Endpoint: "https://store", Credentials: somebody, CABundle: []byte("x")}, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := objectstore.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that says %q", err, c.want)
			}
		})
	}
}

// serve makes a client of a server that is not quite a store.
func serve(t *testing.T, ask objectstore.CredentialsFunc, answer http.HandlerFunc) *objectstore.Client {
	t.Helper()
	server := httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	client, err := objectstore.New(objectstore.Config{
		Endpoint: server.URL, Credentials: ask,
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	return client
}

const privateKey = "ns/uid/data/alice-diagnosis.pdf"

func TestAnswersAreToldApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		code   string
		want   error
	}{
		"missing key":           {404, "NoSuchKey", objectstore.ErrNotFound},
		"missing, in a word":    {404, "SomethingNew", objectstore.ErrNotFound},
		"slow down":             {503, "SlowDown", objectstore.ErrUnavailable},
		"internal error":        {500, "InternalError", objectstore.ErrUnavailable},
		"bad gateway":           {502, "", objectstore.ErrUnavailable},
		"too many requests":     {429, "TooManyRequests", objectstore.ErrUnavailable},
		"damaged on its way":    {400, "BadDigest", objectstore.ErrUnavailable},
		"not allowed":           {403, "AccessDenied", objectstore.ErrDenied},
		"expired":               {400, "ExpiredToken", objectstore.ErrDenied},
		"signature of the past": {403, "RequestTimeTooSkewed", objectstore.ErrDenied},
		"there already":         {412, "PreconditionFailed", objectstore.ErrPrecondition},
		"there in a moment":     {409, "ConditionalRequestConflict", objectstore.ErrUnavailable},
		"not understood":        {400, "InvalidArgument", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, somebody, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				fmt.Fprintf(w, "<Error><Code>%s</Code><Message>about %s</Message><Key>%[2]s</Key></Error>", c.code, privateKey)
			})
			_, err := client.Get(t.Context(), "bucket", privateKey, 0, -1)
			if err == nil || strings.Contains(err.Error(), "alice") {
				t.Errorf("got error %v, want one without a key", err)
			}
			for _, kind := range []error{objectstore.ErrNotFound, objectstore.ErrPrecondition, objectstore.ErrDenied, objectstore.ErrUnavailable} {
				if errors.Is(err, kind) != errors.Is(c.want, kind) {
					t.Errorf("got error %v, want %v", err, c.want)
				}
			}
		})
	}
}

func TestBrokenTransfersNeverLookWhole(t *testing.T) {
	t.Parallel()
	client := serve(t, somebody, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `<ListVersionsResult><Version><Key>ns/uid/data/a</Key></Version>`)
	})
	body, err := client.Get(t.Context(), "bucket", privateKey, 0, -1)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	if _, err := io.ReadAll(body); !errors.Is(err, objectstore.ErrUnavailable) || errors.Is(err, io.EOF) {
		t.Errorf("a body that broke off ends with %v", err)
	}
	if err := body.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	var last error
	for _, err := range client.ListVersions(t.Context(), "bucket", "ns/uid/") {
		last = err
	}
	if !errors.Is(last, objectstore.ErrUnavailable) {
		t.Errorf("a listing that broke off ends with %v", last)
	}
	other, err := objectstore.New(objectstore.Config{Endpoint: "https://127.0.0.1:1", Credentials: somebody})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	if _, err := other.Get(t.Context(), "bucket", privateKey, 0, -1); !errors.Is(err, objectstore.ErrUnavailable) || strings.Contains(err.Error(), "alice") {
		t.Errorf("a closed port gives %v", err)
	}
}

func TestServerThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // It would tell of handshakes.
	server.StartTLS()
	t.Cleanup(server.Close)
	client, err := objectstore.New(objectstore.Config{Endpoint: server.URL, Credentials: somebody})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	_, err = client.Get(t.Context(), "bucket", privateKey, 0, -1)
	if !errors.Is(err, objectstore.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got error %v, want one about the certificate", err)
	}
}

func TestRemoveTakesOnlyWhatIsConfirmed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		single int // status of the question about one version
		want   []string
	}{
		"all confirmed":                {`<Deleted><Key>a</Key><VersionId>1</VersionId></Deleted><Deleted><Key>b</Key><VersionId>2</VersionId></Deleted>`, 500, nil},
		"one was absent":               {`<Deleted><Key>a</Key><VersionId>1</VersionId></Deleted><Error><Key>b</Key><VersionId>2</VersionId><Code>NoSuchVersion</Code></Error>`, 204, nil},
		"one is refused without cause": {`<Deleted><Key>a</Key><VersionId>1</VersionId></Deleted><Error><Key>b</Key><VersionId>2</VersionId><Code>InvalidArgument</Code></Error>`, 400, []string{"1 not removed", "InvalidArgument"}},
		"one is not mentioned":         {`<Deleted><Key>a</Key><VersionId>1</VersionId></Deleted>`, 403, []string{"1 not removed", "denied"}},
		"one is not mentioned, gone":   {`<Deleted><Key>a</Key><VersionId>1</VersionId></Deleted>`, 204, nil},
		"none is mentioned":            {``, 400, []string{"2 not removed"}},
		"two for two causes":           {`<Error><Key>a</Key><VersionId>1</VersionId><Code>AccessDenied</Code><Message>a</Message></Error><Error><Key>b</Key><VersionId>2</VersionId><Code>InternalError</Code></Error>`, 500, []string{"AccessDenied", "InternalError", "1 not removed"}},
		"two for one cause":            {`<Error><Key>a</Key><VersionId>1</VersionId><Code>AccessDenied</Code></Error><Error><Key>b</Key><VersionId>2</VersionId><Code>AccessDenied</Code></Error>`, 500, []string{"2 not removed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, somebody, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					fmt.Fprintf(w, `<DeleteResult>%s</DeleteResult>`, c.answer)
					return
				}
				w.WriteHeader(c.single)
				if c.single == http.StatusBadRequest {
					_, _ = io.WriteString(w, `<Error><Code>InvalidArgument</Code></Error>`)
				}
			})
			err := client.RemoveVersions(t.Context(), "bucket", []objectstore.Version{{Key: "a", ID: "1"}, {Key: "b", ID: "2"}})
			if (err == nil) != (c.want == nil) {
				t.Fatalf("got error %v, want one that says %q", err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v, want one that says %q", err, want)
				}
			}
		})
	}
}

func TestUploadsOverPages(t *testing.T) {
	t.Parallel()
	page := func(next string, keys ...string) string {
		text := `<ListMultipartUploadsResult><IsTruncated>` + fmt.Sprint(next != "") + `</IsTruncated><NextKeyMarker>` + next + `</NextKeyMarker>`
		for _, key := range keys {
			text += `<Upload><Key>` + key + `</Key><UploadId>1</UploadId></Upload>`
		}
		return text + `</ListMultipartUploadsResult>`
	}
	var requests atomic.Int64
	// A store in S3's order that ignores the prefix, as a bad day of MinIO's would.
	client := serve(t, somebody, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		query := r.URL.Query()
		switch {
		case query.Get("prefix") != "":
			_, _ = io.WriteString(w, page("", "ns/uid/b"))
		case query.Get("key-marker") == "ns/uid/":
			_, _ = io.WriteString(w, page("ns/uid/b", "ns/uid/a", "ns/uid/b"))
		case query.Get("key-marker") == "ns/uid/b":
			_, _ = io.WriteString(w, page("ns/uid0", "ns/uid/c", "ns/uid0"))
		default:
			t.Errorf("asked for the page after %q", query.Get("key-marker"))
		}
	})
	var got []string
	for upload, err := range client.ListUploads(t.Context(), "bucket", "ns/uid/") {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		got = append(got, upload.Key)
	}
	if diff := cmp.Diff([]string{"ns/uid/b", "ns/uid/a", "ns/uid/c"}, got); diff != "" {
		t.Errorf("uploads (-want +got):\n%s", diff)
	}
	if requests.Load() != 3 {
		t.Errorf("took %d requests, want 3", requests.Load())
	}
}

func TestCredentialsOfTheMoment(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var seen []string
	rotating := func(context.Context) (objectstore.Credentials, error) {
		return objectstore.Credentials{AccessKeyID: fmt.Sprintf("key-%d", asked.Add(1)), SecretAccessKey: "s", SessionToken: "t"}, nil
	}
	client := serve(t, rotating, func(w http.ResponseWriter, r *http.Request) {
		_, after, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		id, _, _ := strings.Cut(after, "/")
		seen = append(seen, id)
		if r.URL.Query().Get("continuation-token") == "" {
			_, _ = io.WriteString(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>2</NextContinuationToken></ListBucketResult>`)
			return
		}
		_, _ = io.WriteString(w, `<ListBucketResult></ListBucketResult>`)
	})
	for _, err := range client.List(t.Context(), "bucket", "ns/") {
		t.Errorf("list: %v", err)
	}
	if diff := cmp.Diff([]string{"key-1", "key-2"}, seen); diff != "" {
		t.Errorf("keys that signed the two pages (-want +got):\n%s", diff)
	}
}

func TestCredentialsThatAreNotToBeHad(t *testing.T) {
	t.Parallel()
	errRefused := errors.New("the run has ended")
	none := func(context.Context) (objectstore.Credentials, error) {
		return objectstore.Credentials{}, errRefused
	}
	stuck := func(ctx context.Context) (objectstore.Credentials, error) {
		<-ctx.Done()
		return objectstore.Credentials{}, ctx.Err()
	}
	never := func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }
	err := serve(t, none, never).Put(t.Context(), "bucket", "key", strings.NewReader(""), 0, objectstore.PutOptions{})
	if !errors.Is(err, errRefused) || errors.Is(err, objectstore.ErrUnavailable) {
		t.Errorf("got error %v, want %v", err, errRefused)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := serve(t, stuck, never).Get(ctx, "bucket", "key", 0, -1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestSmallPutIsTriedAgain(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	var bodies sync.Map // what was sent, with its checksum at the end
	client := serve(t, somebody, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies.Store(string(body), true)
		if tries.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	if err := client.Put(t.Context(), "bucket", "key", strings.NewReader("contents"), 8, objectstore.PutOptions{}); err != nil || tries.Load() != 3 {
		t.Errorf("after %d tries: %v", tries.Load(), err)
	}
	sent := 0
	for body := range bodies.Range {
		sent++
		if !strings.Contains(body.(string), "x-amz-checksum-crc32c:") {
			t.Errorf("there is no checksum in %q", body)
		}
	}
	if sent != 1 {
		t.Errorf("the tries differ in %d ways", sent)
	}
	tries.Store(0)
	once := struct{ io.Reader }{strings.NewReader("contents")}
	if err := client.Put(t.Context(), "bucket", "key", once, 8, objectstore.PutOptions{}); !errors.Is(err, objectstore.ErrUnavailable) || tries.Load() != 1 {
		t.Errorf("a body that can be read once: after %d tries: %v", tries.Load(), err)
	}
}

// TestUploadsAfterRestart pins down the limit that ListUploads names.
func TestUploadsAfterRestart(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	bucket := server.Bucket(t, objectstoretest.Unversioned)
	upload := server.BeginUpload(t, bucket, "ns/uid/data/a/b")
	server.Stop()
	server.Start(t)
	client := server.Client(t, server.Root)
	found := func(prefix string) (uploads []objectstore.Upload) {
		for u, err := range client.ListUploads(t.Context(), bucket, prefix) {
			if err != nil {
				t.Fatalf("list: %v", err)
			}
			uploads = append(uploads, u)
		}
		return uploads
	}
	if diff := cmp.Diff([]objectstore.Upload{upload}, found(upload.Key)); diff != "" {
		t.Errorf("uploads of the key (-want +got):\n%s", diff)
	}
	if got := found("ns/uid/"); len(got) > 0 {
		t.Errorf("MinIO shows uploads by prefix after a restart: say so in ListUploads: %v", got)
	}
}
