package training

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
)

// isFirst says whether this node writes progress, checkpoints and artifacts.
func (t *Trainer) isFirst() bool { return t.team == nil || t.team.Index() == 0 }

// meet waits for the other nodes. All must be at the same step of the same training: one that has found another
// checkpoint would spoil the model without a word.
func (t *Trainer) meet(ctx context.Context) error {
	if t.team == nil {
		return nil
	}
	t.screen.say("waiting for %d nodes; this one is node %d", t.team.Size(), t.team.Index())
	greeting := fmt.Sprintf("%d nodes, step %d of %d, %d rows of %dx%d pixels, settings %+v",
		t.team.Size(), t.state.step(), t.totalSteps(), len(t.train), t.rows, t.cols, t.options.Model)
	err := t.team.Meet(ctx, greeting)
	switch {
	case err != nil && ctx.Err() != nil:
		t.screen.say("asked to stop before all nodes were there")
		return errors.Join(ErrStopped, err)
	case err != nil:
		return fmt.Errorf("meet the other nodes: %w", err)
	}
	t.screen.say("all %d nodes are there", t.team.Size())
	return nil
}

// share is this node's part of a batch: every n-th row, so that parts are equal but for one row. In a batch
// smaller than the team some nodes have none.
func (t *Trainer) share(batch []network.Example) []network.Example {
	if t.team == nil {
		return batch
	}
	var mine []network.Example
	for at := t.team.Index(); at < len(batch); at += t.team.Size() {
		mine = append(mine, batch[at])
	}
	return mine
}

// sum makes the gradient, and the loss that it returns, those of all nodes.
func (t *Trainer) sum(ctx context.Context, loss float64) (sum float64, stop bool, err error) {
	losses := []float64{loss}
	stop, err = t.team.Sum(append(t.state.learner.Gradient(), losses), ctx.Err() != nil)
	return losses[0], stop, err
}

// failed saves what was learned before another node was lost: the weights have not moved since the last step that
// all nodes made.
func (t *Trainer) failed(cause error) error {
	if !t.isFirst() {
		return fmt.Errorf("add up the gradients: %w", cause)
	}
	name, err := t.state.save(t.places.CheckpointDir, t.options.KeepCheckpoints)
	if err != nil {
		return fmt.Errorf("add up the gradients: %w", errors.Join(cause, err))
	}
	t.screen.say("wrote %s after %d of %d steps", name, t.state.step(), t.totalSteps())
	return fmt.Errorf("add up the gradients: %w", cause)
}
