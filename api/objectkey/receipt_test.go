package objectkey_test

import (
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	storeID = "00112233445566778899aabbccddeeff"
	dataKey = "ffeeddccbbaa99887766554433221100"
)

func receipt() objectkey.EraseReceipt {
	destroyed := time.Date(2026, 1, 2, 2, 4, 6, 500, time.UTC)
	return objectkey.EraseReceipt{
		Resource: objectkey.ResourceDataset, Namespace: "ns", UID: uid,
		Store: storeID, Bucket: "lethe-datasets", Prefix: objectkey.OwnerPrefix("ns", uid),
		Trigger: objectkey.TriggerExpired, Methods: []string{objectkey.MethodKeyDestroyed, objectkey.MethodObjectsRemoved},
		KeyID: dataKey, KeyDestroyedTime: &destroyed,
		ManifestDigest: objectkey.Digest([]byte("manifest")), Objects: 2, ObjectBytes: 30, Versions: 5, VersionBytes: 60, Uploads: 1,
		StartTime:  time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600)),
		EndTime:    time.Date(2026, 1, 2, 3, 4, 6, 999_999_999, time.UTC),
		NotCovered: []string{"Backups of the store's drives, which <others> make & keep."},
		Previous:   objectkey.Digest([]byte("the one before")), Sequence: 7,
	}
}

// normal is the receipt as it is written.
func normal() objectkey.EraseReceipt {
	r := receipt()
	r.Kind = objectkey.ReceiptKind
	r.StartTime, r.EndTime = time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
	destroyed := time.Date(2026, 1, 2, 2, 4, 6, 0, time.UTC)
	r.KeyDestroyedTime = &destroyed
	return r
}

// wantGolden compares with a file of testdata, and writes it with -update.
func wantGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatalf("write the golden file: %v", err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read the golden file: %v", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestReceiptsThatDoNotMakeSense(t *testing.T) {
	t.Parallel()
	type receipt = objectkey.EraseReceipt
	for name, c := range map[string]struct {
		change func(*receipt)
		says   string
	}{
		"another format":                {func(r *receipt) { r.Kind = "lethe.dev/erase-receipt/v9" }, "kind"},
		"a resource nobody knows":       {func(r *receipt) { r.Resource = "pods" }, "resource"},
		"no namespace":                  {func(r *receipt) { r.Namespace = "" }, "namespace"},
		"a namespace that leads away":   {func(r *receipt) { r.Namespace, r.Prefix = "..", objectkey.OwnerPrefix("..", uid) }, "namespace"},
		"no UID":                        {func(r *receipt) { r.UID, r.Prefix = "", "ns//" }, "uid"},
		"a UID in capitals":             {func(r *receipt) { r.UID = strings.ToUpper(uid) }, "uid"},
		"no store":                      {func(r *receipt) { r.Store = "" }, "store"},
		"no bucket":                     {func(r *receipt) { r.Bucket = "" }, "bucket"},
		"a bucket that is a path":       {func(r *receipt) { r.Bucket = "a/b" }, "bucket"},
		"a part of the place":           {func(r *receipt) { r.Prefix += "data/" }, "prefix"},
		"the place of another":          {func(r *receipt) { r.Prefix = objectkey.OwnerPrefix("other", uid) }, "prefix"},
		"no place":                      {func(r *receipt) { r.Prefix = "" }, "prefix"},
		"a trigger nobody knows":        {func(r *receipt) { r.Trigger = "Tuesday" }, "trigger"},
		"no method":                     {func(r *receipt) { r.Methods = nil }, "methods"},
		"a method nobody knows":         {func(r *receipt) { r.Methods[0] = "Shredded" }, "methods"},
		"objects that were not removed": {func(r *receipt) { r.Methods = r.Methods[:1] }, "methods"},
		"methods in another order":      {func(r *receipt) { r.Methods[0], r.Methods[1] = r.Methods[1], r.Methods[0] }, "methods"},
		"a method twice":                {func(r *receipt) { r.Methods[0] = r.Methods[1] }, "methods"},
		"a key that was not destroyed":  {func(r *receipt) { r.Methods = r.Methods[1:] }, "keyID"},
		"a destroyed key without name":  {func(r *receipt) { r.KeyID = "" }, "keyID"},
		"a destroyed key without time":  {func(r *receipt) { r.KeyDestroyedTime = nil }, "keyDestroyedTime"},
		"the key itself for its name":   {func(r *receipt) { r.KeyID += dataKey }, "keyID"},
		"a key destroyed at the end":    {func(r *receipt) { after := r.EndTime.Add(time.Second); r.KeyDestroyedTime = &after }, "keyDestroyedTime"},
		"a key destroyed never":         {func(r *receipt) { r.KeyDestroyedTime = &time.Time{} }, "keyDestroyedTime"},
		"no start":                      {func(r *receipt) { r.StartTime = time.Time{} }, "startTime"},
		"no end":                        {func(r *receipt) { r.EndTime = time.Time{} }, "endTime"},
		"an end before the start":       {func(r *receipt) { r.StartTime = r.EndTime.Add(time.Second) }, "endTime"},
		"a count below nothing":         {func(r *receipt) { r.Versions = -1 }, "count"},
		"a count above 2^53":            {func(r *receipt) { r.VersionBytes = math.MaxInt64 }, "count"},
		"a manifest that is no digest":  {func(r *receipt) { r.ManifestDigest = "sha256:x" }, "manifestDigest"},
		"an empty sentence":             {func(r *receipt) { r.NotCovered = []string{""} }, "notCovered"},
		"a sentence for the terminal":   {func(r *receipt) { r.NotCovered = []string{"\x1b[2J"} }, "notCovered"},
		"a sentence that is not text":   {func(r *receipt) { r.NotCovered = []string{"\xff"} }, "notCovered"},
		"a sentence without end":        {func(r *receipt) { r.NotCovered = []string{strings.Repeat("a", 513)} }, "notCovered"},
		"sentences without end":         {func(r *receipt) { r.NotCovered = strings.Split(strings.Repeat("a", 17), "") }, "notCovered"},
		"no place in the chain":         {func(r *receipt) { r.Sequence = 0 }, "sequence"},
		"a place beyond all chains":     {func(r *receipt) { r.Sequence = 1 << 53 }, "sequence"},
		"none before the second":        {func(r *receipt) { r.Sequence, r.Previous = 2, "" }, "previous"},
		"one before the first":          {func(r *receipt) { r.Sequence = 1 }, "previous"},
		"one before that is no digest":  {func(r *receipt) { r.Previous = "six" }, "previous"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := normal()
			c.change(&r)
			err := r.Validate()
			if !errors.Is(err, objectkey.ErrBadReceipt) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got error %v, want %v that names %s", err, objectkey.ErrBadReceipt, c.says)
			}
			if _, _, err := objectkey.Sign(signer(1), r); !errors.Is(err, objectkey.ErrBadReceipt) {
				t.Errorf("signing it gives error %v, want %v", err, objectkey.ErrBadReceipt)
			}
		})
	}
}

