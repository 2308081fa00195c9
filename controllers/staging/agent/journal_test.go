package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newJournalVolume is a volume with a journal of these claims, and parts for them.
func newJournalVolume(t *testing.T, m manifest, claims ...claim) *volume {
	t.Helper()
	v, err := openVolume(filepath.Join(t.TempDir(), "dataset"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.close)
	j, err := openJournal(v, m)
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	for _, c := range claims {
		if err := v.root.WriteFile(part(c.number), nil, fileMode); err != nil {
			t.Fatal(err)
		}
		if err := j.add(c); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func digestOf(text string) manifest {
	sum := sha256.Sum256([]byte(text))
	return manifest{digest: "sha256:" + hex.EncodeToString(sum[:])}
}

// Each case is what became of a journal with three claims.
func TestJournalBelievesWhatIsWhole(t *testing.T) {
	t.Parallel()
	claims := []claim{{1, 0}, {1, 7}, {1 << 40, 3}}
	all := map[int64][]int64{1: {0, 7}, 1 << 40: {3}}
	cut := func(keep int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-keep] } }
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			b[at] ^= 1
			return b
		}
	}
	cases := map[string]struct {
		change func([]byte) []byte
		digest string
		want   map[int64][]int64
	}{
		"it is as it was":                     {want: all},
		"the last claim was cut off":          {change: cut(1), want: map[int64][]int64{1: {0, 7}}},
		"it ends between two claims":          {change: cut(claimLength), want: map[int64][]int64{1: {0, 7}}},
		"the header was cut off":              {change: cut(3*claimLength + 1), want: map[int64][]int64{}},
		"it is empty":                         {change: func([]byte) []byte { return nil }, want: map[int64][]int64{}},
		"the first claim is damaged":          {change: flip(headerLength), want: map[int64][]int64{}},
		"the CRC of the second is damaged":    {change: flip(headerLength + 2*claimLength - 1), want: map[int64][]int64{1: {0}}},
		"the header is damaged":               {change: flip(len(journalMagic)), want: map[int64][]int64{}},
		"it is another manifest's":            {digest: "another", want: map[int64][]int64{}},
		"there are zeros behind it":           {change: func(b []byte) []byte { return append(b, make([]byte, 100)...) }, want: all},
		"its claims are there more than once": {change: func(b []byte) []byte { return append(b, b[headerLength:]...) }, want: all},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newJournalVolume(t, digestOf("manifest"), claims...)
			data, err := v.root.ReadFile(journalFile)
			if err != nil {
				t.Fatal(err)
			}
			if tc.change != nil {
				if err := v.root.WriteFile(journalFile, tc.change(bytes.Clone(data)), fileMode); err != nil {
					t.Fatal(err)
				}
			}
			if tc.digest == "" {
				tc.digest = "manifest"
			}
			for range 2 { // What was read is the beginning of what is written.
				j, err := openJournal(v, digestOf(tc.digest))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, keptOf(j)); diff != "" {
					t.Errorf("claims (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(partsOf(tc.want), partsIn(t, v)); diff != "" {
					t.Errorf("parts (-want +got):\n%s", diff)
				}
				if err := v.root.WriteFile(part(5), nil, fileMode); err != nil {
					t.Fatal(err)
				}
				if err := j.add(claim{5, 5}); err != nil {
					t.Fatal(err)
				}
				j.close()
				tc.want = maps.Clone(tc.want)
				tc.want[5] = []int64{5}
			}
		})
	}
}

func keptOf(j *journal) map[int64][]int64 {
	got := map[int64][]int64{}
	for number, ranges := range j.kept {
		got[number] = slices.Sorted(maps.Keys(ranges))
	}
	return got
}

func partsOf(claims map[int64][]int64) []string {
	names := []string{}
	for number := range claims {
		names = append(names, strconv.FormatInt(number, 10))
	}
	slices.Sort(names)
	return names
}

func partsIn(t *testing.T, v *volume) []string {
	t.Helper()
	folder, err := v.root.Open(partsDir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return append([]string{}, names...)
}

// Each case is something in the place of a part that is claimed.
func TestJournalRemovesWhatIsNoPart(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(v *volume) error{
		"nothing":                func(v *volume) error { return v.root.Remove(part(1)) },
		"a link to the outside":  func(v *volume) error { return replaceBy(v, func() error { return v.root.Symlink(outside, part(1)) }) },
		"a link to another part": func(v *volume) error { return replaceBy(v, func() error { return v.root.Symlink("2", part(1)) }) },
		"a folder": func(v *volume) error {
			return replaceBy(v, func() error { return v.root.MkdirAll(part(1)+"/x", folderMode) })
		},
		"another way to write it":     func(v *volume) error { return v.root.Rename(part(1), partsDir+"/01") },
		"a part that is not a number": func(v *volume) error { return v.root.Rename(part(1), partsDir+"/one") },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newJournalVolume(t, digestOf("manifest"), claim{1, 0}, claim{2, 0})
			if err := change(v); err != nil {
				t.Fatal(err)
			}
			j, err := openJournal(v, digestOf("manifest"))
			if err != nil {
				t.Fatal(err)
			}
			defer j.close()
			if diff := cmp.Diff(map[int64][]int64{2: {0}}, keptOf(j)); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"2"}, partsIn(t, v)); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
			if got, err := os.ReadFile(outside); err != nil || string(got) != "mine" {
				t.Errorf("the file outside is %q: %v", got, err)
			}
		})
	}
}

func replaceBy(v *volume, make func() error) error {
	if err := v.root.RemoveAll(part(1)); err != nil {
		return err
	}
	return make()
}

// FuzzJournal reads journals of anybody.
func FuzzJournal(f *testing.F) {
	header, err := journalHeader(digestOf("manifest").digest)
	if err != nil {
		f.Fatal(err)
	}
	good := append(bytes.Clone(header), claim{1, 2}.record()...)
	f.Add(good)
	f.Add(append(bytes.Clone(good), 1, 2, 3))
	f.Add(header)
	f.Fuzz(func(t *testing.T, data []byte) {
		v := newJournalVolume(t, digestOf("manifest"))
		if err := v.root.WriteFile(journalFile, data, fileMode); err != nil {
			t.Fatal(err)
		}
		j := &journal{kept: map[int64]map[int64]bool{}}
		end := j.load(v.root, header)
		if end > int64(len(data)) || (end > 0 && !bytes.HasPrefix(data, header)) {
			t.Fatalf("%d of %d bytes are believed", end, len(data))
		}
		again := bytes.Clone(header)
		if end > 0 {
			for at := headerLength; at < int(end); at += claimLength {
				c, ok := parseClaim(data[at : at+claimLength])
				if !ok || !j.kept[c.number][c.index] {
					t.Fatalf("a claim at %d is not one", at)
				}
				again = append(again, c.record()...)
			}
			if !bytes.Equal(again, data[:end]) {
				t.Fatal("what is believed is not what would be written")
			}
		}
	})
}
