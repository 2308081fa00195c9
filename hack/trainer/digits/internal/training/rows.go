package training

import (
	"math"
	"math/rand/v2"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
)

// validationShare: one row in ten of the training split is never trained on.
const validationShare = 10

// Streams of random numbers, so that two uses of one seed don't repeat each other.
const (
	streamWeights = iota << 56
	streamSplit
	streamOrder
	streamJitter
)

func newRandom(seed, stream uint64, index int) *rand.Rand {
	// #nosec G115 G404 -- indices are small and positive; training must be repeatable, not secret.
	return rand.New(rand.NewPCG(seed, stream+uint64(index)))
}

// Examples turns pixels of 0 to 255 into inputs of 0 to 1.
func Examples(set dataset.Set) []network.Example {
	examples := make([]network.Example, 0, set.Len())
	for i, image := range set.Images {
		input := make([]float64, len(image))
		for p, value := range image {
			input[p] = float64(value) / 255
		}
		examples = append(examples, network.Example{Input: input, Label: int(set.Labels[i])})
	}
	return examples
}

// split sets validation rows aside, the same ones for the same seed; at least one row is left on each side
// when there are two.
func split(examples []network.Example, seed uint64) (train, validation []network.Example) {
	order := newRandom(seed, streamSplit, 0).Perm(len(examples))
	aside := max(1, len(examples)/validationShare)
	for i, at := range order {
		if i < aside {
			validation = append(validation, examples[at])
			continue
		}
		train = append(train, examples[at])
	}
	return train, validation
}

// reach is how far jitter moves an image at most, in pixels.
const reach = 0.6

// jitter returns copies of the batch, each image moved by up to reach in both directions: a digit is the same
// digit a little to the left, and the few thousand rows go further that way.
func jitter(batch []network.Example, rows, cols int, random *rand.Rand) []network.Example {
	moved := make([]network.Example, len(batch))
	for i, example := range batch {
		down, right := reach*(2*random.Float64()-1), reach*(2*random.Float64()-1)
		moved[i] = network.Example{Input: shift(example.Input, rows, cols, down, right), Label: example.Label}
	}
	return moved
}

// shift moves an image by a fraction of a pixel: each new pixel is the mean of the four old ones it covers,
// weighted by how much of them it covers. What moves in from outside is background.
func shift(image []float64, rows, cols int, down, right float64) []float64 {
	moved := make([]float64, len(image))
	wholeDown, wholeRight := math.Floor(down), math.Floor(right)
	partDown, partRight := down-wholeDown, right-wholeRight
	corners := [4]struct {
		row, col int
		weight   float64
	}{
		{int(wholeDown), int(wholeRight), (1 - partDown) * (1 - partRight)},
		{int(wholeDown), int(wholeRight) + 1, (1 - partDown) * partRight},
		{int(wholeDown) + 1, int(wholeRight), partDown * (1 - partRight)},
		{int(wholeDown) + 1, int(wholeRight) + 1, partDown * partRight},
	}
	for at, value := range image {
		if value == 0 {
			continue
		}
		for _, corner := range corners {
			row, col := at/cols+corner.row, at%cols+corner.col
			if row >= 0 && row < rows && col >= 0 && col < cols {
				moved[row*cols+col] += value * corner.weight
			}
		}
	}
	return moved
}
