package training

import (
	"errors"
	"fmt"
	"time"
)

// Options are the settings of a training; Defaults gives good ones for the shipped dataset.
type Options struct {
	// Epochs is how often all training rows are seen; a resumed run may ask for more than before.
	Epochs int
	// Model decides the result; a checkpoint goes on only under the same values.
	Model Settings
	// CheckpointEvery is in epochs.
	CheckpointEvery int
	// KeepCheckpoints is how many of the newest stay.
	KeepCheckpoints int
	// MinEpoch stretches each epoch to at least this long, so that a person can watch; 0 runs at full speed.
	MinEpoch time.Duration
}

// Settings are what the result depends on, beside the data and Options.Epochs.
type Settings struct {
	Hidden       int     `json:"hidden"`
	Batch        int     `json:"batch"`
	LearningRate float64 `json:"learningRate"`
	Seed         uint64  `json:"seed"`
}

// Defaults are the settings of the demo: about 96 % on held-out rows in about two seconds of one core.
func Defaults() Options {
	return Options{
		Epochs:          20,
		Model:           Settings{Hidden: 128, Batch: 32, LearningRate: 0.003, Seed: 1},
		CheckpointEvery: 5,
		KeepCheckpoints: 2,
	}
}

// ErrOptions says that a setting makes no sense.
var ErrOptions = errors.New("setting out of range")

// Check returns ErrOptions naming the first setting that is out of range.
func (o Options) Check() error {
	checks := []struct {
		ok   bool
		name string
		want string
	}{
		{o.Epochs >= 1 && o.Epochs <= 100_000, "epochs", "1 to 100000"},
		{o.Model.Hidden >= 1 && o.Model.Hidden <= 4096, "hidden", "1 to 4096"},
		{o.Model.Batch >= 1, "batch", "at least 1"},
		{o.Model.LearningRate > 0 && o.Model.LearningRate <= 1, "learning-rate", "above 0, at most 1"},
		{o.CheckpointEvery >= 1, "checkpoint-every", "at least 1"},
		{o.KeepCheckpoints >= 1, "keep-checkpoints", "at least 1"},
		{o.MinEpoch >= 0, "seconds-per-epoch-min", "0 or more"},
	}
	for _, check := range checks {
		if !check.ok {
			return fmt.Errorf("%w: %s must be %s", ErrOptions, check.name, check.want)
		}
	}
	return nil
}
