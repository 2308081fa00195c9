package uploads_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/uploads"
	"github.com/lethe-dev/lethe/portal/uploads/storetest"
)

var sseKey = bytes.Repeat([]byte{7}, 32)

func TestS3(t *testing.T) {
	t.Parallel()
	store := storetest.Start(t)
	objects := uploads.NewS3("", clock.RealClock{}.Now)
	for name, test := range map[string]func(*testing.T, *storetest.Store, *uploads.S3, portal.Grant){
		"a signed request stores a file under the key":  testSingle,
		"a signed request takes no other length":        testLength,
		"a signed request needs the key":                testKey,
		"parts become a file":                           testParts,
		"an upload that is gone is told apart":          testGone,
		"a manifest is put, also one of many megabytes": testPut,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix := "ns/" + strings.ToLower(strings.ReplaceAll(name, " ", "-")) + "/"
			test(t, store, objects, store.Grant(t, prefix, sseKey))
		})
	}
}

func sign(t *testing.T, objects *uploads.S3, g portal.Grant, r uploads.Request) portal.SignedRequest {
	t.Helper()
	signed, err := objects.Presign(t.Context(), g, r)
	if err != nil {
		t.Fatalf("presign: %v", err)
	}
	if left := signed.ExpiresAt.Sub(g.IssuedAt); left <= 0 || left > time.Minute {
		t.Errorf("the request is good for %s", left)
	}
	return signed
}

func testSingle(t *testing.T, store *storetest.Store, objects *uploads.S3, g portal.Grant) {
	t.Helper()
	for path, body := range map[string]string{"a b+c/ü.txt": "hello", "empty": ""} {
		key := g.Prefix + "data/" + path
		signed := sign(t, objects, g, uploads.Request{Key: key, Part: 1, Length: int64(len(body))})
		if status := store.Send(t, signed, []byte(body)); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		if diff := cmp.Diff(body, string(store.Read(t, key, g.Key))); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	}
}

func testLength(t *testing.T, store *storetest.Store, objects *uploads.S3, g portal.Grant) {
	t.Helper()
	signed := sign(t, objects, g, uploads.Request{Key: g.Prefix + "data/a", Part: 1, Length: 5})
	if status := store.Send(t, signed, []byte("longer than five")); status != http.StatusForbidden {
		t.Errorf("status %d for a body of another length", status)
	}
}

func testKey(t *testing.T, store *storetest.Store, objects *uploads.S3, g portal.Grant) {
	t.Helper()
	signed := sign(t, objects, g, uploads.Request{Key: g.Prefix + "data/a", Part: 1, Length: 5})
	signed.Headers = nil
	if status := store.Send(t, signed, []byte("hello")); status < 400 {
		t.Errorf("status %d without the key", status)
	}
	plain := g
	plain.Key = nil
	signed = sign(t, objects, plain, uploads.Request{Key: g.Prefix + "data/a", Part: 1, Length: 5})
	if status := store.Send(t, signed, []byte("hello")); status != http.StatusForbidden {
		t.Errorf("status %d for a file that would not be under the key", status)
	}
	overHTTP := g
	overHTTP.Endpoint, overHTTP.InsecurePlaintext = "http://127.0.0.1:1", true
	if _, err := objects.Presign(t.Context(), overHTTP, uploads.Request{Key: "k", Length: 1}); err == nil {
		t.Error("the key would go over a line without TLS")
	}
}

func testParts(t *testing.T, store *storetest.Store, objects *uploads.S3, g portal.Grant) {
	t.Helper()
	ctx, key := t.Context(), g.Prefix+"data/large"
	upload, err := objects.Begin(ctx, g, key)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	bodies := [][]byte{bytes.Repeat([]byte("a"), 5<<20), []byte("the rest")}
	for i, body := range bodies {
		signed := sign(t, objects, g, uploads.Request{Key: key, Upload: upload, Part: i + 1, Length: int64(len(body))})
		if status := store.Send(t, signed, body); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	parts, err := objects.Parts(ctx, g, key, upload)
	if err != nil || len(parts) != 2 || parts[0].Size != 5<<20 || parts[1].Size != 8 {
		t.Fatalf("parts: %+v, %v", parts, err)
	}
	if err := objects.Complete(ctx, g, key, upload, parts); err != nil {
		t.Fatalf("complete: %v", err)
	}
	if !bytes.Equal(bytes.Join(bodies, nil), store.Read(t, key, g.Key)) {
		t.Error("other bytes are stored")
	}
	if err := objects.Complete(ctx, g, key, upload, parts); !errors.Is(err, uploads.ErrNoUpload) {
		t.Errorf("completed again: %v", err)
	}
	if _, err := objects.Parts(ctx, g, key, upload); !errors.Is(err, uploads.ErrNoUpload) {
		t.Errorf("parts after it was completed: %v", err)
	}
}

func testGone(t *testing.T, _ *storetest.Store, objects *uploads.S3, g portal.Grant) {
	t.Helper()
	ctx, key := t.Context(), g.Prefix+"data/large"
	upload, err := objects.Begin(ctx, g, key)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	for range 2 {
		if err := objects.Abort(ctx, g, key, upload); err != nil {
			t.Errorf("abort: %v", err)
		}
	}
	if _, err := objects.Parts(ctx, g, key, upload); !errors.Is(err, uploads.ErrNoUpload) {
		t.Errorf("parts after it was aborted: %v", err)
	}
	elsewhere := g
	elsewhere.Endpoint = "https://127.0.0.1:1"
	short, cancel := contextWithTimeout(t, 20*time.Second)
	defer cancel()
	if _, err := objects.Begin(short, elsewhere, key); portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("a store that is away: %v", err)
	}
}

func testPut(t *testing.T, store *storetest.Store, objects *uploads.S3, g portal.Grant) {
	t.Helper()
	for _, size := range []int{100, 17 << 20} {
		want := bytes.Repeat([]byte("m"), size)
		key := g.Prefix + "manifest.jsonl"
		if err := objects.Put(t.Context(), g, key, struct{ *bytes.Buffer }{bytes.NewBuffer(bytes.Clone(want))}, int64(size)); err != nil {
			t.Fatalf("put %d bytes: %v", size, err)
		}
		if !bytes.Equal(want, store.Read(t, key, g.Key)) {
			t.Error("other bytes are stored")
		}
	}
}
