package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/contract"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
)

// Names of the published files.
const (
	ModelFile   = "model.json"
	MetricsFile = "metrics.json"
)

// ErrStopped says that training was asked to stop and left a checkpoint.
var ErrStopped = errors.New("stopped before the end; a checkpoint was written")

// ErrDiverged says that the loss is not a number any more.
var ErrDiverged = errors.New("the loss is not a number any more; use a lower learning rate")

// Clock is the time as training sees it.
type Clock interface {
	Now() time.Time
	// Sleep returns after d, or sooner when ctx ends.
	Sleep(ctx context.Context, d time.Duration)
}

// Team is the nodes that train one model together. All of them call the same methods in the same order.
type Team interface {
	// Index is this node's, from 0, among Size.
	Index() int
	Size() int
	// Meet waits until all nodes are there, and fails unless all say the same greeting.
	Meet(ctx context.Context, greeting string) error
	// Sum replaces the values by their sums over all nodes, and says whether any node wishes to stop: the same on
	// every node.
	Sum(values [][]float64, stop bool) (bool, error)
}

// EpochMetrics is one finished epoch.
type EpochMetrics struct {
	Epoch int `json:"epoch"`
	// Loss is the mean training loss in nats, Accuracy the share (0 to 1) of validation rows that are right.
	Loss     float64 `json:"loss"`
	Accuracy float64 `json:"accuracy"`
}

// Metrics is the content of MetricsFile.
type Metrics struct {
	Epochs         int            `json:"epochs"`
	Steps          int            `json:"steps"`
	Parameters     int            `json:"parameters"`
	TrainRows      int            `json:"trainRows"`
	ValidationRows int            `json:"validationRows"`
	Loss           float64        `json:"loss"`
	Accuracy       float64        `json:"accuracy"`
	Settings       Settings       `json:"settings"`
	History        []EpochMetrics `json:"history"`
}

// Trainer trains one model.
type Trainer struct {
	options           Options
	places            contract.Places
	clock             Clock
	screen            screen
	rows, cols        int
	train, validation []network.Example
	state             *state
	team              Team // nil for one node
}

// New checks the options and prepares the rows. Lines for a person go to out.
func New(options Options, places contract.Places, set dataset.Set, clock Clock, out io.Writer) (*Trainer, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	train, validation := split(Examples(set), options.Model.Seed)
	if len(train) == 0 {
		return nil, fmt.Errorf("%w: %d rows are too few to train", dataset.ErrEmpty, set.Len())
	}
	return &Trainer{
		options: options, places: places, clock: clock, screen: screen{out: out},
		rows: set.Rows, cols: set.Cols, train: train, validation: validation,
	}, nil
}

// Join makes this node one of several, which share the rows of every batch among them. It is called before Run.
func (t *Trainer) Join(team Team) { t.team = team }

// Run trains to the last epoch and publishes the model. It goes on from the newest checkpoint when there is
// one. When ctx ends it writes a checkpoint and returns ErrStopped. Of several nodes only the first writes.
func (t *Trainer) Run(ctx context.Context) (Metrics, error) {
	if err := t.begin(); err != nil {
		return Metrics{}, err
	}
	if err := t.meet(ctx); err != nil {
		return Metrics{}, err
	}
	meter := newMeter(t.clock.Now(), t.state.step(), t.totalSteps())
	for t.state.Epoch < t.options.Epochs {
		if err := t.epoch(ctx, meter); err != nil {
			return Metrics{}, err
		}
		if t.isFirst() && t.state.Epoch%t.options.CheckpointEvery == 0 {
			if _, err := t.state.save(t.places.CheckpointDir, t.options.KeepCheckpoints); err != nil {
				return Metrics{}, err
			}
		}
	}
	return t.publish()
}

// begin sets t.state from the newest checkpoint, or from the seed.
func (t *Trainer) begin() error {
	model := t.options.Model
	fresh := &state{
		Format: checkpointFormat, Settings: model,
		TrainRows: len(t.train), Rows: t.rows, Cols: t.cols,
		Network: network.New(t.rows*t.cols, model.Hidden, dataset.Classes, newRandom(model.Seed, streamWeights, 0)),
	}
	fresh.learner = network.NewLearner(fresh.Network)
	fresh.Moments = fresh.learner.Moments()
	t.screen.say("learning from %d images of %dx%d pixels, checking on %d others; %d weights, seed %d",
		len(t.train), t.cols, t.rows, len(t.validation), fresh.Network.Parameters(), model.Seed)

	saved, err := newest(t.places.CheckpointDir, fresh, t.screen.say)
	switch {
	case errors.Is(err, errNone):
		t.state = fresh
	case err != nil:
		return err
	default:
		t.state = saved
	}
	return nil
}

// epoch runs the batches that the current epoch still lacks.
func (t *Trainer) epoch(ctx context.Context, meter *meter) error {
	order := newRandom(t.options.Model.Seed, streamOrder, t.state.Epoch).Perm(len(t.train))
	pace := newPace(t.clock.Now(), t.options.MinEpoch, t.batches(), t.state.Batch)
	for t.state.Batch < t.batches() {
		if t.team == nil && ctx.Err() != nil {
			return t.stop()
		}
		stop, err := t.step(ctx, order)
		if err != nil {
			return err
		}
		if stop {
			return t.stop()
		}
		t.clock.Sleep(ctx, pace.wait(t.clock.Now(), t.state.Batch))
		if now := t.clock.Now(); meter.isDue(now) && t.state.Batch < t.batches() {
			if err := t.report(now); err != nil {
				return err
			}
		}
	}
	return t.finishEpoch(meter)
}

