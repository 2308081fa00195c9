package training

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/contract"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
)

const checkpointFormat = "lethe-digits-checkpoint/1"

// ErrOtherRun says that a checkpoint was made from other data or under other settings.
var ErrOtherRun = errors.New("the checkpoint belongs to another training")

var errNone = errors.New("no checkpoint")

// state is everything that a step depends on and changes; a checkpoint is its JSON form.
type state struct {
	Format   string   `json:"format"`
	Settings Settings `json:"settings"`
	// TrainRows and Rows by Cols pixels say what was trained on.
	TrainRows int `json:"trainRows"`
	Rows      int `json:"rows"`
	Cols      int `json:"cols"`
	// Epoch counts finished epochs, Batch the finished batches of the next one.
	Epoch int `json:"epoch"`
	Batch int `json:"batch"`
	// LossSum is the sum of the losses of those batches.
	LossSum float64          `json:"lossSum"`
	History []EpochMetrics   `json:"history"`
	Network *network.Network `json:"network"`
	Moments network.Moments  `json:"moments"`
	learner *network.Learner // built on Network and Moments
}

// step is the number of finished batches since the very first start.
func (s *state) step() int { return s.Moments.Steps }

// save writes a checkpoint named after the step, and removes the oldest beyond keep.
func (s *state) save(dir string, keep int) (string, error) {
	s.Moments = s.learner.Moments()
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encode checkpoint: %w", err)
	}
	name := contract.CheckpointName(s.step())
	if err := contract.WriteFile(dir, name, text); err != nil {
		return "", err
	}
	return name, contract.PruneCheckpoints(dir, keep)
}

// newest returns the newest checkpoint that is whole, or errNone. Damaged ones are set aside, since they would
// outrank the ones written next. A whole one of another training is ErrOtherRun. A failing disk is an error, not
// a damaged file: starting over would waste what has been learned.
func newest(dir string, fresh *state, say func(format string, values ...any)) (*state, error) {
	names, err := contract.Checkpoints(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name)) // #nosec G304 -- the folder is the contract's.
		if err != nil {
			return nil, fmt.Errorf("read checkpoint: %w", err)
		}
		saved, err := decode(text)
		if err != nil {
			say("%s is damaged (%v); trying an older one", name, err)
			if err := contract.SetAside(dir, name); err != nil {
				return nil, err
			}
			continue
		}
		if err := saved.belongsTo(fresh); err != nil {
			return nil, fmt.Errorf("%s: %w: empty the checkpoint folder or use the earlier settings", name, err)
		}
		say("going on from %s: %d epochs and %d batches are done", name, saved.Epoch, saved.Batch)
		return saved, nil
	}
	return nil, errNone
}

func decode(text []byte) (*state, error) {
	var saved state
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, fmt.Errorf("decode checkpoint: %w", err)
	}
	if saved.Format != checkpointFormat || saved.Network == nil {
		return nil, fmt.Errorf("decode checkpoint: the format is %q, not %q", saved.Format, checkpointFormat)
	}
	learner, err := network.ResumeLearner(saved.Network, saved.Moments)
	if err != nil {
		return nil, fmt.Errorf("restore learner: %w", err)
	}
	saved.learner = learner
	return &saved, nil
}

func (s *state) belongsTo(fresh *state) error {
	if s.Settings != fresh.Settings {
		return fmt.Errorf("%w: settings %+v, now %+v", ErrOtherRun, s.Settings, fresh.Settings)
	}
	if s.TrainRows != fresh.TrainRows || s.Rows != fresh.Rows || s.Cols != fresh.Cols {
		return fmt.Errorf("%w: %d rows of %dx%d pixels, now %d of %dx%d",
			ErrOtherRun, s.TrainRows, s.Rows, s.Cols, fresh.TrainRows, fresh.Rows, fresh.Cols)
	}
	return nil
}
