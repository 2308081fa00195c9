package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// Progress is one line of the progress file.
type Progress struct {
	Time time.Time `json:"time"`
	// Epoch is the epoch under way or just finished, 1 to Epochs.
	Epoch  int `json:"epoch"`
	Epochs int `json:"epochs"`
	// Step counts mini-batches since the very first start, over all attempts.
	Step       int     `json:"step"`
	TotalSteps int     `json:"totalSteps"`
	Percent    float64 `json:"percent"`
	// Metrics are named numbers; those that are not finite are left out, since JSON has no word for them.
	Metrics map[string]float64 `json:"metrics,omitempty"`
}

// AppendProgress adds one line with a single write, so that a reader never sees half of two lines mixed.
// The file is made when missing.
func AppendProgress(file string, progress Progress) (err error) {
	metrics := make(map[string]float64, len(progress.Metrics))
	for name, value := range progress.Metrics {
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			metrics[name] = value
		}
	}
	progress.Metrics = metrics
	progress.Time = progress.Time.UTC().Truncate(time.Millisecond)
	line, err := json.Marshal(progress)
	if err != nil {
		return fmt.Errorf("encode progress: %w", err)
	}
	// #nosec G302 G304 -- the path is the contract's, and another user (the stager) reads the file.
	out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open progress file: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("append progress: %w", err)
	}
	return nil
}
