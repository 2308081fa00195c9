package network

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Example is one labelled input.
type Example struct {
	// Input values lie between 0 and 1; there are Network.Inputs of them.
	Input []float64
	// Label is 0 to Network.Classes-1.
	Label int
}

// Network holds the weights. The JSON form is the model file's (see Model).
type Network struct {
	Inputs  int `json:"inputs"`
	Hidden  int `json:"hidden"`
	Classes int `json:"classes"`
	// W1[i*Hidden+h] leads from input i to hidden unit h: all weights of one input lie together, so that the
	// zeros of a mostly empty image cost nothing. B1 is the hidden bias.
	W1 []float64 `json:"w1"`
	B1 []float64 `json:"b1"`
	// W2[h*Classes+c] leads from hidden unit h to class c. B2 is the class bias.
	W2 []float64 `json:"w2"`
	B2 []float64 `json:"b2"`
}

// ErrShape says that weights and sizes of a network don't fit together.
var ErrShape = errors.New("sizes do not fit the weights")

// New makes a network with random weights (He's initialisation: variance 2/inputs suits rectified units).
func New(inputs, hidden, classes int, random *rand.Rand) *Network {
	n := zero(inputs, hidden, classes)
	scale(n.W1, math.Sqrt(2/float64(inputs)), random)
	scale(n.W2, math.Sqrt(2/float64(hidden)), random)
	return n
}

func zero(inputs, hidden, classes int) *Network {
	return &Network{
		Inputs: inputs, Hidden: hidden, Classes: classes,
		W1: make([]float64, inputs*hidden), B1: make([]float64, hidden),
		W2: make([]float64, hidden*classes), B2: make([]float64, classes),
	}
}

func scale(weights []float64, deviation float64, random *rand.Rand) {
	for i := range weights {
		weights[i] = random.NormFloat64() * deviation
	}
}

// Parameters is the number of weights and biases.
func (n *Network) Parameters() int { return len(n.W1) + len(n.B1) + len(n.W2) + len(n.B2) }

// Check returns ErrShape unless the sizes are positive, fit the weights, and every weight is a finite number.
func (n *Network) Check() error {
	if n.Inputs < 1 || n.Hidden < 1 || n.Classes < 2 {
		return fmt.Errorf("%w: %d inputs, %d hidden, %d classes", ErrShape, n.Inputs, n.Hidden, n.Classes)
	}
	if len(n.W1) != n.Inputs*n.Hidden || len(n.B1) != n.Hidden ||
		len(n.W2) != n.Hidden*n.Classes || len(n.B2) != n.Classes {
		return fmt.Errorf("%w: weights %d, %d, %d, %d", ErrShape, len(n.W1), len(n.B1), len(n.W2), len(n.B2))
	}
	for _, part := range n.parts() {
		for _, weight := range part {
			if math.IsNaN(weight) || math.IsInf(weight, 0) {
				return fmt.Errorf("%w: a weight is not a finite number", ErrShape)
			}
		}
	}
	return nil
}

// Predict returns the likeliest class of an input.
func (n *Network) Predict(input []float64) int {
	scores := make([]float64, n.Classes)
	n.forward(input, make([]float64, n.Hidden), scores)
	best := 0
	for c, score := range scores {
		if score > scores[best] {
			best = c
		}
	}
	return best
}

// Accuracy is the share (0 to 1) of examples predicted right; 0 when there is none.
func (n *Network) Accuracy(examples []Example) float64 {
	if len(examples) == 0 {
		return 0
	}
	right := 0
	for _, example := range examples {
		if n.Predict(example.Input) == example.Label {
			right++
		}
	}
	return float64(right) / float64(len(examples))
}

// Loss is the mean cross-entropy over the examples, in nats; it must not be called with none.
func (n *Network) Loss(examples []Example) float64 {
	hidden, scores := make([]float64, n.Hidden), make([]float64, n.Classes)
	sum := 0.0
	for _, example := range examples {
		n.forward(example.Input, hidden, scores)
		softmax(scores)
		sum += crossEntropy(scores, example.Label)
	}
	return sum / float64(len(examples))
}

// forward fills the two buffers: hidden activations and class scores (before softmax).
func (n *Network) forward(input, hidden, scores []float64) {
	copy(hidden, n.B1)
	for i, value := range input {
		if value != 0 {
			addScaled(hidden, n.W1[i*n.Hidden:(i+1)*n.Hidden], value)
		}
	}
	copy(scores, n.B2)
	for h, value := range hidden {
		if value <= 0 {
			hidden[h] = 0
			continue
		}
		addScaled(scores, n.W2[h*n.Classes:(h+1)*n.Classes], value)
	}
}

func (n *Network) parts() [4][]float64 { return [4][]float64{n.W1, n.B1, n.W2, n.B2} }

// addScaled adds factor*values to sum, element by element.
func addScaled(sum, values []float64, factor float64) {
	values = values[:len(sum)]
	for i := range sum {
		sum[i] += factor * values[i]
	}
}

// softmax turns scores into probabilities in place; the highest score is taken off first so that exp cannot
// overflow.
func softmax(scores []float64) {
	highest := scores[0]
	for _, score := range scores {
		highest = max(highest, score)
	}
	sum := 0.0
	for i, score := range scores {
		scores[i] = math.Exp(score - highest)
		sum += scores[i]
	}
	for i := range scores {
		scores[i] /= sum
	}
}

// crossEntropy is bounded so that one hopeless example cannot make the loss infinite.
func crossEntropy(probabilities []float64, label int) float64 {
	return -math.Log(max(probabilities[label], 1e-12))
}
