package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ModelFormat stands in every model file; a reader refuses others.
const ModelFormat = "lethe-digits-mlp/1"

// maxModelBytes bounds what ReadModel takes into memory: 64 MiB, about 3 million weights.
const maxModelBytes = 64 << 20

// ErrFormat says that a file is no model file of ModelFormat.
var ErrFormat = errors.New("not a model file of format " + ModelFormat)

// Model is the published file: a network, and the image size it was trained for. Numbers are written so that
// they read back to the same bits.
type Model struct {
	Format string `json:"format"`
	Rows   int    `json:"rows"`
	Cols   int    `json:"cols"`
	Network
}

// NewModel wraps a network for images of rows by cols pixels.
func NewModel(n *Network, rows, cols int) Model {
	return Model{Format: ModelFormat, Rows: rows, Cols: cols, Network: *n}
}

// ReadModel reads and checks a model file; errors wrap ErrFormat or ErrShape.
func ReadModel(r io.Reader) (Model, error) {
	var model Model
	if err := json.NewDecoder(io.LimitReader(r, maxModelBytes)).Decode(&model); err != nil {
		return Model{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if model.Format != ModelFormat {
		return Model{}, fmt.Errorf("%w: it says %q", ErrFormat, model.Format)
	}
	if err := model.Check(); err != nil {
		return Model{}, fmt.Errorf("check model: %w", err)
	}
	if model.Rows < 1 || model.Cols < 1 || model.Rows*model.Cols != model.Inputs {
		return Model{}, fmt.Errorf("%w: %d inputs for images of %dx%d", ErrShape, model.Inputs, model.Rows, model.Cols)
	}
	return model, nil
}
