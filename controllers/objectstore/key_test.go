package objectstore_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

func TestNewKey(t *testing.T) {
	t.Parallel()
	raw := []byte("0123456789abcdef0123456789abcdef")
	k, err := objectstore.NewKey(raw)
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	if !bytes.Equal(k.Bytes(), raw) || k.IsZero() {
		t.Error("the key is not what it was made of")
	}
	k.Bytes()[0]++
	raw[1]++
	again, err := objectstore.NewKey([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil || k != again {
		t.Error("the key has changed from outside")
	}
	// printf 'lethe.dev/key-id\n0123456789abcdef0123456789abcdef' | sha256sum | head -c 32
	const id = "ed69595c72c964262dce3071407a804d"
	if k.ID() != id || k.ID() != again.ID() || k.ID() == objectstoretest.Key(t, 1).ID() {
		t.Errorf("the ID is %q", k.ID())
	}
	var none objectstore.Key
	if !none.IsZero() || none.Bytes() != nil || none.ID() != "" || none == k {
		t.Error("the zero key is not nothing")
	}
	for name, raw := range map[string][]byte{"nothing": nil, "too short": make([]byte, 31), "too long": bytes.Repeat([]byte{1}, 33), "zeros": make([]byte, 32)} {
		if k, err := objectstore.NewKey(raw); err == nil || !k.IsZero() {
			t.Errorf("%s makes a key", name)
		}
	}
}

func TestKeyIsNeverShown(t *testing.T) {
	t.Parallel()
	const raw = "only-these-32-bytes-are-secret!!"
	k, err := objectstore.NewKey([]byte(raw))
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	type holder struct {
		Key objectstore.Key
		ptr *objectstore.Key
		key objectstore.Key
	}
	var out bytes.Buffer
	client, err := objectstore.New(objectstore.Config{Endpoint: "https://store", Credentials: somebody})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%08b", "%T %[1]v"} {
		fmt.Fprintf(&out, verb+"\n", k)
		fmt.Fprintf(&out, verb+"\n", holder{Key: k, ptr: &k, key: k})
		fmt.Fprintf(&out, verb+"\n", []objectstore.Key{k})
		fmt.Fprintf(&out, verb+"\n", client.UnderKey(k))
		fmt.Fprintf(&out, verb+"\n", map[objectstore.Key]objectstore.Key{k: k})
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("a key", "key", k, "holder", holder{Key: k, key: k})
	}
	for _, v := range []any{k, &k, holder{Key: k, key: k}, map[objectstore.Key]int{k: 1}} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Errorf("encode: %v", err)
		}
		out.Write(data)
	}
	text := out.String()
	for _, shown := range []string{
		raw, raw[:8], hex.EncodeToString([]byte(raw))[:16], strings.ToUpper(hex.EncodeToString([]byte(raw)))[:16],
		base64.StdEncoding.EncodeToString([]byte(raw))[:16], "111 110 108", "01101111 01101110",
	} {
		if strings.Contains(text, shown) {
			at := strings.Index(text, shown)
			t.Errorf("the key is shown as %q: %q", shown, text[max(0, at-200):at])
		}
	}
	if !strings.Contains(text, "[key]") {
		t.Errorf("nothing is shown at all: %s", text)
	}
}

func TestKeysStayOffPlainWires(t *testing.T) {
	t.Parallel()
	var requests []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests = append(requests, r.Method)
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	t.Cleanup(server.Close)
	if _, err := objectstore.New(objectstore.Config{Endpoint: server.URL, Credentials: somebody}); err == nil {
		t.Error("a plain endpoint is taken without being allowed")
	}
	client, err := objectstore.New(objectstore.Config{Endpoint: server.URL, Credentials: somebody, AllowPlaintext: true})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	under := client.UnderKey(objectstoretest.Key(t, 7))
	put := func(c *objectstore.Client) error {
		return c.Put(t.Context(), "bucket", privateKey, strings.NewReader("x"), 1, objectstore.PutOptions{})
	}
	_, errGet := under.Get(t.Context(), "bucket", privateKey, 0, -1)
	_, errTouch := under.Get(t.Context(), "bucket", privateKey, 0, 0)
	for what, err := range map[string]error{"put": put(under), "get": errGet, "touch": errTouch} {
		if err == nil || !strings.Contains(err.Error(), "is not https") || strings.Contains(err.Error(), "alice") {
			t.Errorf("%s under a key: got error %v, want one about https", what, err)
		}
	}
	if len(requests) > 0 {
		t.Errorf("sent %v under a key", requests)
	}
	for what, c := range map[string]*objectstore.Client{"no view": client, "a view under no key": under.UnderKey(objectstore.Key{})} {
		if err := put(c); err != nil {
			t.Errorf("put, %s: %v", what, err)
		}
	}
	if diff := cmp.Diff([]string{http.MethodPut, http.MethodPut}, requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestWrongKeyIsToldFromNoRight: a wrong key and a missing right have the same answer.
func TestWrongKeyIsToldFromNoRight(t *testing.T) {
	t.Parallel()
	const keyHeader = "X-Amz-Server-Side-Encryption-Customer-Key"
	for name, c := range map[string]struct {
		with, without string // codes of the answers
		want          error
	}{
		"a wrong key":        {"AccessDenied", "InvalidRequest", objectstore.ErrKey},
		"no right":           {"AccessDenied", "AccessDenied", objectstore.ErrDenied},
		"under no key":       {"InvalidRequest", "", objectstore.ErrKey},
		"down the next time": {"AccessDenied", "SlowDown", objectstore.ErrDenied},
		"expired":            {"ExpiredToken", "InvalidRequest", objectstore.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, somebody, func(w http.ResponseWriter, r *http.Request) {
				code := c.with
				if r.Header.Get(keyHeader) == "" {
					code = c.without
				}
				w.WriteHeader(map[string]int{"": 200, "AccessDenied": 403, "SlowDown": 503}[code] + map[string]int{"InvalidRequest": 400, "ExpiredToken": 400}[code])
				fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
			})
			_, err := client.UnderKey(objectstoretest.Key(t, 1)).Get(t.Context(), "bucket", privateKey, 0, -1)
			wantKind(t, err, c.want)
		})
	}
}
