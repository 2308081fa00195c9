package dataset_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
)

func packed(t *testing.T, write func(io.Writer) error) *fstest.MapFile {
	t.Helper()
	var file bytes.Buffer
	compressor := gzip.NewWriter(&file)
	if err := errors.Join(write(compressor), compressor.Close()); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: file.Bytes()}
}

func images(t *testing.T, rows, cols int, images ...[]byte) *fstest.MapFile {
	t.Helper()
	return packed(t, func(w io.Writer) error { return dataset.WriteImages(w, images, rows, cols) })
}

func labels(t *testing.T, labels ...byte) *fstest.MapFile {
	t.Helper()
	return packed(t, func(w io.Writer) error { return dataset.WriteLabels(w, labels) })
}

func TestLoadJoinsShardsInOrder(t *testing.T) {
	t.Parallel()
	folder := fstest.MapFS{
		"train/images-10.idx3-ubyte.gz":   images(t, 1, 2, []byte{5, 6}),
		"train/labels-10.idx1-ubyte.gz":   labels(t, 3),
		"train/images-02.idx3-ubyte.gz":   images(t, 1, 2, []byte{1, 2}, []byte{3, 4}),
		"train/labels-02.idx1-ubyte.gz":   labels(t, 1, 2),
		"heldout/images-00.idx3-ubyte.gz": images(t, 1, 2, []byte{9, 9}),
		"heldout/labels-00.idx1-ubyte.gz": labels(t, 9),
		"train/notes.txt":                 {Data: []byte("ignored")},
	}
	want := dataset.Set{Rows: 1, Cols: 2, Images: [][]byte{{1, 2}, {3, 4}, {5, 6}}, Labels: []byte{1, 2, 3}}
	got, err := dataset.Load(folder, dataset.Train)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	const imagesFile, labelsFile = "train/images-00.idx3-ubyte.gz", "train/labels-00.idx1-ubyte.gz"
	one := []byte{1, 2}
	tests := map[string]struct {
		folder fstest.MapFS
		want   error
	}{
		"a folder without the split": {fstest.MapFS{}, dataset.ErrEmpty},
		"shards without rows": {
			fstest.MapFS{imagesFile: images(t, 1, 2), labelsFile: labels(t)}, dataset.ErrEmpty,
		},
		"images without their labels": {fstest.MapFS{imagesFile: images(t, 1, 2, one)}, fs.ErrNotExist},
		"fewer labels than images": {
			fstest.MapFS{imagesFile: images(t, 1, 2, one, one), labelsFile: labels(t, 1)}, dataset.ErrFormat,
		},
		"a label that is no digit": {
			fstest.MapFS{imagesFile: images(t, 1, 2, one), labelsFile: labels(t, 10)}, dataset.ErrFormat,
		},
		"a file that is not compressed": {
			fstest.MapFS{imagesFile: {Data: []byte("plain")}, labelsFile: labels(t, 1)}, dataset.ErrFormat,
		},
		"a compressed file cut short": {
			fstest.MapFS{
				imagesFile: {Data: images(t, 1, 2, one).Data[:20]}, labelsFile: labels(t, 1),
			}, dataset.ErrFormat,
		},
		"shards of different image sizes": {
			fstest.MapFS{
				imagesFile: images(t, 1, 2, one), labelsFile: labels(t, 1),
				"train/images-01.idx3-ubyte.gz": images(t, 2, 1, one), "train/labels-01.idx1-ubyte.gz": labels(t, 1),
			}, dataset.ErrFormat,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := dataset.Load(test.folder, dataset.Train); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

func TestShippedDatasetIsWhatSourceSays(t *testing.T) {
	t.Parallel()
	folder := os.DirFS("../../data")
	train, err := dataset.Load(folder, dataset.Train)
	if err != nil {
		t.Fatal(err)
	}
	heldout, err := dataset.Load(folder, dataset.Heldout)
	if err != nil {
		t.Fatal(err)
	}
	if train.Len() != 6000 || heldout.Len() != 1000 || train.Rows != 14 || train.Cols != 14 {
		t.Errorf("%d and %d rows of %dx%d, want 6000 and 1000 of 14x14",
			train.Len(), heldout.Len(), train.Rows, train.Cols)
	}
	seen := map[string]bool{}
	var perDigit [dataset.Classes]int
	for i, image := range train.Images {
		seen[string(image)] = true
		perDigit[train.Labels[i]]++
	}
	for digit, count := range perDigit {
		if count < 450 {
			t.Errorf("digit %d has only %d training rows", digit, count)
		}
	}
	for i, image := range heldout.Images {
		if seen[string(image)] {
			t.Errorf("held-out row %d is also a training row", i)
		}
	}
}
