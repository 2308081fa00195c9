package resources_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
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
	s.Trainer.Env = []v1alpha1.EnvVar{{Name: "SEED", Value: "7"}, {Name: "EMPTY"}, {Name: "HOME", Value: "/lethe/artifacts"}}
	s.Trainer.Resources = v1alpha1.TrainerResources{
		CPU:    ptr.To(resource.MustParse("1500m")),
		Memory: ptr.To(resource.MustParse("16Gi")),

		EphemeralStorage: ptr.To(resource.MustParse("200Gi")),
	}
	s.Nodes.GPUsPerNode = ptr.To[int32](8)
}

// twoNodes shares the dataset out, and the checkpoints too.
func twoNodes(s *v1alpha1.TrainingRunSpec) {
	s.Nodes.Count = ptr.To[int32](2)
	s.Nodes.GPUsPerNode = ptr.To[int32](4)
	s.Nodes.GPUProduct = "NVIDIA-H200"
	s.DatasetRef.Distribution = v1alpha1.DistributionSharded
	s.Checkpoint.Writers = v1alpha1.WritersEveryNode
	s.Trainer.Env = []v1alpha1.EnvVar{{Name: "MASTER_PORT", Value: "1234"}}
}

func queued(s *v1alpha1.TrainingRunSpec) {
	s.QueueName = "team-a"
	s.ManagedBy = "kueue.x-k8s.io/multikueue"
}

func patient(s *v1alpha1.TrainingRunSpec) {
	s.Checkpoint.GracePeriod = &metav1.Duration{Duration: 5 * time.Minute}
	s.Checkpoint.Interval = &metav1.Duration{Duration: 90 * time.Second}
}

// first is the first attempt, third one with what was left for it.
var (
	first = resources.Attempt{Number: 1, Dataset: snapshot}
	third = resources.Attempt{Number: 3, Dataset: snapshot, Deadline: ptr.To(90*time.Minute + time.Millisecond)}
)

func writable(s *v1alpha1.TrainingRunSpec) { s.Trainer.RootFilesystem = v1alpha1.RootWritable }

func withoutGPUs(s *v1alpha1.TrainingRunSpec) { s.Nodes.GPUsPerNode = ptr.To[int32](0) }

func TestJobIsAsTheGoldenFileShows(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		run     *v1alpha1.TrainingRun
		attempt resources.Attempt
	}{
		"smallest":   {run(), first},
		"everything": {run(everything), first},
		"cpu-only":   {run(withoutGPUs), first},
		"two-nodes":  {run(twoNodes), third},
		"writable":   {run(writable), first},
		"queued":     {run(queued), first},
		"retried":    {run(patient), third},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compare(t, name, resources.Job(c.run, c.attempt, options))
		})
	}
}

func TestServiceIsAsTheGoldenFileShows(t *testing.T) {
	t.Parallel()
	compare(t, "service", resources.Service(run(twoNodes)))
}

// compare holds an object against its golden file.
func compare(t *testing.T, name string, o any) {
	t.Helper()
	got, err := yaml.Marshal(o)
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
		t.Errorf("differs from %s; run `go test ./controllers/trainingrun/resources -update` if it should (-want +got):\n%s", file, diff)
	}
}

func TestOnlyTheStagersGetTheToken(t *testing.T) {
	t.Parallel()
	spec := resources.Job(run(everything), first, options).Spec.Template.Spec
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
		staging.ContainerStageIn:  {staging.VolumeDir + " rw", staging.ArtifactsDir + " rw", staging.TokenDir + " ro"},
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
	if got := resources.GPUsPerNode(r); got != 1 {
		t.Errorf("GPUsPerNode = %d, want 1, the CRD's default", got)
	}
}

func TestBuildingDoesNotShareMemoryWithTheRun(t *testing.T) {
	t.Parallel()
	r := run(everything)
	before := r.DeepCopy()
	job := resources.Job(r, first, options)
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
	job := resources.Job(run(), first, options)
	// A Job's own labels can be changed by the tenant at any time.
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

func TestATemplateThatWasEditedIsNoticed(t *testing.T) {
	t.Parallel()
	edits := map[string]func(*corev1.PodTemplateSpec){
		"another dataset":  func(p *corev1.PodTemplateSpec) { p.Labels[v1alpha1.LabelDatasetUID] = "another" },
		"no dataset":       func(p *corev1.PodTemplateSpec) { delete(p.Labels, v1alpha1.LabelDatasetUID) },
		"another manifest": func(p *corev1.PodTemplateSpec) { p.Annotations[resources.AnnotationManifestDigest] = "sha256:x" },
		"no annotations":   func(p *corev1.PodTemplateSpec) { p.Annotations = nil },
		"no run":           func(p *corev1.PodTemplateSpec) { delete(p.Labels, v1alpha1.LabelRun) },
		"another attempt":  func(p *corev1.PodTemplateSpec) { p.Labels[v1alpha1.LabelAttempt] = "7" },
	}
	job := resources.Job(run(), first, options)
	job.Spec.Template.Labels["kueue.x-k8s.io/podset"] = "main" // Kueue adds its own
	if !resources.Unaltered(job, run(), first) {
		t.Error("the template is as it was made, and is said not to be")
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			edited := job.DeepCopy()
			edit(&edited.Spec.Template)
			told := first
			told.Dataset = resources.Bound(edited)
			if resources.Unaltered(edited, run(), first) {
				t.Error("not noticed")
			}
			if name[:2] == "no" && resources.Unaltered(edited, run(), told) {
				t.Error("what is missing passes for what it was made with")
			}
		})
	}
}

func TestNamesOfNodesAreDNSLabels(t *testing.T) {
	t.Parallel()
	r := run(twoNodes)
	r.Name = strings.Repeat("a", 52)
	r.Spec.Nodes.Count = ptr.To[int32](64)
	seen := map[string]bool{}
	for attempt := range int32(40) {
		for _, host := range resources.Hosts(r, attempt+1) {
			if seen[host] {
				t.Fatalf("two nodes are called %s", host)
			}
			seen[host] = true
			for _, label := range strings.Split(host, ".") {
				if errs := validation.IsDNS1123Label(label); len(errs) > 0 {
					t.Fatalf("%s: %v", host, errs)
				}
			}
		}
	}
	if got := resources.JobName(r, 1); got != r.Name {
		t.Errorf("the first Job is called %s, want it called like the run", got)
	}
}

func TestDeadlinesAreRoundedUp(t *testing.T) {
	t.Parallel()
	for deadline, want := range map[time.Duration]int64{-time.Hour: 1, 0: 1, time.Second: 1, time.Second + 1: 2} {
		if got := resources.Seconds(&deadline); *got != want {
			t.Errorf("%s are %d seconds, want %d", deadline, *got, want)
		}
	}
	if resources.Seconds(nil) != nil {
		t.Error("no deadline became one")
	}
}
