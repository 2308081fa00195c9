package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A checkpoint is a folder step-000012 with the state and the weights. The weights
// follow from step and node, so that a damaged or exchanged checkpoint is found out.
const (
	checkpointPrefix = "step-"
	stateFile        = "state.json"
	weightsFile      = "weights.bin"
)

// leg is what one process did: the steps after From up to and with To.
type leg struct {
	Attempt int `json:"attempt"`
	From    int `json:"from"`
	To      int `json:"to"`
}

// state is what a checkpoint and the published trail hold.
type state struct {
	Step  int   `json:"step"`
	Trail []leg `json:"trail"`
}

// advance counts a step.
func (s *state) advance() {
	s.Step++
	s.Trail[len(s.Trail)-1].To = s.Step
}

func weights(step, node, kib int) []byte {
	seed := sha256.Sum256([]byte(strconv.Itoa(step) + "/" + strconv.Itoa(node)))
	data := make([]byte, kib<<10)
	_, _ = rand.NewChaCha8(seed).Read(data) // it never fails
	return data
}

// save writes a checkpoint under a temporary name and renames it when it is whole.
func (s state) save(folder string, node, kib int) error {
	name := fmt.Sprintf("%s%06d", checkpointPrefix, s.Step)
	if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
		return nil // It is there from before.
	}
	temporary := filepath.Join(folder, "tmp-"+name)
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	if err := os.MkdirAll(temporary, 0o755); err != nil { //nolint:gosec // G301: the stager reads it as another user.
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	for file, data := range map[string][]byte{stateFile: text, weightsFile: weights(s.Step, node, kib)} {
		if err := os.WriteFile(filepath.Join(temporary, file), data, 0o644); err != nil { //nolint:gosec // G306: as above.
			return err
		}
	}
	if err := os.Rename(temporary, filepath.Join(folder, name)); err != nil {
		return err
	}
	return prune(folder, 3)
}

// steps lists the complete checkpoints, the newest first.
func steps(folder string) ([]int, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var found []int
	for _, entry := range entries {
		text, ok := strings.CutPrefix(entry.Name(), checkpointPrefix)
		if step, err := strconv.Atoi(text); ok && err == nil {
			found = append(found, step)
		}
	}
	slices.Sort(found)
	slices.Reverse(found)
	return found, nil
}

func prune(folder string, keep int) error {
	found, err := steps(folder)
	if err != nil {
		return err
	}
	for _, step := range found[min(keep, len(found)):] {
		if err := os.RemoveAll(filepath.Join(folder, fmt.Sprintf("%s%06d", checkpointPrefix, step))); err != nil {
			return err
		}
	}
	return nil
}

// errDamaged says that a checkpoint is not as it was written.
var errDamaged = errors.New("the checkpoint is not as it was written")

// resume takes the newest checkpoint, or begins anew if there is none. The writer of
// what it is given is its own node, or the first.
func resume(folder string, writer, kib int) (state, error) {
	found, err := steps(folder)
	if err != nil || len(found) == 0 {
		return state{}, err
	}
	at := filepath.Join(folder, fmt.Sprintf("%s%06d", checkpointPrefix, found[0]))
	text, err := os.ReadFile(filepath.Join(at, stateFile))
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return state{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	data, err := os.ReadFile(filepath.Join(at, weightsFile))
	if err != nil {
		return state{}, err
	}
	if s.Step != found[0] || !bytes.Equal(data, weights(s.Step, writer, kib)) {
		return state{}, errDamaged
	}
	return s, nil
}
