package dataset_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
)

func TestImagesSurviveWritingAndReading(t *testing.T) {
	t.Parallel()
	want := [][]byte{{0, 1, 2, 3, 4, 5}, {255, 254, 253, 252, 251, 250}}
	var file bytes.Buffer
	if err := dataset.WriteImages(&file, want, 2, 3); err != nil {
		t.Fatal(err)
	}
	got, rows, cols, err := dataset.ReadImages(&file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || rows != 2 || cols != 3 {
		t.Errorf("%dx%d, want 2x3; (-want +got):\n%s", rows, cols, diff)
	}
}

func TestLabelsSurviveWritingAndReading(t *testing.T) {
	t.Parallel()
	want := []byte{9, 0, 7}
	var file bytes.Buffer
	if err := dataset.WriteLabels(&file, want); err != nil {
		t.Fatal(err)
	}
	got, err := dataset.ReadLabels(&file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteImagesRefusesAnImageOfAnotherSize(t *testing.T) {
	t.Parallel()
	if err := dataset.WriteImages(&bytes.Buffer{}, [][]byte{{1, 2}}, 2, 2); err == nil {
		t.Error("no error for an image of 2 bytes that should have 4")
	}
}

func TestDamagedImagesAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string][]byte{
		"an empty file":                   {},
		"a header cut short":              {0, 0, 8, 3, 0, 0},
		"the magic number of labels":      {0, 0, 8, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7},
		"fewer pixels than promised":      {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 7},
		"more pixels than promised":       {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7, 7},
		"images without pixels":           {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1},
		"more images than memory":         {0, 0, 8, 3, 255, 255, 255, 255, 0, 0, 0, 1, 0, 0, 0, 1},
		"images larger than any sane one": {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 255, 255, 0, 0, 255, 255},
	}
	for name, file := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, _, err := dataset.ReadImages(bytes.NewReader(file)); !errors.Is(err, dataset.ErrFormat) {
				t.Errorf("error %v, want %v", err, dataset.ErrFormat)
			}
		})
	}
}

func TestDamagedLabelsAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string][]byte{
		"an empty file":               {},
		"the magic number of images":  {0, 0, 8, 3, 0, 0, 0, 1, 7},
		"fewer labels than promised":  {0, 0, 8, 1, 0, 0, 0, 2, 7},
		"more labels than promised":   {0, 0, 8, 1, 0, 0, 0, 1, 7, 7},
		"more labels than any memory": {0, 0, 8, 1, 255, 255, 255, 255, 7},
	}
	for name, file := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := dataset.ReadLabels(bytes.NewReader(file)); !errors.Is(err, dataset.ErrFormat) {
				t.Errorf("error %v, want %v", err, dataset.ErrFormat)
			}
		})
	}
}

func FuzzReadImages(f *testing.F) {
	f.Add([]byte{0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7})
	f.Add([]byte{0, 0, 8, 3, 0, 16, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0})
	f.Fuzz(func(t *testing.T, file []byte) {
		images, rows, cols, err := dataset.ReadImages(bytes.NewReader(file))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := dataset.WriteImages(&again, images, rows, cols); err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		if !bytes.Equal(file, again.Bytes()) {
			t.Error("reading and writing changed the file")
		}
	})
}
