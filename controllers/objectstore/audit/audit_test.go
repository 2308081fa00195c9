package audit_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
)

var somebody = objectstore.Static(objectstore.Credentials{AccessKeyID: "somebody", SecretAccessKey: "password"})

const prefix = "ns/alice-diagnosis/"

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  audit.Config
		want string
	}{
		"a plain endpoint":         {audit.Config{Endpoint: "http://store:9000", Credentials: somebody}, "not https"},
		"another protocol":         {audit.Config{Endpoint: "ftp://store", Credentials: somebody, AllowPlaintext: true}, "not https"},
		"a bare host":              {audit.Config{Endpoint: "store:9000", Credentials: somebody}, "is not a URL"},
		"no endpoint":              {audit.Config{Credentials: somebody}, "is not a URL"},
		"an endpoint with a path":  {audit.Config{Endpoint: "https://store/path", Credentials: somebody}, "is not a URL"},
		"an endpoint with a user":  {audit.Config{Endpoint: "https://a:b@store", Credentials: somebody}, "is not a URL"},
		"no credentials":           {audit.Config{Endpoint: "https://store"}, "credentials are missing"},
		"a bundle without content": {audit.Config{Endpoint: "https://store", Credentials: somebody, CABundle: []byte("x")}, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := audit.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that says %q", err, c.want)
			}
		})
	}
}

// auditor makes one of a server that is not quite a store.
func auditor(t *testing.T, credentials objectstore.CredentialsFunc, answer http.HandlerFunc) *audit.Auditor {
	t.Helper()
	server := httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	a, err := audit.New(audit.Config{
		Endpoint: server.URL + "/", Credentials: credentials,
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	})
	if err != nil {
		t.Fatalf("make an auditor: %v", err)
	}
	return a
}

// question names what a request asks for: one of the four of Empty, the name that
// may hide something, or the identity.
func question(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case q.Has("uploads") && q.Get("prefix") == "":
		return "all uploads"
	case q.Has("uploads"):
		return "uploads"
	case q.Get("list-type") == "2":
		return "objects"
	case q.Has("versions") && q.Get("delimiter") != "":
		return "hidden"
	case q.Has("versions"):
		return "versions"
	}
	return "identity"
}

// nothing answers as an empty bucket does.
func nothing(r *http.Request, entries string) string {
	root, name := "ListVersionsResult", "Name"
	switch question(r) {
	case "uploads", "all uploads":
		root, name = "ListMultipartUploadsResult", "Bucket"
	case "objects":
		root = "ListBucketResult"
	}
	return fmt.Sprintf(`<?xml version="1.0"?><%s xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><%s>bucket</%[2]s><Prefix>%s</Prefix>`+
		`<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>%s</%[1]s>`, root, name, r.URL.Query().Get("prefix"), entries)
}

func TestEachQuestionCounts(t *testing.T) {
	t.Parallel()
	const key = "ns/alice-diagnosis/data/x"
	for name, c := range map[string]struct {
		asked, entry string
		want         bool
		err          error
	}{
		"nothing":               {"", "", true, nil},
		"a version":             {"versions", "<Version><Key>" + key + "</Key></Version>", false, nil},
		"a marker":              {"versions", "<DeleteMarker><Key>" + key + "</Key></DeleteMarker>", false, nil},
		"a group of keys":       {"versions", "<CommonPrefixes><Prefix>" + prefix + "</Prefix></CommonPrefixes>", false, nil},
		"an object":             {"objects", "<Contents><Key>" + key + "</Key></Contents>", false, nil},
		"an upload":             {"uploads", "<Upload><Key>" + key + "</Key></Upload>", false, nil},
		"an upload, as MinIO":   {"all uploads", "<Upload><Key>x</Key></Upload><Upload><Key>ns%2Falice-diagnosis%2Fdata</Key></Upload>", false, nil},
		"another's upload":      {"all uploads", "<Upload><Key>ns/alice</Key></Upload>", true, nil},
		"a name that hides":     {"hidden", "<Version><Key>ns/alice-diagnosis</Key></Version>", false, objectstore.ErrHidden},
		"a marker that hides":   {"hidden", "<DeleteMarker><Key>ns%2Falice-diagnosis</Key></DeleteMarker>", false, objectstore.ErrHidden},
		"a name that is longer": {"hidden", "<Version><Key>ns/alice-diagnosis-2</Key></Version>", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := auditor(t, somebody, func(w http.ResponseWriter, r *http.Request) {
				entry := ""
				if question(r) == c.asked {
					entry = c.entry
				}
				_, _ = io.WriteString(w, nothing(r, entry))
			})
			empty, err := a.Empty(t.Context(), "bucket", prefix)
			if empty != c.want {
				t.Errorf("empty is %t", empty)
			}
			wantError(t, err, c.err)
		})
	}
}

