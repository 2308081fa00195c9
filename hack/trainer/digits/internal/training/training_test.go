package training_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/contract"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/training"
)

// fakeClock moves on by tick with every step, and calls onStep with the number of steps so far.
type fakeClock struct {
	now    time.Time
	tick   time.Duration
	steps  int
	onStep func(int)
}

func newClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), tick: time.Millisecond, onStep: func(int) {}}
}

func (c *fakeClock) Now() time.Time { return c.now }

func (c *fakeClock) Sleep(_ context.Context, d time.Duration) {
	c.now = c.now.Add(max(d, c.tick))
	c.steps++
	c.onStep(c.steps)
}

func placesIn(dir string) contract.Places {
	return contract.Places{
		ArtifactsDir:  filepath.Join(dir, "artifacts"),
		CheckpointDir: filepath.Join(dir, "artifacts", "checkpoints"),
		ProgressFile:  filepath.Join(dir, "progress.jsonl"),
	}
}

// shipped returns the first rows of one split of the shipped dataset.
func shipped(t *testing.T, split string, rows int) dataset.Set {
	t.Helper()
	set, err := dataset.Load(os.DirFS("../../data"), split)
	if err != nil {
		t.Fatal(err)
	}
	set.Images, set.Labels = set.Images[:rows], set.Labels[:rows]
	return set
}

func smallOptions() training.Options {
	options := training.Defaults()
	options.Epochs, options.Model.Hidden, options.CheckpointEvery = 4, 16, 1
	return options
}

type result struct {
	metrics training.Metrics
	text    string
	err     error
}

// attempt is one start of the trainer.
type attempt struct {
	dir     string
	options training.Options
	clock   *fakeClock
	set     dataset.Set
}

func (a attempt) run(ctx context.Context, t *testing.T) result {
	t.Helper()
	var out bytes.Buffer
	trainer, err := training.New(a.options, placesIn(a.dir), a.set, a.clock, &out)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := trainer.Run(ctx)
	return result{metrics: metrics, text: out.String(), err: err}
}

func progressIn(t *testing.T, dir string) []contract.Progress {
	t.Helper()
	text, err := os.ReadFile(placesIn(dir).ProgressFile)
	if err != nil {
		t.Fatal(err)
	}
	var lines []contract.Progress
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for scanner.Scan() {
		var line contract.Progress
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("line %q: %v", scanner.Text(), err)
		}
		lines = append(lines, line)
	}
	return lines
}

