package contract

import (
	"errors"
	"fmt"
)

// Version is the contract this package speaks.
const Version = "1"

// The contract's environment variables.
const (
	EnvVersion       = "LETHE_CONTRACT_VERSION"
	EnvDatasetDir    = "LETHE_DATASET_DIR"
	EnvArtifactsDir  = "LETHE_ARTIFACTS_DIR"
	EnvCheckpointDir = "LETHE_CHECKPOINT_DIR"
	EnvProgressFile  = "LETHE_PROGRESS_FILE"
)

// ExitStopped is the exit code after a SIGTERM that was obeyed: 128 + 15, as shells count it.
const ExitStopped = 143

// Places are the paths a trainer works with.
type Places struct {
	// DatasetDir is read-only.
	DatasetDir string
	// ArtifactsDir is published when the trainer exits 0.
	ArtifactsDir string
	// CheckpointDir outlives the process: what a new attempt goes on from lies here when it starts. It may lie
	// inside ArtifactsDir, and is not published with it.
	CheckpointDir string
	// ProgressFile takes one JSON object per line.
	ProgressFile string
}

// ErrEnvironment says that the environment does not keep the contract.
var ErrEnvironment = errors.New("the environment does not keep the trainer contract")

// FromEnvironment reads the contract's variables; errors wrap ErrEnvironment and name every variable that is
// wrong, not only the first.
func FromEnvironment(env func(string) string) (Places, error) {
	var problems []error
	if version := env(EnvVersion); version != Version {
		problems = append(problems, fmt.Errorf("%s is %q, this trainer speaks %q", EnvVersion, version, Version))
	}
	need := func(name string) string {
		value := env(name)
		if value == "" {
			problems = append(problems, fmt.Errorf("%s is not set", name))
		}
		return value
	}
	places := Places{
		DatasetDir:    need(EnvDatasetDir),
		ArtifactsDir:  need(EnvArtifactsDir),
		CheckpointDir: need(EnvCheckpointDir),
		ProgressFile:  need(EnvProgressFile),
	}
	if len(problems) > 0 {
		return Places{}, fmt.Errorf("%w: %w", ErrEnvironment, errors.Join(problems...))
	}
	return places, nil
}