// wantError wants the kind of error and no key in its text.
func wantError(t *testing.T, err, want error) {
	t.Helper()
	for _, kind := range []error{objectstore.ErrNotFound, objectstore.ErrDenied, objectstore.ErrUnavailable, objectstore.ErrHidden, context.Canceled} {
		if errors.Is(err, kind) != errors.Is(want, kind) {
			t.Errorf("got error %v, want %v", err, want)
		}
	}
	if (err == nil) != (want == nil) || (err != nil && strings.Contains(err.Error(), "alice")) {
		t.Errorf("got error %v, want %v without a key", err, want)
	}
}

var errAny = errors.New("any other")

func TestDoubtIsAnError(t *testing.T) {
	t.Parallel()
	reply := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	changed := func(from, to string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, strings.Replace(nothing(r, ""), from, to, 1))
		}
	}
	const s3Error = `<Error><Code>%s</Code><Message>about ns/alice-diagnosis/</Message></Error>`
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   error
	}{
		"no bucket":              {reply(404, fmt.Sprintf(s3Error, "NoSuchBucket")), objectstore.ErrNotFound},
		"not found, wordless":    {reply(404, ""), objectstore.ErrNotFound},
		"not allowed":            {reply(403, fmt.Sprintf(s3Error, "AccessDenied")), objectstore.ErrDenied},
		"not known":              {reply(401, ""), objectstore.ErrDenied},
		"expired":                {reply(400, fmt.Sprintf(s3Error, "ExpiredToken")), objectstore.ErrDenied},
		"slow down":              {reply(503, fmt.Sprintf(s3Error, "SlowDown")), objectstore.ErrUnavailable},
		"internal error":         {reply(500, fmt.Sprintf(s3Error, "alice diagnosis")), objectstore.ErrUnavailable},
		"too many":               {reply(429, ""), objectstore.ErrUnavailable},
		"not understood":         {reply(400, fmt.Sprintf(s3Error, "InvalidArgument")), errAny},
		"not implemented":        {reply(501, fmt.Sprintf(s3Error, "NotImplemented")), objectstore.ErrUnavailable},
		"elsewhere":              {reply(307, ""), errAny},
		"no contents":            {reply(204, ""), errAny},
		"an empty answer":        {reply(200, ""), objectstore.ErrUnavailable},
		"an error that is OK":    {reply(200, fmt.Sprintf(s3Error, "InternalError")), objectstore.ErrUnavailable},
		"a page for people":      {reply(200, "<html><body>Welcome</body></html>"), objectstore.ErrUnavailable},
		"cut short":              {changed("<IsTruncated>false", ""), objectstore.ErrUnavailable},
		"cut after a tag":        {changed("</IsTruncated>", ""), objectstore.ErrUnavailable},
		"silent about its end":   {changed("<IsTruncated>false</IsTruncated>", ""), objectstore.ErrUnavailable},
		"more to come":           {changed(">false<", ">true<"), objectstore.ErrUnavailable},
		"neither true nor false": {changed(">false<", ">perhaps<"), objectstore.ErrUnavailable},
		"about another bucket":   {changed(">bucket<", ">bucket2<"), objectstore.ErrUnavailable},
		"about another prefix":   {changed("<Prefix>", "<Prefix>x"), objectstore.ErrUnavailable},
		"broken off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = io.WriteString(w, nothing(r, ""))
		}, objectstore.ErrUnavailable},
		"hung up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, objectstore.ErrUnavailable},
		"followed by another": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, nothing(r, "")+nothing(r, ""))
		}, objectstore.ErrUnavailable},
		"without an end": {func(w http.ResponseWriter, _ *http.Request) {
			for range 65 {
				_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20))
			}
		}, errAny},
	} {
		for _, asked := range []string{"versions", "objects", "uploads", "all uploads", "hidden"} {
			if name == "without an end" && asked != "all uploads" {
				continue // It is the same code and takes its time.
			}
			t.Run(name+", "+asked, func(t *testing.T) {
				t.Parallel()
				a := auditor(t, somebody, func(w http.ResponseWriter, r *http.Request) {
					if question(r) == asked {
						c.answer(w, r)
						return
					}
					_, _ = io.WriteString(w, nothing(r, ""))
				})
				empty, err := a.Empty(t.Context(), "bucket", prefix)
				if empty != (c.want == nil) {
					t.Errorf("empty is %t with error %v", empty, err)
				}
				wantError(t, err, c.want)
			})
		}
	}
}

