// Package scoring judges a finished model on rows it has never seen.
package scoring

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
)

// ErrImageSize says that a model was trained for images of another size.
var ErrImageSize = errors.New("the model was trained for images of another size")

// Miss is one image that was read wrong.
type Miss struct {
	// Index is the row in the split, Label what it shows, Read what the model said.
	Index, Label, Read int
}

// Score is the result over one split.
type Score struct {
	// Confusion[label][read] counts images.
	Confusion [dataset.Classes][dataset.Classes]int
	// Misses are in the order of the rows.
	Misses []Miss
	// Total is the number of images.
	Total int
}

// Judge runs the model over every image. It returns ErrImageSize when they don't fit it.
func Judge(model network.Model, set dataset.Set, examples []network.Example) (Score, error) {
	if model.Rows != set.Rows || model.Cols != set.Cols || model.Classes != dataset.Classes {
		return Score{}, fmt.Errorf("%w: %dx%d with %d classes, the data is %dx%d with %d",
			ErrImageSize, model.Rows, model.Cols, model.Classes, set.Rows, set.Cols, dataset.Classes)
	}
	score := Score{Total: len(examples)}
	for i, example := range examples {
		read := model.Predict(example.Input)
		score.Confusion[example.Label][read]++
		if read != example.Label {
			score.Misses = append(score.Misses, Miss{Index: i, Label: example.Label, Read: read})
		}
	}
	return score, nil
}

// Accuracy is the share (0 to 1) of images read right; 0 when there was none.
func (s Score) Accuracy() float64 {
	if s.Total == 0 {
		return 0
	}
	return float64(s.Total-len(s.Misses)) / float64(s.Total)
}

// Print writes the confusion table and the accuracy in plain text.
func (s Score) Print(out io.Writer) error {
	var text strings.Builder
	text.WriteString("shown |  read as\n      |")
	for read := range dataset.Classes {
		fmt.Fprintf(&text, "%5d", read)
	}
	text.WriteString("   right\n")
	for label, row := range s.Confusion {
		fmt.Fprintf(&text, "%5d |", label)
		total := 0
		for _, count := range row {
			total += count
			text.WriteString(cell(count))
		}
		fmt.Fprintf(&text, "  %s\n", percent(row[label], total))
	}
	fmt.Fprintf(&text, "accuracy %s: %d of %d held-out images read right\n",
		strings.TrimSpace(percent(s.Total-len(s.Misses), s.Total)), s.Total-len(s.Misses), s.Total)
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("print score: %w", err)
	}
	return nil
}

func cell(count int) string {
	if count == 0 {
		return "    ."
	}
	return fmt.Sprintf("%5d", count)
}

func percent(part, total int) string {
	if total == 0 {
		return "    -"
	}
	return fmt.Sprintf("%5.1f %%", 100*float64(part)/float64(total))
}

// Draw shows an image as text, two characters per pixel so that it looks square.
func Draw(image []byte, cols int) string {
	const ink = " .:-=+*#%@"
	var text strings.Builder
	for i, value := range image {
		shade := ink[int(value)*(len(ink)-1)/255]
		text.Write([]byte{shade, shade})
		if i%cols == cols-1 {
			text.WriteByte('\n')
		}
	}
	return text.String()
}
