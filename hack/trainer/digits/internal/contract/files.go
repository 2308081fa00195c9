package contract

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	checkpointPrefix = "checkpoint-"
	checkpointSuffix = ".json"
)

// WriteFile puts data at dir/name so that a reader sees the old file or the whole new one, also when the
// machine loses power in between: temporary name, flush to disk, rename, flush the folder. The folder is made
// when missing. The temporary name is always the same, so a killed writer's leftover is overwritten by the
// next one.
func WriteFile(dir, name string, data []byte) error {
	// #nosec G301 -- another user (the stager) reads the folder.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make folder for %s: %w", name, err)
	}
	temporary := filepath.Join(dir, "."+name+".tmp")
	if err := writeAndSync(temporary, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("move %s into place: %w", name, err)
	}
	if err := syncFolder(dir); err != nil {
		return fmt.Errorf("flush folder of %s: %w", name, err)
	}
	return nil
}

func writeAndSync(path string, data []byte) (err error) {
	// #nosec G302 G304 -- the path is the contract's, and another user (the stager) reads the file.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.Sync()
}

func syncFolder(dir string) (err error) {
	folder, err := os.Open(dir) // #nosec G304 -- the path is the contract's.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	return folder.Sync()
}

// CheckpointName is the file name of the checkpoint after a step; names sort by age. The step is the last number in
// it, as the contract asks.
func CheckpointName(step int) string {
	return fmt.Sprintf("%s%08d%s", checkpointPrefix, step, checkpointSuffix)
}

// Checkpoints lists the names of complete checkpoints, newest first; temporary and foreign files are left out.
// A missing folder has none.
func Checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if isCheckpoint(entry.Name()) && entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

func isCheckpoint(name string) bool {
	step, isPrefixed := strings.CutPrefix(name, checkpointPrefix)
	step, isSuffixed := strings.CutSuffix(step, checkpointSuffix)
	if !isPrefixed || !isSuffixed {
		return false
	}
	number, err := strconv.Atoi(step)
	return err == nil && CheckpointName(number) == name
}

// SetAside renames a checkpoint that can't be used, so that Checkpoints no longer lists it and nothing is lost. The
// new name begins with a dot: every other name would be stored as the newest checkpoint.
func SetAside(dir, name string) error {
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "."+name+".unreadable")); err != nil {
		return fmt.Errorf("set damaged checkpoint aside: %w", err)
	}
	return nil
}

// PruneCheckpoints removes all but the newest keep checkpoints.
func PruneCheckpoints(dir string, keep int) error {
	names, err := Checkpoints(dir)
	if err != nil {
		return err
	}
	for _, name := range names[min(keep, len(names)):] {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove old checkpoint: %w", err)
		}
	}
	return nil
}
