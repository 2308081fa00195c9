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
	// when the trainer exits with 0 and was not asked to stop before.
	EnvArtifactsDir = "LETHE_ARTIFACTS_DIR"
	// EnvCheckpointDir is a folder for checkpoints: each file or folder directly in it
	// is one. Write to a name that starts with "." or "tmp-" or ends with ".tmp" or
	// ".partial", and rename, so that a checkpoint is there whole or not at all. The
	// step is the last number in the name without its extension (step-500,
	// checkpoint-500.pt); where every node writes, there must be one, from 1 to 999,999,
	// and it must grow. The newest by the times of its files is
	// stored at the run's interval, when the trainer is asked to stop, and at its end.
	// When an attempt resumes, the checkpoint is here, under the name it had, before
	// the trainer starts. What is here is not published among the artifacts.
	EnvCheckpointDir = "LETHE_CHECKPOINT_DIR"
	// EnvRunName is the name of the run.
	EnvRunName = "LETHE_RUN_NAME"
	// EnvAttempt is the number of the attempt, from 1.
	EnvAttempt = "LETHE_ATTEMPT"
	// EnvNodeCount is the number of the run's nodes.
	EnvNodeCount = "LETHE_NODE_COUNT"
	// EnvNodeIndex is the index of this node, from 0.
	EnvNodeIndex = "LETHE_NODE_INDEX"
	// EnvGPUsPerNode is the number of GPUs of each node.
	EnvGPUsPerNode = "LETHE_GPUS_PER_NODE"
	// EnvNodeHosts holds the DNS names of all nodes, in their order, with commas
	// between them. It is there only if there is more than one node.
	EnvNodeHosts = "LETHE_NODE_HOSTS"
	// EnvHostfile is a file with a line "<host> slots=<GPUs>" for each node, as
	// DeepSpeed and MPI's launchers read it. It is there only if there is more than one
	// node.
	EnvHostfile = "LETHE_HOSTFILE"
	// EnvProgressFile is a file to append JSON lines to, one object a line:
	// time (RFC 3339), epoch, epochs, step, totalSteps, percent (0 to 100) and
	// metrics (an object of numbers). All are optional, unknown ones are ignored.
	EnvProgressFile = "LETHE_PROGRESS_FILE"
)

// Where programs keep settings and caches. They are set unless the image's own folders are
// writable (spec.trainer.rootFilesystem), and point into ScratchDir.
const (
	EnvHome      = "HOME"
	EnvCacheHome = "XDG_CACHE_HOME"
)

// What the launchers of the common frameworks look for. They are set, beside the
// variables above, if there is more than one node; the first node is the master.
const (
	// torchrun takes each of its flags from PET_<FLAG>.
	EnvTorchNodes      = "PET_NNODES"
	EnvTorchNodeRank   = "PET_NODE_RANK"
	EnvTorchMasterAddr = "PET_MASTER_ADDR"
	EnvTorchMasterPort = "PET_MASTER_PORT"
	EnvTorchProcesses  = "PET_NPROC_PER_NODE"
	// MASTER_ADDR, MASTER_PORT and NODE_RANK are what programs read that call
	// torch.distributed themselves; DeepSpeed's launcher with --no_ssh takes them too.
	EnvMasterAddr = "MASTER_ADDR"
	EnvMasterPort = "MASTER_PORT"
	EnvNodeRank   = "NODE_RANK"
	// jax.distributed.initialize takes the first; the others are for its arguments.
	EnvJAXCoordinator = "JAX_COORDINATOR_ADDRESS"
	EnvJAXProcesses   = "JAX_NUM_PROCESSES"
	EnvJAXProcessID   = "JAX_PROCESS_ID"
)

// MasterPort is the port of the first node's rendezvous, JAXPort that of JAX's
// coordinator.
const (
	MasterPort = 29500
	JAXPort    = 29501
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
	// RunFolder is a folder in the dataset's volume for files about the run, which the
	// trainer mounts read-only at RunDir if there is more than one node.
	RunFolder = "run"
	RunDir    = VolumeDir + "/" + RunFolder
	// Hostfile is where stage-in writes the list of nodes.
	Hostfile = RunDir + "/hostfile"
	// ArtifactsDir is where the trainer puts what is to be published.
	ArtifactsDir = "/lethe/artifacts"
	// CheckpointFolder is the folder for checkpoints in the artifacts' volume.
	CheckpointFolder = "checkpoints"
	// CheckpointDir is the trainer's folder for checkpoints.
	CheckpointDir = ArtifactsDir + "/" + CheckpointFolder
	// ScratchDir is a folder that the trainer may write to whatever its image says. It
	// starts empty, and goes with the Pod.
	ScratchDir = "/tmp"
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
	// EnvGrace is how long stage-out may go on after SIGTERM.
	EnvGrace = "LETHE_GRACE"
	// EnvShard is "true" if stage-in is to bring this node's share of the dataset only.
	EnvShard = "LETHE_SHARD"
	// EnvCheckpointInterval is the interval of checkpoints, as time.ParseDuration reads.
	EnvCheckpointInterval = "LETHE_CHECKPOINT_INTERVAL"
	// EnvCheckpointWriters is "FirstNode" or "EveryNode".
	EnvCheckpointWriters = "LETHE_CHECKPOINT_WRITERS"
)

// Names of the containers in a run's pod.
const (
	ContainerStageIn  = "stage-in"
	ContainerTrainer  = "trainer"
	ContainerStageOut = "stage-out"
)
