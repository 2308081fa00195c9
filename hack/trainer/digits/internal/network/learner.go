package network

import (
	"fmt"
	"math"
)

// Adam's constants, as its authors propose (Kingma and Ba 2015, algorithm 1).
const (
	decayMean     = 0.9
	decayVariance = 0.999
	epsilon       = 1e-8
)

// Moments is what Adam remembers between steps; a checkpoint needs it to go on as if never stopped.
type Moments struct {
	Steps    int      `json:"steps"`
	Mean     *Network `json:"mean"`
	Variance *Network `json:"variance"`
}

// Learner changes a network step by step. It is not safe for use by several goroutines.
type Learner struct {
	network  *Network
	moments  Moments
	gradient *Network
	// Buffers of one example, kept so that a step allocates nothing.
	hidden, scores, blame []float64
}

// NewLearner starts with empty moments.
func NewLearner(n *Network) *Learner {
	return newLearner(n, Moments{
		Mean:     zero(n.Inputs, n.Hidden, n.Classes),
		Variance: zero(n.Inputs, n.Hidden, n.Classes),
	})
}

// ResumeLearner goes on from saved moments; it returns ErrShape when they belong to another network.
func ResumeLearner(n *Network, moments Moments) (*Learner, error) {
	for _, saved := range []*Network{n, moments.Mean, moments.Variance} {
		if saved == nil {
			return nil, fmt.Errorf("%w: a part is missing", ErrShape)
		}
		if err := saved.Check(); err != nil {
			return nil, err
		}
		if saved.Inputs != n.Inputs || saved.Hidden != n.Hidden || saved.Classes != n.Classes {
			return nil, fmt.Errorf("%w: moments of another network", ErrShape)
		}
	}
	return newLearner(n, moments), nil
}

func newLearner(n *Network, moments Moments) *Learner {
	return &Learner{
		network: n, moments: moments,
		gradient: zero(n.Inputs, n.Hidden, n.Classes),
		hidden:   make([]float64, n.Hidden),
		scores:   make([]float64, n.Classes),
		blame:    make([]float64, n.Hidden),
	}
}

// Network is the network being changed, not a copy.
func (l *Learner) Network() *Network { return l.network }

// Moments are the live moments, not a copy.
func (l *Learner) Moments() Moments { return l.moments }

// Step moves the weights once against the gradient of the batch, and returns the batch's mean loss before
// the move. The batch must not be empty.
func (l *Learner) Step(batch []Example, rate float64) float64 {
	loss := l.Measure(batch, len(batch))
	l.Move(rate)
	return loss
}

// Measure sets the gradient to what these examples contribute to a batch of the given size, and returns what
// they contribute to its mean loss. The sums over all parts of a batch are those of the batch.
func (l *Learner) Measure(examples []Example, batchSize int) float64 {
	for _, part := range l.gradient.parts() {
		clear(part)
	}
	share, loss := 1/float64(batchSize), 0.0
	for _, example := range examples {
		loss += share * l.backward(example, share)
	}
	return loss
}

// Gradient is the live gradient, not a copy: several learners that set it to the sum of all of theirs before
// they Move stay the same.
func (l *Learner) Gradient() [][]float64 {
	parts := l.gradient.parts()
	return parts[:]
}

// Move moves the weights once against the gradient.
func (l *Learner) Move(rate float64) {
	l.moments.Steps++
	steps := float64(l.moments.Steps)
	rate *= math.Sqrt(1-math.Pow(decayVariance, steps)) / (1 - math.Pow(decayMean, steps))
	weights, gradients := l.network.parts(), l.gradient.parts()
	means, variances := l.moments.Mean.parts(), l.moments.Variance.parts()
	for p := range weights {
		adam(weights[p], gradients[p], means[p], variances[p], rate)
	}
}

func adam(weights, gradients, means, variances []float64, rate float64) {
	for i, gradient := range gradients {
		means[i] += (1 - decayMean) * (gradient - means[i])
		variances[i] += (1 - decayVariance) * (gradient*gradient - variances[i])
		weights[i] -= rate * means[i] / (math.Sqrt(variances[i]) + epsilon)
	}
}

// backward adds share times one example's gradient to l.gradient, and returns the example's loss.
func (l *Learner) backward(example Example, share float64) float64 {
	n, g := l.network, l.gradient
	n.forward(example.Input, l.hidden, l.scores)
	softmax(l.scores)
	loss := crossEntropy(l.scores, example.Label)

	// The gradient of softmax with cross-entropy is "probability minus truth".
	l.scores[example.Label]--
	addScaled(g.B2, l.scores, share)
	for h, value := range l.hidden {
		l.blame[h] = 0
		if value <= 0 {
			continue // a unit at rest passes nothing back
		}
		addScaled(g.W2[h*n.Classes:(h+1)*n.Classes], l.scores, share*value)
		for c, score := range l.scores {
			l.blame[h] += score * n.W2[h*n.Classes+c]
		}
	}
	addScaled(g.B1, l.blame, share)
	for i, value := range example.Input {
		if value != 0 {
			addScaled(g.W1[i*n.Hidden:(i+1)*n.Hidden], l.blame, share*value)
		}
	}
	return loss
}
