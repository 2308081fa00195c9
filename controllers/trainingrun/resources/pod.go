package resources

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Names of the Pod's volumes.
const (
	volumeDataset   = "dataset"
	volumeArtifacts = "artifacts"
	volumeScratch   = "scratch"
	volumeToken     = "broker-token"
)

const (
	// scratchDir is writable for the trainer whatever its image says.
	scratchDir = "/tmp"
	// nobody is the user and group that everything in the Pod runs as: the
	// "nonroot" of distroless images. The volumes belong to its group.
	nobody = 65532
	// stagerGrace leaves a stager ten seconds to say how far it has come.
	stagerGrace = (TerminationGrace - 10) * time.Second
	// tokenSeconds is the life of the token for the broker. The kubelet renews it
	// at 80 % of that, also while a trainer runs for days.
	tokenSeconds = 3600
)

func pod(run *v1alpha1.TrainingRun, options Options) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To[int64](TerminationGrace),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:        ptr.To(true),
			RunAsUser:           ptr.To[int64](nobody),
			RunAsGroup:          ptr.To[int64](nobody),
			FSGroup:             ptr.To[int64](nobody),
			FSGroupChangePolicy: ptr.To(corev1.FSGroupChangeOnRootMismatch),
			SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		InitContainers: []corev1.Container{
			stager(staging.ContainerStageIn, staging.StepStageIn, options,
				corev1.VolumeMount{Name: volumeDataset, MountPath: staging.VolumeDir}),
		},
		Containers: []corev1.Container{
			trainer(run),
			stager(staging.ContainerStageOut, staging.StepStageOut, options,
				corev1.VolumeMount{Name: volumeArtifacts, MountPath: staging.ArtifactsDir, ReadOnly: true}),
		},
		Volumes: []corev1.Volume{
			emptyDir(volumeDataset),
			emptyDir(volumeArtifacts),
			emptyDir(volumeScratch),
			tokenVolume(options.TrustBundle),
		},
	}
}

// trainer is the user's container. Its root file system is as writable as its
// image has it; what it writes beside the artifacts is lost with the Pod.
func trainer(run *v1alpha1.TrainingRun) corev1.Container {
	asked := run.Spec.Trainer
	return corev1.Container{
		Name:            staging.ContainerTrainer,
		Image:           asked.Image,
		Command:         slices.Clone(asked.Command),
		Args:            slices.Clone(asked.Args),
		Env:             trainerEnv(asked.Env),
		Resources:       trainerResources(asked.Resources, GPUs(run)),
		SecurityContext: restricted(false),
		VolumeMounts: []corev1.VolumeMount{
			{Name: volumeDataset, MountPath: staging.DatasetDir, SubPath: staging.DatasetFolder, ReadOnly: true},
			{Name: volumeArtifacts, MountPath: staging.ArtifactsDir},
			{Name: volumeScratch, MountPath: scratchDir},
		},
	}
}

// GPUs is the number of GPUs that a run asks for.
func GPUs(run *v1alpha1.TrainingRun) int64 {
	return int64(ptr.Deref(run.Spec.Nodes.GPUsPerNode, 1))
}

// trainerEnv puts the contract first, so that the user's variables may refer to
// it as $(LETHE_DATASET_DIR).
func trainerEnv(asked []v1alpha1.EnvVar) []corev1.EnvVar {
	env := []corev1.EnvVar{
		{Name: staging.EnvContractVersion, Value: staging.ContractVersion},
		{Name: staging.EnvDatasetDir, Value: staging.DatasetDir},
		{Name: staging.EnvArtifactsDir, Value: staging.ArtifactsDir},
		{Name: staging.EnvCheckpointDir, Value: staging.CheckpointDir},
		{Name: staging.EnvProgressFile, Value: staging.ProgressFile},
	}
	for _, v := range asked {
		env = append(env, corev1.EnvVar{Name: v.Name, Value: v.Value})
	}
	return env
}

// trainerResources makes requests equal to limits: what a run pays for is what
// it has, and a neighbour's burst never slows it down.
func trainerResources(asked v1alpha1.TrainerResources, gpus int64) corev1.ResourceRequirements {
	list := corev1.ResourceList{}
	if asked.CPU != nil {
		list[corev1.ResourceCPU] = *asked.CPU
	}
	if asked.Memory != nil {
		list[corev1.ResourceMemory] = *asked.Memory
	}
	if gpus > 0 {
		list[v1alpha1.ResourceGPU] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	if len(list) == 0 {
		return corev1.ResourceRequirements{}
	}
	return corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}
}

// stager is one step of ours. The step's data is mounted at its place, and the
// token for the broker beside it.
func stager(name string, step staging.Step, options Options, data corev1.VolumeMount) corev1.Container {
	return corev1.Container{
		Name:            name,
		Image:           options.StagerImage,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            []string{string(step)},
		Env: []corev1.EnvVar{
			{Name: staging.EnvBrokerURL, Value: options.BrokerURL},
			{Name: staging.EnvGrace, Value: stagerGrace.String()},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU:    resource.MustParse("100m"),
				corev1.ResourceMemory: resource.MustParse("128Mi"),
			},
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
		SecurityContext:          restricted(true),
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		VolumeMounts: []corev1.VolumeMount{
			data,
			{Name: volumeToken, MountPath: staging.TokenDir, ReadOnly: true},
		},
	}
}

func restricted(readOnlyRoot bool) *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		ReadOnlyRootFilesystem:   ptr.To(readOnlyRoot),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func emptyDir(name string) corev1.Volume {
	return corev1.Volume{
		Name:         name,
		VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
	}
}

// tokenVolume holds the Pod's token for the broker, of no use anywhere else, and
// the certificates to verify the broker with.
func tokenVolume(trustBundle string) corev1.Volume {
	return corev1.Volume{
		Name: volumeToken,
		VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
					Audience:          staging.Audience,
					ExpirationSeconds: ptr.To[int64](tokenSeconds),
					Path:              "token",
				}},
				{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{
					Name: ptr.To(trustBundle),
					Path: "ca.crt",
				}},
			},
		}},
	}
}
