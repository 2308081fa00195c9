package receiptcheck_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/receiptcheck"
)

var update = flag.Bool("update", false, "write the golden files anew")

func signer(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func keys(n byte) []ed25519.PublicKey {
	return []ed25519.PublicKey{ed25519.PublicKey(signer(n)[ed25519.SeedSize:])}
}

func uid(n int64) string { return fmt.Sprintf("6f9619ff-8b86-4011-b42d-%012x", n) }

// dataset is the receipt for one, under its own key.
func dataset(place int64) objectkey.EraseReceipt {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	destroyed := start.Add(time.Second)
	return objectkey.EraseReceipt{
		Resource: objectkey.ResourceDataset, Namespace: "team", UID: uid(place),
		Store: "00112233445566778899aabbccddeeff", Bucket: "lethe-datasets", Prefix: objectkey.OwnerPrefix("team", uid(place)),
		Trigger: objectkey.TriggerExpired, Methods: []string{objectkey.MethodKeyDestroyed, objectkey.MethodObjectsRemoved},
		KeyID: "ffeeddccbbaa99887766554433221100", KeyDestroyedTime: &destroyed,
		ManifestDigest: objectkey.Digest([]byte("manifest")), Objects: 1, ObjectBytes: 3 << 20, Versions: 2, VersionBytes: 4 << 20, Uploads: 1,
		StartTime: start, EndTime: start.Add(65 * time.Second), Sequence: place,
		NotCovered: []string{"Backups of the store's drives.", "Copies that owners of the data keep."},
	}
}

// run is the receipt for a run's artifacts, which nobody had finished.
func run(place int64) objectkey.EraseReceipt {
	r := dataset(place)
	r.Resource, r.Bucket, r.Trigger = objectkey.ResourceRun, "lethe-artifacts", objectkey.TriggerOrphaned
	r.Methods, r.KeyID, r.KeyDestroyedTime = []string{objectkey.MethodObjectsRemoved}, "", nil
	r.ManifestDigest, r.Objects, r.ObjectBytes, r.NotCovered = "", 0, 0, nil
	return r
}

// chainOf signs receipts with their places as names. Each follows the one before, or
// an unknown one.
func chainOf(t *testing.T, key byte, all ...objectkey.EraseReceipt) []receiptcheck.File {
	t.Helper()
	files := []receiptcheck.File{}
	for i, r := range all {
		switch {
		case r.Sequence == 1:
		case i > 0 && all[i-1].Sequence == r.Sequence-1:
			r.Previous = objectkey.Digest(files[i-1].Data)
		default:
			r.Previous = objectkey.Digest([]byte("one that is not here"))
		}
		data, _, err := objectkey.Sign(signer(key), r)
		if err != nil {
			t.Fatalf("sign: %v", err)
		}
		files = append(files, receiptcheck.File{Name: fmt.Sprintf("%d.json", r.Sequence), Data: data})
	}
	return files
}

func wantGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatalf("write the golden file: %v", err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read the golden file: %v", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	bad := chainOf(t, 1, dataset(7))
	bad[0].Data = append(bad[0].Data, 'x')
	for name, files := range map[string][]receiptcheck.File{
		"one.txt":      chainOf(t, 1, dataset(7)),
		"two.txt":      chainOf(t, 1, dataset(1), run(2)),
		"with-bad.txt": append(bad, chainOf(t, 1, run(9))...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			if err := receiptcheck.Describe(&out, receiptcheck.Check(files, keys(1))); err != nil {
				t.Fatalf("describe: %v", err)
			}
			wantGolden(t, name, out.String())
		})
	}
}

