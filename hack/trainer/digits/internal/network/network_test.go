package network_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
)

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) } // #nosec G404 -- a test.

// someExamples are random inputs, a third of them zero, with random labels.
func someExamples(count, inputs, classes int, seed uint64) []network.Example {
	source := random(seed)
	examples := make([]network.Example, count)
	for i := range examples {
		input := make([]float64, inputs)
		for p := range input {
			input[p] = max(0, source.Float64()*1.5-0.5)
		}
		examples[i] = network.Example{Input: input, Label: source.IntN(classes)}
	}
	return examples
}

// exclusiveOr can't be learned without a hidden layer.
func exclusiveOr() []network.Example {
	return []network.Example{
		{Input: []float64{0, 0}, Label: 0},
		{Input: []float64{0, 1}, Label: 1},
		{Input: []float64{1, 0}, Label: 1},
		{Input: []float64{1, 1}, Label: 0},
	}
}

func TestLearnerSolvesExclusiveOr(t *testing.T) {
	t.Parallel()
	learner := network.NewLearner(network.New(2, 16, 2, random(3)))
	examples := exclusiveOr()
	before := learner.Network().Loss(examples)
	for range 500 {
		learner.Step(examples, 0.02)
	}
	if after := learner.Network().Loss(examples); after > 0.05 || after > before {
		t.Errorf("loss went from %.4f to %.4f, want below 0.05", before, after)
	}
	if accuracy := learner.Network().Accuracy(examples); accuracy != 1 {
		t.Errorf("accuracy %.2f, want 1", accuracy)
	}
}

func TestStepReturnsTheLossBeforeTheMove(t *testing.T) {
	t.Parallel()
	examples := someExamples(8, 5, 3, 1)
	n := network.New(5, 4, 3, random(1))
	want := n.Loss(examples)
	if got := network.NewLearner(n).Step(examples, 0.1); math.Abs(got-want) > 1e-12 {
		t.Errorf("loss %.15f, want %.15f", got, want)
	}
}

func TestEqualSeedsGiveEqualNetworks(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(network.New(5, 4, 3, random(1)), network.New(5, 4, 3, random(1))); diff != "" {
		t.Errorf("two networks of seed 1 differ:\n%s", diff)
	}
	if cmp.Equal(network.New(5, 4, 3, random(1)), network.New(5, 4, 3, random(2))) {
		t.Error("seeds 1 and 2 gave the same network")
	}
}

func TestHugeScoresDoNotOverflow(t *testing.T) {
	t.Parallel()
	n := network.New(1, 1, 2, random(1))
	n.W1[0], n.W2[0], n.W2[1] = 1, 1e6, -1e6
	loss := n.Loss([]network.Example{{Input: []float64{1}, Label: 1}})
	if math.IsNaN(loss) || math.IsInf(loss, 0) || loss < 10 {
		t.Errorf("loss %v, want a large finite number", loss)
	}
}

func TestAccuracyOfNothingIsZero(t *testing.T) {
	t.Parallel()
	if got := network.New(2, 2, 2, random(1)).Accuracy(nil); got != 0 {
		t.Errorf("accuracy %v, want 0", got)
	}
}

func TestResumedLearnerGoesOnAsIfNeverStopped(t *testing.T) {
	t.Parallel()
	examples := someExamples(20, 6, 3, 2)
	whole := network.NewLearner(network.New(6, 5, 3, random(1)))
	first := network.NewLearner(network.New(6, 5, 3, random(1)))
	for range 5 {
		whole.Step(examples, 0.01)
		first.Step(examples, 0.01)
	}
	saved, err := json.Marshal(map[string]any{"network": first.Network(), "moments": first.Moments()})
	if err != nil {
		t.Fatal(err)
	}
	var loaded struct {
		Network *network.Network
		Moments network.Moments
	}
	if err := json.Unmarshal(saved, &loaded); err != nil {
		t.Fatal(err)
	}
	second, err := network.ResumeLearner(loaded.Network, loaded.Moments)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		whole.Step(examples, 0.01)
		second.Step(examples, 0.01)
	}
	if diff := cmp.Diff(whole.Network(), second.Network()); diff != "" {
		t.Errorf("the resumed network differs:\n%s", diff)
	}
}

func TestResumeRefusesMomentsOfAnotherNetwork(t *testing.T) {
	t.Parallel()
	n := network.New(3, 4, 2, random(1))
	other := network.NewLearner(network.New(3, 5, 2, random(1))).Moments()
	if _, err := network.ResumeLearner(n, other); !errors.Is(err, network.ErrShape) {
		t.Errorf("error %v, want %v", err, network.ErrShape)
	}
	if _, err := network.ResumeLearner(n, network.Moments{}); !errors.Is(err, network.ErrShape) {
		t.Errorf("error %v, want %v", err, network.ErrShape)
	}
}

func TestModelReloadsToIdenticalPredictions(t *testing.T) {
	t.Parallel()
	n := network.New(6, 5, 10, random(4))
	file, err := json.Marshal(network.NewModel(n, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	got, err := network.ReadModel(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(network.NewModel(n, 2, 3), got); diff != "" {
		t.Errorf("weights changed (-want +got):\n%s", diff)
	}
	for i, example := range someExamples(200, 6, 10, 5) {
		if n.Predict(example.Input) != got.Predict(example.Input) {
			t.Errorf("example %d is read differently", i)
		}
	}
}

func TestReadModelRefuses(t *testing.T) {
	t.Parallel()
	const sizes = `"format":"lethe-digits-mlp/1","rows":1,"cols":1,"inputs":1,"hidden":1,"classes":2,`
	tests := map[string]struct {
		file string
		want error
	}{
		"something that is not JSON": {"hello", network.ErrFormat},
		"another format":             {`{"format":"lethe-digits-mlp/2"}`, network.ErrFormat},
		"a file without weights":     {`{"format":"lethe-digits-mlp/1"}`, network.ErrShape},
		"fewer weights than sizes":   {`{` + sizes + `"w1":[1],"b1":[1],"w2":[1],"b2":[1,1]}`, network.ErrShape},
		"inputs that fit no image": {
			strings.Replace(`{`+sizes+`"w1":[1],"b1":[1],"w2":[1,1],"b2":[1,1]}`, `"cols":1`, `"cols":2`, 1),
			network.ErrShape,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := network.ReadModel(strings.NewReader(test.file)); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

func TestCheckRefusesWeightsThatAreNoNumbers(t *testing.T) {
	t.Parallel()
	n := network.New(2, 2, 2, random(1))
	n.B1[1] = math.NaN()
	if err := n.Check(); !errors.Is(err, network.ErrShape) {
		t.Errorf("error %v, want %v", err, network.ErrShape)
	}
}
