package network

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The gradient from back-propagation must be the slope that two measurements of the loss show.
func TestGradientAgreesWithFiniteDifferences(t *testing.T) {
	t.Parallel()
	const inputs, hidden, classes, step, tolerance = 6, 5, 4, 1e-6, 1e-7
	source := rand.New(rand.NewPCG(11, 11)) // #nosec G404 -- a test.
	var batch []Example
	for range 7 {
		input := make([]float64, inputs)
		for p := range input {
			input[p] = max(0, source.Float64()*1.5-0.5)
		}
		batch = append(batch, Example{Input: input, Label: source.IntN(classes)})
	}
	learner := NewLearner(New(inputs, hidden, classes, source))
	learner.Measure(batch, len(batch))

	n, checked, nonZero := learner.network, 0, 0
	for p, weights := range n.parts() {
		for i, weight := range weights {
			weights[i] = weight + step
			above := n.Loss(batch)
			weights[i] = weight - step
			below := n.Loss(batch)
			weights[i] = weight
			want, got := (above-below)/(2*step), learner.gradient.parts()[p][i]
			if math.Abs(want-got) > tolerance {
				t.Errorf("part %d, weight %d: gradient %.9f, measured slope %.9f", p, i, got, want)
			}
			checked++
			if got != 0 {
				nonZero++
			}
		}
	}
	if checked != n.Parameters() || nonZero < checked/2 {
		t.Errorf("%d of %d gradients checked, %d not zero: the test says too little", checked, n.Parameters(), nonZero)
	}
}