func TestDescribeSaysThatNobodyReads(t *testing.T) {
	t.Parallel()
	if err := receiptcheck.Describe(failing{}, receiptcheck.Check(chainOf(t, 1, dataset(7)), keys(1))); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got error %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestCheck(t *testing.T) {
	t.Parallel()
	three := chainOf(t, 1, dataset(1), dataset(2), dataset(3))
	reversed := []receiptcheck.File{three[2], three[1], three[0]}
	other := dataset(2)
	other.Versions++
	forged := chainOf(t, 1, dataset(1), other)[1]
	forged.Name = "forged.json"
	copied := three[1]
	copied.Name = "copy.json"
	apart := chainOf(t, 1, dataset(3))
	stranger := chainOf(t, 2, dataset(4))
	flipped := receiptcheck.File{Name: "flipped.json", Data: bytes.Replace(three[0].Data, []byte(`"sig":"`), []byte(`"sig":"AAAA`), 1)}
	junk := receiptcheck.File{Name: "junk.json", Data: []byte("junk")}
	for name, c := range map[string]struct {
		files   []receiptcheck.File
		follows []string // by file
		says    string   // the last sentence of several
		failure string   // empty: none
		is      error
	}{
		"one":                  {files: three[:1], follows: []string{""}},
		"a chain":              {files: three, follows: []string{"", "1.json", "2.json"}, says: "an unbroken chain from number 1 to number 3."},
		"a chain from behind":  {files: reversed, follows: []string{"2.json", "1.json", ""}, says: "an unbroken chain from number 1 to number 3."},
		"a part of a chain":    {files: three[1:], follows: []string{"", "2.json"}, says: "an unbroken chain from number 2 to number 3."},
		"a chain with a gap":   {files: []receiptcheck.File{three[0], three[2]}, follows: []string{"", ""}, says: "Between numbers 1 and 3 of the chain, 1 receipt is not among these files."},
		"a receipt and a copy": {files: []receiptcheck.File{three[1], copied}, follows: []string{"", ""}, says: "All are the same receipt, number 2 of the chain."},
		"a chain and a copy":   {files: append([]receiptcheck.File{copied}, three...), follows: []string{"1.json", "", "1.json", "copy.json"}, says: "an unbroken chain from number 1 to number 3."},
		"two for one place": {
			files: []receiptcheck.File{three[0], three[1], forged}, follows: []string{"", "1.json", ""},
			failure: "forged.json can not be relied on: it is signed, but so is another receipt for the same place in the chain, 2.json",
		},
		"neighbours that do not fit": {
			files: append([]receiptcheck.File{three[1]}, apart...), follows: []string{"", ""},
			failure: "3.json can not be relied on: it is signed, but does not follow 2.json",
		},
		"a stranger's": {
			files: stranger, follows: []string{""}, is: objectkey.ErrUnknownKey,
			failure: "4.json can not be relied on: signed with a key that is not known here: the key is " + objectkey.KeyID(keys(2)[0]),
		},
		"a changed one": {files: []receiptcheck.File{flipped}, follows: []string{""}, is: objectkey.ErrBadSignature, failure: "flipped.json can not be relied on"},
		"junk":          {files: []receiptcheck.File{junk}, follows: []string{""}, is: objectkey.ErrBadReceipt, failure: "junk.json can not be relied on"},
		"several that are bad": {
			files: []receiptcheck.File{three[0], junk, flipped}, follows: []string{"", "", ""}, is: objectkey.ErrBadReceipt,
			failure: "2 of 3 receipts can not be relied on; the first of them is junk.json",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdicts := receiptcheck.Check(c.files, keys(1))
			follows := []string{}
			for i, v := range verdicts {
				follows = append(follows, v.Follows)
				if v.Name != c.files[i].Name {
					t.Errorf("verdict %d is on %s", i, v.Name)
				}
			}
			if diff := cmp.Diff(c.follows, follows); diff != "" {
				t.Errorf("what follows what (-want +got):\n%s", diff)
			}
			err := receiptcheck.Failure(verdicts)
			if (err != nil) != (c.failure != "") || (err != nil && !strings.Contains(err.Error(), c.failure)) || (c.is != nil && !errors.Is(err, c.is)) {
				t.Errorf("got error %v, want %q", err, c.failure)
			}
			var out strings.Builder
			if err := receiptcheck.Describe(&out, verdicts); err != nil || !strings.HasSuffix(out.String(), c.says+"\n") && c.says != "" {
				t.Errorf("it ends otherwise: %v\n%s", err, out.String())
			}
		})
	}
}

func TestTogetherWithAWideGap(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := receiptcheck.Describe(&out, receiptcheck.Check(chainOf(t, 1, dataset(1), dataset(9)), keys(1))); err != nil {
		t.Fatal(err)
	}
	if want := "Between numbers 1 and 9 of the chain, 7 receipts are not among these files.\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("it ends otherwise:\n%s", out.String())
	}
}
