package resources

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// farewell is what a stager has left of the grace period, after it has stopped its
// uploads, to say how far it has come.
const farewell = 10 * time.Second

// trainerEnv puts the contract first, so that the user's variables may refer to
// it as $(LETHE_DATASET_DIR). What has no LETHE_ before it, users may set otherwise.
func trainerEnv(run *v1alpha1.TrainingRun, attempt int32) []corev1.EnvVar {
	env := slices.Concat([]corev1.EnvVar{
		{Name: staging.EnvContractVersion, Value: staging.ContractVersion},
		{Name: staging.EnvDatasetDir, Value: staging.DatasetDir},
		{Name: staging.EnvArtifactsDir, Value: staging.ArtifactsDir},
		{Name: staging.EnvCheckpointDir, Value: staging.CheckpointDir},
	}, nodeEnv(run, attempt), []corev1.EnvVar{
		{Name: staging.EnvProgressFile, Value: staging.ProgressFile},
	}, unlessSet(run, slices.Concat(homeEnv(run), launcherEnv(run, attempt))))
	for _, v := range run.Spec.Trainer.Env {
		env = append(env, corev1.EnvVar{Name: v.Name, Value: v.Value})
	}
	return env
}

// nodeEnv says which of the run's nodes a Pod is, and which the others are.
func nodeEnv(run *v1alpha1.TrainingRun, attempt int32) []corev1.EnvVar {
	nodes := run.Spec.Nodes.Size()
	env := []corev1.EnvVar{
		{Name: staging.EnvRunName, Value: run.Name},
		{Name: staging.EnvAttempt, Value: number(attempt)},
		{Name: staging.EnvNodeCount, Value: number(nodes)},
		nodeIndex(staging.EnvNodeIndex, nodes),
		{Name: staging.EnvGPUsPerNode, Value: number(GPUsPerNode(run))},
	}
	if nodes == 1 {
		return env
	}
	return append(env,
		corev1.EnvVar{Name: staging.EnvNodeHosts, Value: hostList(run, attempt)},
		corev1.EnvVar{Name: staging.EnvHostfile, Value: staging.Hostfile},
	)
}

// nodeIndex is a variable with the index of the Pod's node, which the Job controller
// writes on each Pod of an indexed Job.
func nodeIndex(name string, nodes int) corev1.EnvVar {
	if nodes == 1 {
		return corev1.EnvVar{Name: name, Value: "0"}
	}
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{
		APIVersion: "v1", FieldPath: "metadata.annotations['" + batchv1.JobCompletionIndexAnnotation + "']",
	}}}
}

// unlessSet leaves out what the user has set.
func unlessSet(run *v1alpha1.TrainingRun, env []corev1.EnvVar) []corev1.EnvVar {
	return slices.DeleteFunc(env, func(ours corev1.EnvVar) bool {
		return slices.ContainsFunc(run.Spec.Trainer.Env, func(theirs v1alpha1.EnvVar) bool { return theirs.Name == ours.Name })
	})
}

// homeEnv leads what programs keep for themselves (settings, caches, compiled kernels) to
// where they can write it. An image whose own folders are writable has its own home.
func homeEnv(run *v1alpha1.TrainingRun) []corev1.EnvVar {
	if run.Spec.Trainer.RootFilesystem == v1alpha1.RootWritable {
		return nil
	}
	return []corev1.EnvVar{
		{Name: staging.EnvHome, Value: staging.ScratchDir},
		{Name: staging.EnvCacheHome, Value: staging.ScratchDir + "/.cache"},
	}
}

// launcherEnv is what the launchers of frameworks look for on several nodes.
func launcherEnv(run *v1alpha1.TrainingRun, attempt int32) []corev1.EnvVar {
	nodes := run.Spec.Nodes.Size()
	if nodes == 1 {
		return nil
	}
	master, port := Hosts(run, attempt)[0], number(staging.MasterPort)
	return []corev1.EnvVar{
		{Name: staging.EnvTorchNodes, Value: number(nodes)},
		nodeIndex(staging.EnvTorchNodeRank, nodes),
		{Name: staging.EnvTorchMasterAddr, Value: master},
		{Name: staging.EnvTorchMasterPort, Value: port},
		{Name: staging.EnvTorchProcesses, Value: number(max(GPUsPerNode(run), 1))},
		{Name: staging.EnvMasterAddr, Value: master},
		{Name: staging.EnvMasterPort, Value: port},
		nodeIndex(staging.EnvNodeRank, nodes),
		{Name: staging.EnvJAXCoordinator, Value: master + ":" + number(staging.JAXPort)},
		{Name: staging.EnvJAXProcesses, Value: number(nodes)},
		nodeIndex(staging.EnvJAXProcessID, nodes),
	}
}

// stagerEnv tells a stager where the broker is, which node it serves, and what it has
// to see to.
func stagerEnv(run *v1alpha1.TrainingRun, step staging.Step, attempt int32, options Options) []corev1.EnvVar {
	env := append([]corev1.EnvVar{
		{Name: staging.EnvBrokerURL, Value: options.BrokerURL},
		{Name: staging.EnvGrace, Value: max(run.Spec.Checkpoint.Grace()-farewell, farewell/2).String()},
	}, nodeEnv(run, attempt)...)
	switch step {
	case staging.StepStageIn:
		if run.Spec.DatasetRef.Distribution == v1alpha1.DistributionSharded && run.Spec.Nodes.Size() > 1 {
			env = append(env, corev1.EnvVar{Name: staging.EnvShard, Value: "true"})
		}
	case staging.StepStageOut:
		env = append(env, corev1.EnvVar{Name: staging.EnvCheckpointInterval, Value: run.Spec.Checkpoint.Every().String()})
	}
	writers := v1alpha1.WritersFirstNode
	if run.Spec.Checkpoint.ByEveryNode() {
		writers = v1alpha1.WritersEveryNode
	}
	return append(env, corev1.EnvVar{Name: staging.EnvCheckpointWriters, Value: string(writers)})
}

// GPUsPerNode is the number of GPUs that the trainer has on each node.
func GPUsPerNode(run *v1alpha1.TrainingRun) int64 {
	return int64(ptr.Deref(run.Spec.Nodes.GPUsPerNode, 1))
}
