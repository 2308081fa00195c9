package agent_test

import (
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

func TestConnectStoreUsesTheGrant(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if signature := r.Header.Get("Authorization"); !strings.Contains(signature, "/north/s3/") {
			t.Errorf("signature %q is not for the granted region", signature)
		}
		w.Header().Set("Last-Modified", time.Unix(1, 0).UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, "data")
	}))
	defer srv.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	credentials := func(context.Context) (objectstore.Credentials, error) {
		return objectstore.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
	}
	store, err := agent.ConnectStore(staging.StoreGrant{Endpoint: srv.URL, CABundle: string(ca), Region: "north"}, credentials, 1)
	if err != nil {
		t.Fatal(err)
	}
	body, err := store.Get(t.Context(), "bucket", "team/uid/data/a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }() // It was only read.
	if data, err := io.ReadAll(body); err != nil || string(data) != "data" {
		t.Errorf("got %q, %v; want what the store sent", data, err)
	}
	_, err = agent.ConnectStore(staging.StoreGrant{Endpoint: "http://store"}, credentials, 1)
	if err == nil || !strings.Contains(err.Error(), "connect to the store") {
		t.Errorf("without TLS: got %v, want an error", err)
	}
}
