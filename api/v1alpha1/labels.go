package v1alpha1

// Labels on the children of a TrainingRun. They select and display; nothing is
// authorised by them, because a tenant can write labels.
const (
	// LabelRun holds the name of the TrainingRun that a Job or Pod belongs to.
	LabelRun = "lethe.dev/run"
	// LabelRunUID holds the UID of that run. It tells a Pod that was cut off from
	// its Job from one of another run of the same name.
	LabelRunUID = "lethe.dev/run-uid"
	// LabelDatasetUID holds the UID of the dataset whose bytes a Job or Pod uses.
	LabelDatasetUID = "lethe.dev/dataset-uid"
	// LabelAttempt holds the number of the attempt that a Job or Pod is.
	LabelAttempt = "lethe.dev/attempt"
	// LabelQueue is Kueue's: it holds the name of the LocalQueue of a Job.
	LabelQueue = "kueue.x-k8s.io/queue-name"
	// LabelGPUProduct is a node's, set by NVIDIA's GPU feature discovery: the kind of
	// its GPUs.
	LabelGPUProduct = "nvidia.com/gpu.product"
)

// Finalizers. Only the operator adds or removes them.
const (
	// FinalizerErase keeps a DatasetRetention until its data was measured to be
	// gone from the store.
	FinalizerErase = "lethe.dev/erase"
	// FinalizerRun keeps a TrainingRun until its Job and its Pods, and with them
	// every local copy of the dataset, are gone.
	FinalizerRun = "lethe.dev/run"
	// FinalizerUsage keeps a run's Pod until its GPU time is in the run's status.
	FinalizerUsage = "lethe.dev/usage"
)

// ResourceGPU is the extended resource that a node's GPUs are advertised as.
const ResourceGPU = "nvidia.com/gpu"
