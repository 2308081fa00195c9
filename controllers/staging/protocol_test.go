package staging_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/staging"
)

const canary = "Canary-of-exactly-32-bytes-here!"

func granted() staging.StageGrant {
	return staging.StageGrant{ManifestDigest: "sha256:digits", Store: staging.StoreGrant{
		Bucket: "datasets", Prefix: "team/uid/", AccessKeyID: "access", SecretAccessKey: "store-secret",
		SessionToken: "store-session", EncryptionKey: []byte(canary), InsecurePlaintext: true,
	}}
}

func TestGrantsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	stage := granted()
	nested := struct{ Grant *staging.StageGrant }{&stage}
	for _, value := range []any{stage, &stage, stage.Store, &stage.Store, nested, []staging.StoreGrant{stage.Store}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		fmt.Fprintln(&out, value, fmt.Errorf("use %v: %w", value, fmt.Errorf("of %+v", value)))
	}
	for _, value := range []any{stage, stage.Store} {
		slog.New(slog.NewJSONHandler(&out, nil)).Info("granted", "grant", value)
		slog.New(slog.NewTextHandler(&out, nil)).Info("granted", "grant", value)
		funcr.New(func(_, args string) { out.WriteString(args) }, funcr.Options{}).Info("granted", "grant", value)
	}
	for _, secret := range []string{
		canary, hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary)),
		strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]"), "store-secret", "store-session",
	} {
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(secret)) {
			t.Errorf("printed %q", secret)
		}
	}
	if strings.Count(out.String(), "team/uid/") < 20 {
		t.Errorf("the place is not told:\n%s", &out)
	}
}

func TestGrantsAreWholeInJSON(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(granted())
	if err != nil {
		t.Fatal(err)
	}
	if text := `"encryptionKey":"` + base64.StdEncoding.EncodeToString([]byte(canary)) + `"`; !strings.Contains(string(data), text) {
		t.Error("the key is not in the grant")
	}
	var got staging.StageGrant
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(granted(), got); diff != "" {
		t.Errorf("grant (-want +got):\n%s", diff)
	}
	if data, err = json.Marshal(staging.StoreGrant{}); err != nil || strings.Contains(string(data), "ncryption") || strings.Contains(string(data), "nsecure") {
		t.Errorf("a grant without a key is %s, %v", data, err)
	}
}
