package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
)

func TestShrinkTakesTheMeanOfFourInSixteenLevels(t *testing.T) {
	t.Parallel()
	pixels := make([]float64, sourceSide*sourceSide)
	pixels[0], pixels[1], pixels[sourceSide], pixels[sourceSide+1] = 1, 1, 1, 1
	pixels[2], pixels[3] = 1, 1
	pixels[len(pixels)-1] = 0.1
	want := make([]byte, side*side)
	want[0], want[1] = 255, 8*17
	if diff := cmp.Diff(want, shrink(pixels)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// fakePackage has enough different pictures per digit, each with its number drawn as dots.
func fakePackage(t *testing.T, perDigit int) string {
	t.Helper()
	dir := t.TempDir()
	folder := filepath.Join(dir, "src", "digits")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for digit := range dataset.Classes {
		var pixels []float64
		for number := range perDigit {
			image := make([]float64, sourceSide*sourceSide)
			for bit := range 16 {
				if (digit*perDigit+number)>>bit&1 == 1 {
					image[2*bit+sourceSide*(bit&^1)], image[1+2*bit+sourceSide*(bit&^1)] = 1, 1
				}
			}
			pixels = append(pixels, image...)
		}
		text, err := json.Marshal(map[string][]float64{"data": pixels})
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(folder, string(rune('0'+digit))+".json")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDeriveWritesTheSameLoadableFilesEveryTime(t *testing.T) {
	t.Parallel()
	small := cut{heldoutShards: 1, trainShards: 3, shardRows: 10}
	source, first, second := fakePackage(t, 6), t.TempDir(), t.TempDir()
	for _, out := range []string{first, second} {
		if err := derive(source, out, small); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(first, "*", "*.gz"))
	if err != nil || len(names) != 2*(1+3) {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		relative, err := filepath.Rel(first, name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(read(t, name), read(t, filepath.Join(second, relative))); diff != "" {
			t.Errorf("%s differs the second time", relative)
		}
	}
	train, err := dataset.Load(os.DirFS(first), dataset.Train)
	if err != nil || train.Len() != 3*10 {
		t.Errorf("%d training rows, %v", train.Len(), err)
	}
}

func TestDeriveSaysWhenThePackageIsTooSmall(t *testing.T) {
	t.Parallel()
	if err := derive(fakePackage(t, 5), t.TempDir(), shippedCut); err == nil {
		t.Error("no error for 50 pictures")
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name) // #nosec G304 -- a test's own folder.
	if err != nil {
		t.Fatal(err)
	}
	return content
}
