package portal

// failures are words for what happens often to runs, by the reasons of api/v1alpha1: what
// happened, and what to do. The operator's own words are for who writes manifests.
var failures = map[string][2]string{
	"OOMKilled":             {"The program needed more memory than it was given.", "Start it again with more memory, a smaller batch or fewer data loaders."},
	"CUDAOutOfMemory":       {"The program needed more memory than the GPU has.", "Start it again with a smaller batch or shorter sequences, or on GPUs with more memory."},
	"NonZeroExit":           {"The program ended with an error.", "The end of its log most likely says why. Correct it and start again."},
	"Stalled":               {"The program did nothing for longer than you allow.", "The end of its log shows where it stood. If that was a long evaluation, allow more time without progress, or write a line of progress now and then."},
	"MaxDurationReached":    {"The run reached the longest time that you allowed.", "Start again from its last checkpoint with more time."},
	"GPUBudgetReached":      {"The run used up the GPU time that you allowed.", "Start again from its last checkpoint with a higher limit."},
	"StartDeadlineExceeded": {"No GPUs became free within the time that you allowed.", "Start again with more patience, fewer GPUs, or another kind. You were not charged."},
	"DiskFull":              {"The disk had no room for the data.", "Use a smaller dataset, or more nodes with a part of the dataset each."},
	"PodLost":               {"The cluster lost the machine that the run was on.", "Start again from its last checkpoint. It was not your program."},
	"UploadFailed":          {"Training ended well, but its results did not reach the store.", "Start again from its last checkpoint. It was not your program."},
	"DatasetErasing":        {"The dataset is being erased, so nothing can be trained on it any more.", "Upload the data again, and start a run on that."},
	"DatasetCorrupt":        {"The data in the store is not what was sealed, so the run did not begin.", "Upload the data again, and start a run on that."},
}

// FailureWords says for the person what went wrong with a run, and what to do; false for
// a reason that there are no words for.
func FailureWords(reason string) (what, do string, ok bool) {
	words, ok := failures[reason]
	return words[0], words[1], ok
}