func model(t *testing.T, dir string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(placesIn(dir).ArtifactsDir, training.ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTrainingReallyLearnsToReadDigits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	options := training.Defaults()
	options.Epochs = 6
	got := attempt{dir, options, newClock(), shipped(t, dataset.Train, 6000)}.run(t.Context(), t)
	if got.err != nil {
		t.Fatal(got.err)
	}
	history := got.metrics.History
	if first, last := history[0].Loss, history[5].Loss; last > first/2 {
		t.Errorf("loss went from %.3f to %.3f, want half or less", first, last)
	}
	published, err := network.ReadModel(bytes.NewReader(model(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	accuracy := published.Accuracy(training.Examples(shipped(t, dataset.Heldout, 1000)))
	if accuracy < 0.93 {
		t.Errorf("accuracy on held-out rows is %.3f, want 0.93 or more", accuracy)
	}
	t.Logf("held-out accuracy after %d epochs: %.3f", options.Epochs, accuracy)
}

func TestStoppedAndResumedTrainingEndsWithTheSameModel(t *testing.T) {
	t.Parallel()
	set := shipped(t, dataset.Train, 500) // 450 to train: 15 batches per epoch, 60 in all
	want := t.TempDir()
	if got := (attempt{want, smallOptions(), newClock(), set}).run(t.Context(), t); got.err != nil {
		t.Fatal(got.err)
	}
	tests := map[string]int{
		"stopped after the first step":      1,
		"stopped in the middle of an epoch": 22,
		"stopped at the end of an epoch":    30,
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			clock := newClock()
			clock.onStep = func(done int) {
				if done == steps {
					cancel()
				}
			}
			stopped := attempt{dir, smallOptions(), clock, set}.run(ctx, t)
			if !errors.Is(stopped.err, training.ErrStopped) {
				t.Fatalf("error %v, want %v", stopped.err, training.ErrStopped)
			}
			if _, err := os.Stat(filepath.Join(placesIn(dir).ArtifactsDir, training.ModelFile)); err == nil {
				t.Error("a stopped training published a model")
			}
			clock = newClock()
			resumed := attempt{dir, smallOptions(), clock, set}.run(t.Context(), t)
			if resumed.err != nil {
				t.Fatal(resumed.err)
			}
			if clock.steps != 60-steps {
				t.Errorf("%d steps after resuming, want %d", clock.steps, 60-steps)
			}
			if !bytes.Equal(model(t, want), model(t, dir)) {
				t.Error("the model differs from the one of a training that was never stopped")
			}
		})
	}
}

func TestUnreadableCheckpointFallsBackToTheOneBefore(t *testing.T) {
	t.Parallel()
	set, dir := shipped(t, dataset.Train, 500), t.TempDir()
	half := smallOptions()
	half.Epochs = 2
	if got := (attempt{dir, half, newClock(), set}).run(t.Context(), t); got.err != nil {
		t.Fatal(got.err)
	}
	newest := filepath.Join(placesIn(dir).CheckpointDir, contract.CheckpointName(30))
	if err := os.WriteFile(newest, []byte(`{"format":`), 0o600); err != nil {
		t.Fatal(err)
	}
	later := filepath.Join(placesIn(dir).CheckpointDir, contract.CheckpointName(999))
	if err := os.WriteFile(later, []byte(`{"format":"lethe-digits-checkpoint/1","network":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got := attempt{dir, smallOptions(), newClock(), set}.run(t.Context(), t)
	if got.err != nil {
		t.Fatal(got.err)
	}
	for _, want := range []string{contract.CheckpointName(30) + " is damaged", "going on from " + contract.CheckpointName(15)} {
		if !strings.Contains(got.text, want) {
			t.Errorf("%q is missing in:\n%s", want, got.text)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(later), "."+filepath.Base(later)+".unreadable")); err != nil {
		t.Errorf("the damaged checkpoint was not set aside: %v", err)
	}
	left, err := contract.Checkpoints(placesIn(dir).CheckpointDir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{contract.CheckpointName(60), contract.CheckpointName(45)}, left); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFolderInPlaceOfACheckpointIsNotTakenForOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	blocked := filepath.Join(placesIn(dir).CheckpointDir, contract.CheckpointName(999))
	if err := os.MkdirAll(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := (attempt{dir, smallOptions(), newClock(), shipped(t, dataset.Train, 500)}).run(t.Context(), t); got.err != nil {
		t.Error(got.err)
	}
}

func TestCheckpointOfAnotherTrainingIsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*training.Options)
		rows   int
	}{
		"other settings":   {func(o *training.Options) { o.Model.Seed = 2 }, 500},
		"another data set": {func(*training.Options) {}, 400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if got := (attempt{dir, smallOptions(), newClock(), shipped(t, dataset.Train, 500)}).run(t.Context(), t); got.err != nil {
				t.Fatal(got.err)
			}
			options := smallOptions()
			test.change(&options)
			got := attempt{dir, options, newClock(), shipped(t, dataset.Train, test.rows)}.run(t.Context(), t)
			if !errors.Is(got.err, training.ErrOtherRun) {
				t.Errorf("error %v, want %v", got.err, training.ErrOtherRun)
			}
		})
	}
}

func TestOnlyTheNewestCheckpointsStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := (attempt{dir, smallOptions(), newClock(), shipped(t, dataset.Train, 500)}).run(t.Context(), t); got.err != nil {
		t.Fatal(got.err)
	}
	got, err := contract.Checkpoints(placesIn(dir).CheckpointDir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{contract.CheckpointName(60), contract.CheckpointName(45)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProgressNeverGoesBackAndEndsAtHundred(t *testing.T) {
	t.Parallel()
	dir, clock := t.TempDir(), newClock()
	clock.tick = 300 * time.Millisecond
	if got := (attempt{dir, smallOptions(), clock, shipped(t, dataset.Train, 500)}).run(t.Context(), t); got.err != nil {
		t.Fatal(got.err)
	}
	lines := progressIn(t, dir)
	for i, line := range lines {
		if line.Epochs != 4 || line.TotalSteps != 60 || line.Epoch < 1 || line.Metrics["loss"] <= 0 {
			t.Errorf("line %d is %+v", i, line)
		}
		if i > 0 && (line.Step <= lines[i-1].Step || line.Percent <= lines[i-1].Percent || line.Epoch < lines[i-1].Epoch) {
			t.Errorf("line %d goes back: %+v after %+v", i, line, lines[i-1])
		}
	}
	last := lines[len(lines)-1]
	if last.Percent != 100 || last.Epoch != 4 || last.Step != 60 || last.Metrics["accuracy"] <= 0 {
		t.Errorf("last line is %+v", last)
	}
	// 60 steps of 0.3 s: a line about each second, and one for each of the four epochs.
	if len(lines) < 14 || len(lines) > 20 {
		t.Errorf("%d lines, want 14 to 20", len(lines))
	}
}

func TestPaceStretchesEveryEpoch(t *testing.T) {
	t.Parallel()
	clock, options := newClock(), smallOptions()
	options.MinEpoch = 3 * time.Second
	start := clock.now
	if got := (attempt{t.TempDir(), options, clock, shipped(t, dataset.Train, 500)}).run(t.Context(), t); got.err != nil {
		t.Fatal(got.err)
	}
	if took := clock.now.Sub(start); took < 12*time.Second || took > 12500*time.Millisecond {
		t.Errorf("4 epochs of 3 s took %v", took)
	}
}

func TestDivergedTrainingFails(t *testing.T) {
	t.Parallel()
	set := shipped(t, dataset.Train, 100)
	options := smallOptions()
	options.Epochs, options.Model.LearningRate = 1, 1
	dir := t.TempDir()
	if got := (attempt{dir, options, newClock(), set}).run(t.Context(), t); got.err != nil {
		t.Fatal(got.err)
	}
	// Weights so large that their products overflow stand in for a training that ran away.
	spoilCheckpoint(t, placesIn(dir).CheckpointDir)
	options.Epochs = 2
	if got := (attempt{dir, options, newClock(), set}).run(t.Context(), t); !errors.Is(got.err, training.ErrDiverged) {
		t.Errorf("error %v, want %v", got.err, training.ErrDiverged)
	}
}

func spoilCheckpoint(t *testing.T, dir string) {
	t.Helper()
	names, err := contract.Checkpoints(dir)
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %v", names, err)
	}
	path := filepath.Join(dir, names[0])
	text, err := os.ReadFile(path) // #nosec G304 -- a test's own folder.
	if err != nil {
		t.Fatal(err)
	}
	var saved map[string]any
	if err := json.Unmarshal(text, &saved); err != nil {
		t.Fatal(err)
	}
	weights := saved["network"].(map[string]any)["w2"].([]any)
	for i := range weights {
		weights[i] = 1e308
	}
	if text, err = json.Marshal(saved); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOptionsOutOfRangeAreNamed(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*training.Options){
		"epochs":                func(o *training.Options) { o.Epochs = 0 },
		"hidden":                func(o *training.Options) { o.Model.Hidden = -1 },
		"batch":                 func(o *training.Options) { o.Model.Batch = 0 },
		"learning-rate":         func(o *training.Options) { o.Model.LearningRate = 0 },
		"checkpoint-every":      func(o *training.Options) { o.CheckpointEvery = 0 },
		"keep-checkpoints":      func(o *training.Options) { o.KeepCheckpoints = 0 },
		"seconds-per-epoch-min": func(o *training.Options) { o.MinEpoch = -1 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := training.Defaults()
			change(&options)
			err := options.Check()
			if !errors.Is(err, training.ErrOptions) || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v, want %v naming %s", err, training.ErrOptions, name)
			}
		})
	}
}

func TestTooFewRowsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := training.New(smallOptions(), placesIn(t.TempDir()), shipped(t, dataset.Train, 1), newClock(), &bytes.Buffer{})
	if !errors.Is(err, dataset.ErrEmpty) {
		t.Errorf("error %v, want %v", err, dataset.ErrEmpty)
	}
}