func TestReceiptsThatMakeSense(t *testing.T) {
	t.Parallel()
	type receipt = objectkey.EraseReceipt
	for name, change := range map[string]func(*receipt){
		"as it is":                 func(*receipt) {},
		"the first of the chain":   func(r *receipt) { r.Sequence, r.Previous = 1, "" },
		"artifacts of a run":       func(r *receipt) { r.Resource, r.Bucket = objectkey.ResourceRun, "lethe-artifacts" },
		"never under its own key":  func(r *receipt) { r.Methods, r.KeyID, r.KeyDestroyedTime = r.Methods[1:], "", nil },
		"never sealed, and empty":  func(r *receipt) { r.ManifestDigest, r.Objects, r.ObjectBytes, r.Versions = "", 0, 0, 0 },
		"deleted by somebody":      func(r *receipt) { r.Trigger = objectkey.TriggerDeleted },
		"its key was gone before":  func(r *receipt) { early := r.StartTime.AddDate(0, 0, -1); r.KeyDestroyedTime = &early },
		"nothing else to speak of": func(r *receipt) { r.NotCovered = nil },
		"over within a second":     func(r *receipt) { r.EndTime, r.KeyDestroyedTime = r.StartTime, &r.StartTime },
		"found by the sweeper":     func(r *receipt) { r.Trigger = objectkey.TriggerOrphaned },
		"greater than all stores":  func(r *receipt) { r.VersionBytes = 1<<53 - 1 },
		"all that may not be said": func(r *receipt) { r.NotCovered = strings.Split(strings.Repeat("é", 16), "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := normal()
			change(&r)
			if err := r.Validate(); err != nil {
				t.Fatalf("validate: %v", err)
			}
			data, _, err := objectkey.Sign(signer(1), r)
			if err != nil {
				t.Fatalf("sign: %v", err)
			}
			got, err := objectkey.Verify(data, keys(1))
			if err != nil {
				t.Fatalf("verify: %v", err)
			}
			if r.NotCovered == nil {
				r.NotCovered = []string{}
			}
			if diff := cmp.Diff(r, got); diff != "" {
				t.Errorf("receipt (-signed +verified):\n%s", diff)
			}
		})
	}
}

// TestTimesWithinASecond: what is written counts, so an end that a clock has cut off to
// seconds may be before a start that was not.
func TestTimesWithinASecond(t *testing.T) {
	t.Parallel()
	r := normal()
	r.StartTime = r.EndTime.Add(time.Second - 1)
	destroyed := r.StartTime
	r.KeyDestroyedTime = &destroyed
	if err := r.Validate(); err != nil {
		t.Errorf("validate: %v", err)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	const want = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if got := objectkey.Digest(nil); got != want {
		t.Errorf("digest of nothing is %s, want %s", got, want)
	}
}
