package training

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
)

func TestShift(t *testing.T) {
	t.Parallel()
	image := []float64{
		0, 0, 0,
		0, 1, 0,
		0, 0, 0.5,
	}
	tests := map[string]struct {
		down, right float64
		want        []float64
	}{
		"not at all":             {0, 0, image},
		"one pixel down":         {1, 0, []float64{0, 0, 0, 0, 0, 0, 0, 1, 0}},
		"one pixel left":         {0, -1, []float64{0, 0, 0, 1, 0, 0, 0, 0.5, 0}},
		"half a pixel up":        {-0.5, 0, []float64{0, 0.5, 0, 0, 0.5, 0.25, 0, 0, 0.25}},
		"a quarter pixel right":  {0, 0.25, []float64{0, 0, 0, 0, 0.75, 0.25, 0, 0, 0.375}},
		"out of the picture":     {3, 3, make([]float64, 9)},
		"half a pixel both ways": {-0.5, -0.5, []float64{0.25, 0.25, 0, 0.25, 0.375, 0.125, 0, 0.125, 0.125}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, shift(image, 3, 3, test.down, test.right)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestJitterLeavesTheRowsAlone(t *testing.T) {
	t.Parallel()
	batch := []network.Example{{Input: []float64{0, 1, 0, 0}, Label: 4}}
	moved := jitter(batch, 2, 2, newRandom(1, streamJitter, 0))
	if diff := cmp.Diff([]float64{0, 1, 0, 0}, batch[0].Input); diff != "" {
		t.Errorf("the original changed:\n%s", diff)
	}
	if moved[0].Label != 4 || cmp.Equal(moved[0].Input, batch[0].Input) {
		t.Errorf("moved to %+v, want another picture of the same label", moved[0])
	}
}

func TestSplitIsRepeatableAndLosesNothing(t *testing.T) {
	t.Parallel()
	var examples []network.Example
	for i := range 50 {
		examples = append(examples, network.Example{Label: i})
	}
	train, validation := split(examples, 3)
	if len(train) != 45 || len(validation) != 5 {
		t.Fatalf("%d and %d rows, want 45 and 5", len(train), len(validation))
	}
	seen := map[int]bool{}
	for _, example := range append(append([]network.Example{}, train...), validation...) {
		seen[example.Label] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d different rows, want 50", len(seen))
	}
	again, _ := split(examples, 3)
	if diff := cmp.Diff(train, again); diff != "" {
		t.Errorf("the same seed split differently:\n%s", diff)
	}
}

func TestRandomStreamsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[uint64]bool{}
	for _, stream := range []uint64{streamWeights, streamSplit, streamOrder, streamJitter} {
		for index := range 3 {
			seen[newRandom(1, stream, index).Uint64()] = true
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d different first numbers, want 12", len(seen))
	}
}

func TestRemainingRoundsAsAPersonWould(t *testing.T) {
	t.Parallel()
	tests := map[time.Duration]string{
		0:                       "less than 1 s left",
		1400 * time.Millisecond: "about 1 s left",
		89 * time.Second:        "about 89 s left",
		100 * time.Second:       "about 2 min left",
		3 * time.Hour:           "about 3 h left",
	}
	for left, want := range tests {
		if got := remaining(left); got != want {
			t.Errorf("%v: %q, want %q", left, got, want)
		}
	}
}

func TestMeterEstimatesFromItsOwnStart(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	m := newMeter(start, 40, 100) // resumed after 40 steps
	if got := m.left(start, 40); got != 0 {
		t.Errorf("before the first step: %v, want 0", got)
	}
	// 10 steps in 5 s: 50 more take 25 s.
	if got := m.left(start.Add(5*time.Second), 50); math.Abs(got.Seconds()-25) > 0.001 {
		t.Errorf("%v left, want 25 s", got)
	}
}

func TestPaceOfAResumedEpochTakesOnlyWhatIsLeft(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	p := newPace(start, 10*time.Second, 10, 6) // 6 of 10 batches are done
	tests := map[string]struct {
		elapsed  time.Duration
		finished int
		want     time.Duration
	}{
		"the next batch was quick":  {100 * time.Millisecond, 7, 900 * time.Millisecond},
		"the last batch was quick":  {3 * time.Second, 10, time.Second},
		"training is slower anyway": {5 * time.Second, 7, -4 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := p.wait(start.Add(test.elapsed), test.finished); got != test.want {
				t.Errorf("wait %v, want %v", got, test.want)
			}
		})
	}
}