// step trains on the next batch in the order. It says whether the nodes are to stop after it.
func (t *Trainer) step(ctx context.Context, order []int) (stop bool, err error) {
	from := t.state.Batch * t.options.Model.Batch
	to := min(from+t.options.Model.Batch, len(order))
	batch := make([]network.Example, 0, to-from)
	for _, at := range order[from:to] {
		batch = append(batch, t.train[at])
	}
	step := t.state.step()
	batch = jitter(batch, t.rows, t.cols, newRandom(t.options.Model.Seed, streamJitter, step))
	loss := t.state.learner.Measure(t.share(batch), len(batch))
	if t.team != nil {
		if loss, stop, err = t.sum(ctx, loss); err != nil {
			return false, t.failed(err)
		}
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return false, ErrDiverged
	}
	t.state.learner.Move(t.rate(step))
	t.state.Moments = t.state.learner.Moments()
	t.state.LossSum += loss
	t.state.Batch++
	return stop, nil
}

// rate falls in a straight line to a twentieth: large steps to get near, small ones to settle.
func (t *Trainer) rate(step int) float64 {
	done := min(1, float64(step)/float64(t.totalSteps()))
	return t.options.Model.LearningRate * (1 - 0.95*done)
}

func (t *Trainer) finishEpoch(meter *meter) error {
	s := t.state
	metrics := EpochMetrics{
		Epoch:    s.Epoch + 1,
		Loss:     s.LossSum / float64(t.batches()),
		Accuracy: s.Network.Accuracy(t.validation),
	}
	s.History = append(s.History, metrics)
	s.Epoch, s.Batch, s.LossSum = s.Epoch+1, 0, 0
	now := t.clock.Now()
	t.screen.epoch(metrics, t.options.Epochs, meter.left(now, s.step()))
	meter.isDue(now)
	return t.report(now)
}

// report appends one line to the progress file.
func (t *Trainer) report(now time.Time) error {
	if !t.isFirst() {
		return nil
	}
	s := t.state
	progress := contract.Progress{
		Time: now, Epoch: s.Epoch, Epochs: t.options.Epochs,
		Step: s.step(), TotalSteps: t.totalSteps(),
		Percent: math.Round(1000*float64(s.step())/float64(t.totalSteps())) / 10,
		Metrics: map[string]float64{},
	}
	if last := len(s.History) - 1; last >= 0 {
		progress.Metrics["loss"] = s.History[last].Loss
		progress.Metrics["accuracy"] = s.History[last].Accuracy
	}
	if s.Batch > 0 { // within an epoch: its number, and its loss so far
		progress.Epoch = s.Epoch + 1
		progress.Metrics["loss"] = s.LossSum / float64(s.Batch)
	}
	return contract.AppendProgress(t.places.ProgressFile, progress)
}

// stop leaves a checkpoint for the next attempt.
func (t *Trainer) stop() error {
	if !t.isFirst() {
		t.screen.say("asked to stop after %d of %d steps; node 0 writes the checkpoint", t.state.step(), t.totalSteps())
		return ErrStopped
	}
	name, err := t.state.save(t.places.CheckpointDir, t.options.KeepCheckpoints)
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	t.screen.say("asked to stop: wrote %s after %d of %d steps", name, t.state.step(), t.totalSteps())
	return ErrStopped
}

// publish writes the artifacts.
func (t *Trainer) publish() (Metrics, error) {
	s := t.state
	last := s.History[len(s.History)-1]
	metrics := Metrics{
		Epochs: s.Epoch, Steps: s.step(), Parameters: s.Network.Parameters(),
		TrainRows: len(t.train), ValidationRows: len(t.validation),
		Loss: last.Loss, Accuracy: last.Accuracy,
		Settings: s.Settings, History: s.History,
	}
	if !t.isFirst() {
		t.screen.say("done: node 0 publishes the model")
		return metrics, nil
	}
	model, err := json.Marshal(network.NewModel(s.Network, t.rows, t.cols))
	if err != nil {
		return Metrics{}, fmt.Errorf("encode model: %w", err)
	}
	text, err := json.MarshalIndent(metrics, "", "  ")
	if err != nil {
		return Metrics{}, fmt.Errorf("encode metrics: %w", err)
	}
	if err := contract.WriteFile(t.places.ArtifactsDir, ModelFile, model); err != nil {
		return Metrics{}, err
	}
	if err := contract.WriteFile(t.places.ArtifactsDir, MetricsFile, append(text, '\n')); err != nil {
		return Metrics{}, err
	}
	t.screen.say("done: %s (%d KiB) and %s are ready", ModelFile, len(model)/1024, MetricsFile)
	return metrics, nil
}

// batches is the number of batches per epoch; the last one may be smaller.
func (t *Trainer) batches() int {
	return (len(t.train) + t.options.Model.Batch - 1) / t.options.Model.Batch
}

func (t *Trainer) totalSteps() int { return t.batches() * t.options.Epochs }
