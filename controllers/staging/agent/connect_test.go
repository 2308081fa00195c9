package agent_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// canary is a key that no log, report or error may show in any form.
const canary = "Canary-of-exactly-32-bytes-here!"

// shows says whether a text shows the key.
func shows(text, key string) bool {
	for _, form := range []string{
		key, fmt.Sprintf("%x", key), base64.RawStdEncoding.EncodeToString([]byte(key)), strings.Trim(fmt.Sprintf("%d", []byte(key)), "[]"),
	} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func anybody(context.Context) (objectstore.Credentials, error) {
	return objectstore.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
}

func TestConnectStoreUsesTheGrant(t *testing.T) {
	t.Parallel()
	// seen are the customer's keys of the requests, in order.
	var seen []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if signature := r.Header.Get("Authorization"); !strings.Contains(signature, "/north/s3/") {
			t.Errorf("signature %q is not for the granted region", signature)
		}
		seen = append(seen, r.Method+" "+r.Header.Get("X-Amz-Server-Side-Encryption-Customer-Key"))
		w.Header().Set("Last-Modified", time.Unix(1, 0).UTC().Format(http.TimeFormat))
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "data")
		}
	}))
	defer srv.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for _, key := range []string{"", canary} {
		grant := staging.StoreGrant{Endpoint: srv.URL, CABundle: string(ca), Region: "north", EncryptionKey: []byte(key)}
		store, err := agent.ConnectStore(grant, anybody, 1)
		if err != nil {
			t.Fatal(err)
		}
		body, err := store.Get(t.Context(), "bucket", "team/uid/data/a", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(body); err != nil || string(data) != "data" {
			t.Errorf("got %q, %v; want what the store sent", data, err)
		}
		_ = body.Close() // It was only read.
		if err := store.Put(t.Context(), "bucket", "team/uid/data/a", strings.NewReader("x"), 1, objectstore.PutOptions{}); err != nil {
			t.Errorf("Put: %v", err)
		}
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	if diff := cmp.Diff([]string{"GET ", "PUT ", "GET " + encoded, "PUT " + encoded}, seen); diff != "" {
		t.Errorf("requests and their keys (-want +got):\n%s", diff)
	}
}

func TestConnectStoreRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		grant staging.StoreGrant
		exit  int // of the Failure; 0 for another error
		says  string
	}{
		"a store without TLS": {
			grant: staging.StoreGrant{Endpoint: "http://store"}, says: "connect to the store",
		},
		"a key without TLS": {
			grant: staging.StoreGrant{Endpoint: "http://store", InsecurePlaintext: true, EncryptionKey: []byte(canary)},
			exit:  staging.ExitUsage, says: "Give the store a certificate",
		},
		"a key that is too short": {
			grant: staging.StoreGrant{Endpoint: "https://store", EncryptionKey: []byte(canary[:31])},
			exit:  staging.ExitDenied, says: "can not be used",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := agent.ConnectStore(tc.grant, anybody, 1)
			if err == nil || store != nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %v, want an error with %q", err, tc.says)
			}
			var failure *agent.Failure
			if errors.As(err, &failure) != (tc.exit != 0) || (failure != nil && failure.Exit != tc.exit) {
				t.Errorf("got %#v, want exit code %d", err, tc.exit)
			}
			if shows(fmt.Sprintf("%v %+v %v", err, err, errors.Unwrap(err)), canary[:31]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	// What the operator was told to allow is allowed.
	if _, err := agent.ConnectStore(staging.StoreGrant{Endpoint: "http://store", InsecurePlaintext: true}, anybody, 1); err != nil {
		t.Errorf("a plain store that is allowed: %v", err)
	}
}
