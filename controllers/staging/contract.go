package staging

// ContractVersion is the version of the trainer's contract that is implemented.
const ContractVersion = "1"

// The trainer's environment. Names that start with LETHE_ are reserved.
const (
	// EnvContractVersion holds ContractVersion.
	EnvContractVersion = "LETHE_CONTRACT_VERSION"
	// EnvDatasetDir is a read-only folder with the dataset's files.
	EnvDatasetDir = "LETHE_DATASET_DIR"
	// EnvArtifactsDir is the folder whose files are published with a manifest
	// when the trainer exits with 0.
	EnvArtifactsDir = "LETHE_ARTIFACTS_DIR"
	// EnvCheckpointDir is a folder for checkpoints. It lies in the artifacts
	// folder, so the last ones are published too. It may be missing: make it.
	// Write to another name and rename, so that a checkpoint is there whole or
	// not at all.
	EnvCheckpointDir = "LETHE_CHECKPOINT_DIR"
	// EnvProgressFile is a file to append JSON lines to, one object a line:
	// time (RFC 3339), epoch, epochs, step, totalSteps, percent (0 to 100) and
	// metrics (an object of numbers). All are optional, unknown ones are ignored.
	EnvProgressFile = "LETHE_PROGRESS_FILE"
)

// Folders and files inside the pod.
const (
	// VolumeDir is where stage-in mounts the dataset's volume: the parent of the
	// dataset's folder, so that the folder can appear by one rename.
	VolumeDir = "/lethe"
	// DatasetFolder is the dataset's folder in its volume; all that the trainer
	// mounts of it.
	DatasetFolder = "dataset"
	// DatasetDir is where the trainer finds the dataset.
	DatasetDir = VolumeDir + "/" + DatasetFolder
	// ArtifactsDir is where the trainer puts what is to be published.
	ArtifactsDir = "/lethe/artifacts"
	// CheckpointDir is the trainer's folder for checkpoints.
	CheckpointDir = ArtifactsDir + "/checkpoints"
	// ProgressFile is the trainer's progress file.
	ProgressFile = ArtifactsDir + "/progress.jsonl"
	// TokenDir is where the stager's containers mount the pod's token.
	TokenDir = "/var/run/secrets/lethe.dev"
	// TokenFile is the token for the broker.
	TokenFile = TokenDir + "/token"
	// BrokerCAFile holds the certificates that the broker's is verified with, PEM.
	BrokerCAFile = TokenDir + "/ca.crt"
)

// The stager's environment.
const (
	// EnvBrokerURL tells a stager where the broker is.
	EnvBrokerURL = "LETHE_BROKER_URL"
	// EnvGrace is how long stage-out may go on with an upload after SIGTERM.
	EnvGrace = "LETHE_GRACE"
)

// Names of the containers in a run's pod.
const (
	ContainerStageIn  = "stage-in"
	ContainerTrainer  = "trainer"
	ContainerStageOut = "stage-out"
)
