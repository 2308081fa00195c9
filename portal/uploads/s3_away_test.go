package uploads_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/uploads"
)

const secretKey = "ns/d/data/name-of-a-patient.txt"

// TestErrorsOfTheStoreNameNoFiles: they reach logs.
func TestErrorsOfTheStoreNameNoFiles(t *testing.T) {
	t.Parallel()
	answers := map[string]struct {
		status int
		code   string
		kind   portal.Kind
	}{
		"the request is wrong":   {http.StatusBadRequest, "InvalidArgument", portal.KindInternal},
		"the store refuses":      {http.StatusForbidden, "AccessDenied", portal.KindConflict},
		"there is no such place": {http.StatusNotFound, "NoSuchKey", portal.KindInternal},
	}
	for name, tc := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message><Key>%[2]s</Key><Resource>/%[2]s</Resource></Error>", tc.code, secretKey)
			}))
			t.Cleanup(store.Close)
			namesNothing(t, store.URL, tc.kind)
		})
	}
	t.Run("nobody is there", func(t *testing.T) {
		t.Parallel()
		namesNothing(t, "http://127.0.0.1:1", portal.KindUnavailable)
	})
}

func namesNothing(t *testing.T, endpoint string, kind portal.Kind) {
	t.Helper()
	objects, g := uploads.NewS3("", clock.RealClock{}.Now), plainGrant(endpoint)
	objects.SetPatience(time.Second)
	_, begin := objects.Begin(t.Context(), g, secretKey)
	_, parts := objects.Parts(t.Context(), g, secretKey, "upload")
	for act, err := range map[string]error{
		"begin": begin, "parts": parts, "abort": objects.Abort(t.Context(), g, secretKey, "upload"),
		"put": objects.Put(t.Context(), g, secretKey, strings.NewReader("x"), 1),
	} {
		if err == nil || portal.KindOf(err) != kind || strings.Contains(err.Error(), "patient") {
			t.Errorf("%s: %v", act, err)
		}
	}
}

func plainGrant(endpoint string) portal.Grant {
	now := clock.RealClock{}.Now()
	return portal.Grant{
		Endpoint: endpoint, Bucket: "bucket", InsecurePlaintext: true, AccessKeyID: "a", SecretAccessKey: "b",
		IssuedAt: now, ExpiresAt: now.Add(time.Minute),
	}
}

// TestAStoreThatStopsReading takes the connection and nothing more.
func TestAStoreThatStopsReading(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		var kept []net.Conn
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				for _, c := range kept {
					_ = c.Close()
				}
				return
			}
			kept = append(kept, conn)
		}
	}()
	objects := uploads.NewS3("", clock.RealClock{}.Now)
	objects.SetPatience(100 * time.Millisecond)
	ctx, cancel := contextWithTimeout(t, 20*time.Second)
	defer cancel()
	const size = 200 << 10 // it takes no second more
	err = objects.Put(ctx, plainGrant("http://"+listener.Addr().String()), secretKey, strings.NewReader(strings.Repeat("m", size)), size)
	if ctx.Err() != nil || portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("put: %v", err)
	}
}
