package training_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/contract"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/team"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/training"
)

// nodes are the folders of the nodes of one run.
type nodes []string

func newNodes(t *testing.T, count int) nodes {
	t.Helper()
	var dirs nodes
	for range count {
		dirs = append(dirs, t.TempDir())
	}
	return dirs
}

// handOut gives every node the checkpoints of the first, as stage-in does for a new attempt.
func (n nodes) handOut(t *testing.T) {
	t.Helper()
	from := placesIn(n[0]).CheckpointDir
	for _, dir := range n[1:] {
		if err := os.CopyFS(placesIn(dir).CheckpointDir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
}

// run starts all nodes at once. stopAt asks the last node to stop after so many steps; 0 never does.
func (n nodes) run(t *testing.T, set dataset.Set, stopAt int) []result {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	results := make([]result, len(n))
	var all sync.WaitGroup
	for i, dir := range n {
		others := team.New(team.Place{Index: i, Count: len(n), Address: at})
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		clock := newClock()
		if i == len(n)-1 && stopAt > 0 {
			clock.onStep = func(done int) {
				if done == stopAt {
					cancel()
				}
			}
		}
		all.Go(func() {
			defer others.Close()
			var out bytes.Buffer
			trainer, err := training.New(smallOptions(), placesIn(dir), set, clock, &out)
			if err != nil {
				t.Error(err)
				return
			}
			trainer.Join(others)
			metrics, err := trainer.Run(ctx)
			results[i] = result{metrics: metrics, text: out.String(), err: err}
		})
	}
	all.Wait()
	return results
}

func TestSeveralNodesLearnWhatOneDoes(t *testing.T) {
	t.Parallel()
	set := shipped(t, dataset.Train, 500)
	alone := t.TempDir()
	one := attempt{alone, smallOptions(), newClock(), set}.run(t.Context(), t)
	three := newNodes(t, 3)
	for i, got := range three.run(t, set, 0) {
		if one.err != nil || got.err != nil {
			t.Fatal(one.err, got.err)
		}
		if got.metrics.Steps != 60 || got.metrics.Loss < 0.999*one.metrics.Loss || got.metrics.Loss > 1.001*one.metrics.Loss {
			t.Errorf("node %d: %d steps, loss %v; want 60 and %v", i, got.metrics.Steps, got.metrics.Loss, one.metrics.Loss)
		}
	}
	for i, dir := range three[1:] {
		for _, path := range []string{placesIn(dir).ArtifactsDir, placesIn(dir).ProgressFile} {
			if _, err := os.Stat(path); err == nil {
				t.Errorf("node %d wrote %s", i+1, filepath.Base(path))
			}
		}
	}
	again := newNodes(t, 3)
	again.run(t, set, 0)
	if !bytes.Equal(model(t, three[0]), model(t, again[0])) {
		t.Error("the same training on three nodes gave another model")
	}
	want, got := accuracy(t, alone), accuracy(t, three[0])
	if want < 0.3 || got < want-0.02 || got > want+0.02 {
		t.Errorf("accuracy %.3f, want that of one node, %.3f, and that to be better than chance", got, want)
	}
}

// accuracy is that of a published model on held-out rows.
func accuracy(t *testing.T, dir string) float64 {
	t.Helper()
	published, err := network.ReadModel(bytes.NewReader(model(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	return published.Accuracy(training.Examples(shipped(t, dataset.Heldout, 500)))
}

func TestSeveralNodesStopAndResumeTogether(t *testing.T) {
	t.Parallel()
	set := shipped(t, dataset.Train, 500)
	whole := newNodes(t, 2)
	whole.run(t, set, 0)
	broken := newNodes(t, 2)
	for i, got := range broken.run(t, set, 22) { // only node 1 is asked
		if !errors.Is(got.err, training.ErrStopped) {
			t.Fatalf("node %d: %v, want %v", i, got.err, training.ErrStopped)
		}
	}
	if names, err := contract.Checkpoints(placesIn(broken[1]).CheckpointDir); err != nil || len(names) > 0 {
		t.Errorf("node 1 wrote checkpoints: %v, %v", names, err)
	}
	broken.handOut(t)
	for i, got := range broken.run(t, set, 0) {
		if got.err != nil || !strings.Contains(got.text, "going on from "+contract.CheckpointName(23)) {
			t.Fatalf("node %d: %v\n%s", i, got.err, got.text)
		}
	}
	if !bytes.Equal(model(t, whole[0]), model(t, broken[0])) {
		t.Error("the model differs from the one of a training that was never stopped")
	}
}

func TestNodesAtDifferentStepsDoNotTrain(t *testing.T) {
	t.Parallel()
	set, two := shipped(t, dataset.Train, 500), newNodes(t, 2)
	two.run(t, set, 22)
	for i, got := range two.run(t, set, 0) { // node 1 was not given the checkpoint
		if !errors.Is(got.err, team.ErrDiffer) {
			t.Errorf("node %d: %v, want %v", i, got.err, team.ErrDiffer)
		}
	}
}

// lossy is a team whose other nodes go away.
type lossy struct{ steps int }

func (*lossy) Index() int                         { return 0 }
func (*lossy) Size() int                          { return 1 }
func (*lossy) Meet(context.Context, string) error { return nil }

func (l *lossy) Sum(_ [][]float64, stop bool) (bool, error) {
	if l.steps--; l.steps < 0 {
		return false, team.ErrLost
	}
	return stop, nil
}

func TestLostNodeFailsTheTrainingAfterACheckpoint(t *testing.T) {
	t.Parallel()
	set, dir := shipped(t, dataset.Train, 500), t.TempDir()
	var out bytes.Buffer
	trainer, err := training.New(smallOptions(), placesIn(dir), set, newClock(), &out)
	if err != nil {
		t.Fatal(err)
	}
	trainer.Join(&lossy{steps: 22})
	if _, err := trainer.Run(t.Context()); !errors.Is(err, team.ErrLost) {
		t.Fatalf("%v, want %v", err, team.ErrLost)
	}
	resumed := attempt{dir, smallOptions(), newClock(), set}.run(t.Context(), t)
	if resumed.err != nil || !strings.Contains(resumed.text, "going on from "+contract.CheckpointName(22)) {
		t.Fatalf("%v\n%s", resumed.err, resumed.text)
	}
	want := t.TempDir()
	if got := (attempt{want, smallOptions(), newClock(), set}).run(t.Context(), t); got.err != nil {
		t.Fatal(got.err)
	}
	if !bytes.Equal(model(t, want), model(t, dir)) {
		t.Error("the model differs from the one of a training that lost nothing")
	}
}
