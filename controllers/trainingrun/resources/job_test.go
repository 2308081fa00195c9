package resources_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

var update = flag.Bool("update", false, "write the golden files")

var options = resources.Options{
	StagerImage: "registry.example/lethe/stager:v1",
	BrokerURL:   "https://lethe-broker.lethe-system.svc:8443",
	TrustBundle: "lethe-broker",

	ArtifactsStore: "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
}

var snapshot = v1alpha1.BoundDataset{
	UID:            "1d5be7a2-0000-4000-8000-000000000002",
	ManifestDigest: "sha256:" + strings.Repeat("ab", 32),
}

func run(mods ...func(*v1alpha1.TrainingRunSpec)) *v1alpha1.TrainingRun {
	r := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: "digits-1", Namespace: "team-a", UID: "9a1c0f3e-0000-4000-8000-000000000001",
		},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"},
			Trainer:    v1alpha1.Trainer{Image: "registry.example/digits:v1"},
			Nodes:      v1alpha1.Nodes{GPUsPerNode: ptr.To[int32](1)},
		},
	}
	for _, mod := range mods {
		mod(&r.Spec)
	}
	return r
}

func everything(s *v1alpha1.TrainingRunSpec) {
	s.Trainer.Command = []string{"/bin/train"}
	s.Trainer.Args = []string{"--epochs", "3", "--data", "$(LETHE_DATASET_DIR)"}
	s.Trainer.Env = []v1alpha1.EnvVar{{Name: "SEED", Value: "7"}, {Name: "EMPTY"}}
	s.Trainer.Resources = v1alpha1.TrainerResources{
		CPU:    ptr.To(resource.MustParse("1500m")),
		Memory: ptr.To(resource.MustParse("16Gi")),
	}
	s.Nodes.GPUsPerNode = ptr.To[int32](8)
}

func withoutGPUs(s *v1alpha1.TrainingRunSpec) { s.Nodes.GPUsPerNode = ptr.To[int32](0) }

func TestJobIsAsTheGoldenFileShows(t *testing.T) {
	t.Parallel()
	cases := map[string]*v1alpha1.TrainingRun{
		"smallest":   run(),
		"everything": run(everything),
		"cpu-only":   run(withoutGPUs),
	}
	for name, r := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := yaml.Marshal(resources.Job(r, snapshot, options))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("Job differs from %s; run `go test ./controllers/trainingrun/resources -update` if it should (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestOnlyTheStagersGetTheToken(t *testing.T) {
	t.Parallel()
	spec := resources.Job(run(everything), snapshot, options).Spec.Template.Spec
	got := map[string][]string{}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, m := range c.VolumeMounts {
			access := "rw"
			if m.ReadOnly {
				access = "ro"
			}
			got[c.Name] = append(got[c.Name], m.MountPath+" "+access)
		}
	}
	want := map[string][]string{
		staging.ContainerStageIn:  {staging.VolumeDir + " rw", staging.TokenDir + " ro"},
		staging.ContainerTrainer:  {staging.DatasetDir + " ro", staging.ArtifactsDir + " rw", "/tmp rw"},
		staging.ContainerStageOut: {staging.ArtifactsDir + " ro", staging.TokenDir + " ro"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

func TestGPUsAreOneWhenTheRunDoesNotSay(t *testing.T) {
	t.Parallel()
	r := run(func(s *v1alpha1.TrainingRunSpec) { s.Nodes.GPUsPerNode = nil })
	if got := resources.GPUs(r); got != 1 {
		t.Errorf("GPUs = %d, want 1, the CRD's default", got)
	}
}

func TestBuildingDoesNotShareMemoryWithTheRun(t *testing.T) {
	t.Parallel()
	r := run(everything)
	before := r.DeepCopy()
	job := resources.Job(r, snapshot, options)
	trainer := &job.Spec.Template.Spec.Containers[0]
	trainer.Args[0] = "changed"
	trainer.Command[0] = "changed"
	trainer.Resources.Limits[corev1.ResourceCPU] = resource.MustParse("99")
	if diff := cmp.Diff(before, r); diff != "" {
		t.Errorf("changing the Job changed the run, which is in the cache (-before +after):\n%s", diff)
	}
	if got := trainer.Resources.Requests.Cpu().String(); got != "1500m" {
		t.Errorf("changing the limits changed the requests to %s", got)
	}
}

func TestBoundReadsTheSnapshotBack(t *testing.T) {
	t.Parallel()
	job := resources.Job(run(), snapshot, options)
	// A Job's own labels can be changed by the tenant; its template can not.
	job.Labels[v1alpha1.LabelDatasetUID] = "another"
	job.Annotations[resources.AnnotationManifestDigest] = "another"
	job.Annotations[resources.AnnotationArtifactsStore] = "another"
	if diff := cmp.Diff(snapshot, resources.Bound(job)); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	if got := resources.ArtifactsStore(job); got != options.ArtifactsStore {
		t.Errorf("store %q, want %q", got, options.ArtifactsStore)
	}
}