func TestUploadsOverPages(t *testing.T) {
	t.Parallel()
	page := func(r *http.Request, next, key string) string {
		return strings.Replace(nothing(r, "<NextKeyMarker>"+next+"</NextKeyMarker><Upload><Key>"+key+"</Key></Upload>"), ">false<", fmt.Sprintf(">%t<", next != ""), 1)
	}
	for name, c := range map[string]struct {
		pages map[string][2]string // after a marker: the next marker and an upload
		empty bool
		want  error
	}{
		"found on the third":    {map[string][2]string{"": {"b", "a"}, "b": {"ns%2Falice-diagnosis%2Fa", "c"}, "ns/alice-diagnosis/a": {"", "ns/alice-diagnosis/b"}}, false, nil},
		"not found":             {map[string][2]string{"": {"b", "a"}, "b": {"", "c"}}, true, nil},
		"a listing on the spot": {map[string][2]string{"": {"b", "a"}, "b": {"b", "c"}}, false, objectstore.ErrUnavailable},
		"a listing in a circle": {map[string][2]string{"": {"b", "a"}, "b": {"c", "c"}, "c": {"b", "c"}}, false, objectstore.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := auditor(t, somebody, func(w http.ResponseWriter, r *http.Request) {
				if question(r) != "all uploads" {
					_, _ = io.WriteString(w, nothing(r, ""))
					return
				}
				p := c.pages[r.URL.Query().Get("key-marker")]
				_, _ = io.WriteString(w, page(r, p[0], p[1]))
			})
			empty, err := a.Empty(t.Context(), "bucket", prefix)
			if empty != c.empty {
				t.Errorf("empty is %t", empty)
			}
			wantError(t, err, c.want)
		})
	}
}

func TestCredentialsOfTheAuditor(t *testing.T) {
	t.Parallel()
	errRefused := errors.New("no Secret")
	var requests atomic.Int64
	count := func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=somebody/") {
			t.Errorf("a request is signed %q", r.Header.Get("Authorization"))
		}
		_, _ = io.WriteString(w, nothing(r, ""))
	}
	for name, ask := range map[string]objectstore.CredentialsFunc{
		"none to be had": func(context.Context) (objectstore.Credentials, error) { return objectstore.Credentials{}, errRefused },
		"empty ones":     objectstore.Static(objectstore.Credentials{}),
	} {
		if empty, err := auditor(t, ask, count).Empty(t.Context(), "bucket", prefix); empty || err == nil {
			t.Errorf("%s: empty is %t without an error", name, empty)
		}
	}
	for _, bucket := range []string{"", ".", "..", "a/b", "a?b", "a#b", "a%2fb"} {
		if empty, err := auditor(t, somebody, count).Empty(t.Context(), bucket, prefix); empty || err == nil {
			t.Errorf("a bucket %q: empty is %t without an error", bucket, empty)
		}
	}
	if requests.Load() > 0 {
		t.Errorf("%d requests were sent", requests.Load())
	}
	if empty, err := auditor(t, somebody, count).Empty(t.Context(), "bucket", prefix); !empty || err != nil {
		t.Errorf("empty is %t with error %v", empty, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	silent := auditor(t, somebody, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if _, err := silent.Empty(ctx, "bucket", prefix); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status     int
		body, want string
		err        error
	}{
		"as it should be":  {200, `{"kind":"` + objectkey.IdentityKind + `","store":"0123"}`, "0123", nil},
		"of another kind":  {200, `{"kind":"x","store":"0123"}`, "", errAny},
		"without a store":  {200, `{"kind":"` + objectkey.IdentityKind + `"}`, "", errAny},
		"not JSON":         {200, `<html>`, "", errAny},
		"nothing":          {200, ``, "", errAny},
		"too long":         {200, `{"kind":"` + objectkey.IdentityKind + `","store":"` + strings.Repeat("0", 5000) + `"}`, "", errAny},
		"not there":        {404, `<Error><Code>NoSuchKey</Code></Error>`, "", objectstore.ErrNotFound},
		"not to be read":   {403, `<Error><Code>AccessDenied</Code></Error>`, "", objectstore.ErrDenied},
		"not there today":  {503, `<Error><Code>SlowDown</Code></Error>`, "", objectstore.ErrUnavailable},
		"an empty success": {204, ``, "", errAny},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := auditor(t, somebody, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/bucket/lethe-identity.json" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			got, err := a.Identity(t.Context(), "bucket")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			wantError(t, err, c.err)
		})
	}
}
