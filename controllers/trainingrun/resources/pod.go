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
	// nobody is the user and group that everything in the Pod runs as: the
	// "nonroot" of distroless images. The volumes belong to its group.
	nobody = 65532
	// tokenSeconds is the life of the token for the broker. The kubelet renews it
	// at 80 % of that, also while a trainer runs for days.
	tokenSeconds = 3600
	// exitKilled is how SIGKILL ends a process: 128 + 9.
	exitKilled = 137
)

func pod(run *v1alpha1.TrainingRun, attempt Attempt, options Options) corev1.PodSpec {
	artifacts := corev1.VolumeMount{Name: volumeArtifacts, MountPath: staging.ArtifactsDir}
	readOnly := artifacts
	readOnly.ReadOnly = true
	stageIn := stager(run, staging.StepStageIn, attempt.Number, options)
	stageIn.VolumeMounts = slices.Insert(stageIn.VolumeMounts, 0,
		corev1.VolumeMount{Name: volumeDataset, MountPath: staging.VolumeDir}, artifacts)
	stageOut := stager(run, staging.StepStageOut, attempt.Number, options)
	stageOut.VolumeMounts = slices.Insert(stageOut.VolumeMounts, 0, readOnly)
	spec := corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To(int64(run.Spec.Checkpoint.Grace() / time.Second)),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:        ptr.To(true),
			RunAsUser:           ptr.To[int64](nobody),
			RunAsGroup:          ptr.To[int64](nobody),
			FSGroup:             ptr.To[int64](nobody),
			FSGroupChangePolicy: ptr.To(corev1.FSGroupChangeOnRootMismatch),
			SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		InitContainers: []corev1.Container{stageIn},
		Containers:     []corev1.Container{trainer(run, attempt.Number), stageOut},
		Volumes: []corev1.Volume{
			emptyDir(volumeDataset),
			emptyDir(volumeArtifacts),
			emptyDir(volumeScratch),
			tokenVolume(options.TrustBundle),
		},
	}
	if options.RuntimeClass != "" {
		spec.RuntimeClassName = ptr.To(options.RuntimeClass)
	}
	if run.Spec.Nodes.Size() > 1 {
		spec.Subdomain = ServiceName(run)
	}
	if product := run.Spec.Nodes.GPUProduct; product != "" {
		spec.NodeSelector = map[string]string{v1alpha1.LabelGPUProduct: product}
	}
	return spec
}

// trainer is the user's container. It writes its artifacts and scratch files, and no more
// of its image than its user asks for; what it writes beside the artifacts is lost with
// the Pod.
func trainer(run *v1alpha1.TrainingRun, attempt int32) corev1.Container {
	asked := run.Spec.Trainer
	mounts := []corev1.VolumeMount{
		{Name: volumeDataset, MountPath: staging.DatasetDir, SubPath: staging.DatasetFolder, ReadOnly: true},
		{Name: volumeArtifacts, MountPath: staging.ArtifactsDir},
		{Name: volumeScratch, MountPath: staging.ScratchDir},
	}
	if run.Spec.Nodes.Size() > 1 {
		mounts = append(mounts, corev1.VolumeMount{
			Name: volumeDataset, MountPath: staging.RunDir, SubPath: staging.RunFolder, ReadOnly: true,
		})
	}
	return corev1.Container{
		Name:            staging.ContainerTrainer,
		Image:           asked.Image,
		Command:         slices.Clone(asked.Command),
		Args:            slices.Clone(asked.Args),
		Env:             trainerEnv(run, attempt),
		Resources:       trainerResources(asked.Resources, GPUsPerNode(run)),
		SecurityContext: restricted(asked.RootFilesystem != v1alpha1.RootWritable),
		VolumeMounts:    mounts,
	}
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
	if asked.EphemeralStorage != nil {
		list[corev1.ResourceEphemeralStorage] = *asked.EphemeralStorage
	}
	if gpus > 0 {
		list[v1alpha1.ResourceGPU] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	if len(list) == 0 {
		return corev1.ResourceRequirements{}
	}
	return corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}
}

// stager is one step of ours, with the token for the broker. One that was killed (137:
// out of memory, or by the node) is started again and goes on from its journal; any
// other end is the Pod's.
func stager(run *v1alpha1.TrainingRun, step staging.Step, attempt int32, options Options) corev1.Container {
	return corev1.Container{
		Name:            string(step),
		Image:           options.StagerImage,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            []string{string(step)},
		Env:             stagerEnv(run, step, attempt, options),
		RestartPolicy:   ptr.To(corev1.ContainerRestartPolicyNever),
		RestartPolicyRules: []corev1.ContainerRestartRule{{
			Action: corev1.ContainerRestartRuleActionRestart,
			ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{
				Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{exitKilled},
			},
		}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU:    resource.MustParse("100m"),
				corev1.ResourceMemory: resource.MustParse("128Mi"),
			},
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
		SecurityContext:          restricted(true),
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		VolumeMounts:             []corev1.VolumeMount{{Name: volumeToken, MountPath: staging.TokenDir, ReadOnly: true}},
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
