package objectkey_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
)

var update = flag.Bool("update", false, "write the golden files anew")

func receipt() objectkey.EraseReceipt {
	return objectkey.EraseReceipt{
		Namespace: "ns", Name: "digits", UID: uid, Bucket: "datasets", Prefix: objectkey.OwnerPrefix("ns", uid),
		ManifestDigest: objectkey.Digest([]byte("manifest")), Objects: 2, ObjectBytes: 30, Versions: 5, VersionBytes: 60, Uploads: 1,
		StartTime: time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600)),
		EndTime:   time.Date(2026, 1, 2, 3, 4, 6, 999_999_999, time.UTC),
	}
}

func TestReceiptIsThatOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	got, digest, err := receipt().Encode()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	if want := objectkey.Digest(got); digest != want {
		t.Errorf("digest is %s, want %s", digest, want)
	}
	golden := filepath.Join("testdata", "receipt.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatalf("write the golden file: %v", err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("read the golden file: %v", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("receipt (-want +got):\n%s", diff)
	}
}

func TestReceiptRoundTrip(t *testing.T) {
	t.Parallel()
	data, digest, err := receipt().Encode()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	var back objectkey.EraseReceipt
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatalf("decode: %v", err)
	}
	want := receipt()
	want.Kind = objectkey.ReceiptKind
	want.StartTime, want.EndTime = time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
	if diff := cmp.Diff(want, back); diff != "" {
		t.Errorf("receipt (-want +got):\n%s", diff)
	}
	if _, again, err := back.Encode(); err != nil || again != digest {
		t.Errorf("encoded again its digest is %s, %v; want %s", again, err, digest)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	const want = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if got := objectkey.Digest(nil); got != want {
		t.Errorf("digest of nothing is %s, want %s", got, want)
	}
}
