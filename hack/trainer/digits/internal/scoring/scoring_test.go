package scoring_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/scoring"
)

// alwaysThree is a model that reads a 3 in everything.
func alwaysThree() network.Model {
	n := network.New(2, 1, dataset.Classes, rand.New(rand.NewPCG(1, 1))) // #nosec G404 -- a test.
	clear(n.W1)
	n.B2[3] = 1
	return network.NewModel(n, 1, 2)
}

func judged(t *testing.T) scoring.Score {
	t.Helper()
	input := []float64{0, 1}
	examples := []network.Example{{Input: input, Label: 3}, {Input: input, Label: 5}, {Input: input, Label: 3}}
	score, err := scoring.Judge(alwaysThree(), dataset.Set{Rows: 1, Cols: 2}, examples)
	if err != nil {
		t.Fatal(err)
	}
	return score
}

func TestJudgeCountsRightAndWrong(t *testing.T) {
	t.Parallel()
	want := scoring.Score{Total: 3, Misses: []scoring.Miss{{Index: 1, Label: 5, Read: 3}}}
	want.Confusion[3][3], want.Confusion[5][3] = 2, 1
	score := judged(t)
	if diff := cmp.Diff(want, score); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := score.Accuracy(); got != 2.0/3 {
		t.Errorf("accuracy %v, want 2/3", got)
	}
}

func TestJudgeRefusesImagesOfAnotherSize(t *testing.T) {
	t.Parallel()
	_, err := scoring.Judge(alwaysThree(), dataset.Set{Rows: 2, Cols: 1}, nil)
	if !errors.Is(err, scoring.ErrImageSize) {
		t.Errorf("error %v, want %v", err, scoring.ErrImageSize)
	}
}

func TestPrintEndsWithTheAccuracy(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	if err := judged(t).Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"    3 |    .    .    .    2    .    .    .    .    .    .  100.0 %\n",
		"    5 |    .    .    .    1    .    .    .    .    .    .    0.0 %\n",
		"    7 |    .    .    .    .    .    .    .    .    .    .      -\n",
		"accuracy 66.7 %: 2 of 3 held-out images read right\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("missing line %q in:\n%s", want, text.String())
		}
	}
}

func TestAccuracyOfNothingIsZero(t *testing.T) {
	t.Parallel()
	if got := (scoring.Score{}).Accuracy(); got != 0 {
		t.Errorf("accuracy %v, want 0", got)
	}
}

func TestDrawShadesFromPaperToInk(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff("  ++\n@@  \n", scoring.Draw([]byte{0, 142, 255, 27}, 2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
