package trainingrun

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// manifest is a run as a user writes it, with lines added to parts of it.
func manifest(name, trainer, nodes, dataset string) string {
	return `
apiVersion: lethe.dev/v1alpha1
kind: TrainingRun
metadata:
  name: ` + name + `
spec:
  datasetRef: {name: ` + dataset + `}
  trainer:
    image: registry.example/digits:v1
    ` + trainer + `
  nodes: {` + nodes + `}
`
}

func TestTheAPIServerJudgesRuns(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	namespace := cluster.Namespace(t)
	strict := client.WithFieldValidation(cluster.Client, metav1.FieldValidationStrict)
	cases := map[string]struct {
		manifest string
		want     string // part of the refusal; "" for none
	}{
		"the smallest run is taken": {manifest("smallest", "", "", "d"), ""},
		"a whole run is taken": {
			manifest("whole", "command: [/bin/train]\n    args: [--epochs, '3']", "gpusPerNode: 0", "my.data-set"), "",
		},
		"resources and variables are taken": {
			manifest("resources", "env: [{name: SEED, value: '7'}]\n    resources: {cpu: 500m, memory: 16Gi}", "gpusPerNode: 16", "d"), "",
		},
		"a number is a quantity":           {manifest("number", "resources: {cpu: 4}", "", "d"), ""},
		"negative GPUs are refused":        {manifest("negative", "", "gpusPerNode: -1", "d"), "greater than or equal to 0"},
		"too many GPUs are refused":        {manifest("many", "", "gpusPerNode: 17", "d"), "less than or equal to 16"},
		"an unknown field is refused":      {manifest("unknown", "gpu: 1", "", "d"), `unknown field "spec.trainer.gpu"`},
		"a variable of ours is refused":    {manifest("reserved", "env: [{name: LETHE_DATASET_DIR, value: /etc}]", "", "d"), "set by the operator"},
		"another namespace is refused":     {manifest("elsewhere", "", "", "other/d"), "spec.datasetRef.name"},
		"an empty dataset is refused":      {manifest("nameless", "", "", `""`), "spec.datasetRef.name"},
		"no CPU is refused":                {manifest("no-cpu", `resources: {cpu: "0"}`, "", "d"), "cpu is greater than zero"},
		"an endless exponent is refused":   {manifest("exponent", `resources: {memory: "1e2147483648"}`, "", "d"), "memory is greater than zero"},
		"a fraction is a quantity":         {manifest("fraction", `resources: {cpu: "0.5", memory: 1.5Gi}`, "", "d"), ""},
		"negative memory is refused":       {manifest("negative-memory", `resources: {memory: "-1Gi"}`, "", "d"), "memory is greater than zero"},
		"room on the disk is taken":        {manifest("room", `resources: {ephemeralStorage: 200Gi}`, "", "d"), ""},
		"no room on the disk is refused":   {manifest("no-room", `resources: {ephemeralStorage: "0"}`, "", "d"), "ephemeralStorage is greater than zero"},
		"a disk beyond all is refused":     {manifest("vast", `resources: {ephemeralStorage: "1e99"}`, "", "d"), "ephemeralStorage is greater than zero"},
		"a writable root is taken":         {manifest("writable", "rootFilesystem: Writable", "", "d"), ""},
		"another kind of root is refused":  {manifest("root", "rootFilesystem: Host", "", "d"), "spec.trainer.rootFilesystem"},
		"no CPU as a number is refused":    {manifest("no-cpu-number", `resources: {cpu: 0}`, "", "d"), "cpu is greater than zero"},
		"a word is no quantity":            {manifest("word", `resources: {memory: lots}`, "", "d"), "spec.trainer.resources.memory"},
		"a name of 52 characters is taken": {manifest(strings.Repeat("a", 52), "", "", "d"), ""},
		"a name of 53 characters is not":   {manifest(strings.Repeat("a", 53), "", "", "d"), "at most 52 characters"},
		"a name with a dot is refused":     {manifest("a.b", "", "", "d"), "DNS label"},
		"an image with a space is refused": {strings.ReplaceAll(manifest("image", "", "", "d"), "registry.example/digits:v1", `"a b"`), "spec.trainer.image"},
		"a run without an image is refused": {
			strings.ReplaceAll(manifest("no-image", "", "", "d"), "image: registry.example/digits:v1", "args: [a]"), "spec.trainer.image",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(c.manifest), &run.Object); err != nil {
				t.Fatal(err)
			}
			run.SetNamespace(namespace)
			err := strict.Create(t.Context(), run)
			if c.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want a refusal with %q", err, c.want)
			}
		})
	}
}

func TestTheAPIServerFillsDefaultsIn(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	run := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Name: "defaults", Namespace: cluster.Namespace(t)},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "d"},
			Trainer:    v1alpha1.Trainer{Image: "i"},
		},
	}
	if err := cluster.Client.Create(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if got := ptr.Deref(run.Spec.Nodes.GPUsPerNode, -1); got != 1 {
		t.Errorf("gpusPerNode = %d, want 1", got)
	}
	if got := run.Spec.Artifacts.ReclaimPolicy; got != v1alpha1.ReclaimRetain {
		t.Errorf("reclaimPolicy = %q, want %s", got, v1alpha1.ReclaimRetain)
	}
	if got := run.Spec.Trainer.RootFilesystem; got != v1alpha1.RootReadOnly {
		t.Errorf("rootFilesystem = %q, want %s", got, v1alpha1.RootReadOnly)
	}
}

// What was promised about a run is kept by the API server itself, whoever writes.
func TestTheAPIServerKeepsRunsAsTheyWere(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	namespace := cluster.Namespace(t)
	cases := map[string]struct {
		before, after func(*v1alpha1.TrainingRun)
		status        bool
		want          string
	}{
		"another image": {
			after: func(r *v1alpha1.TrainingRun) { r.Spec.Trainer.Image = "other" },
			want:  "a run can not be changed",
		},
		"a run that is cancelled": {after: cancels},
		"a cancelled run that goes on": {
			before: inState(v1alpha1.RunCancelled), after: inState(v1alpha1.RunRunning), status: true,
			want: "a run that has ended stays as it ended",
		},
		"fewer GPUs": {
			after: func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.GPUsPerNode = ptr.To[int32](0) },
			want:  "a run can not be changed",
		},
		"a root that becomes writable": {
			after: func(r *v1alpha1.TrainingRun) { r.Spec.Trainer.RootFilesystem = v1alpha1.RootWritable },
			want:  "a run can not be changed",
		},
		"more room on the disk": {
			after: func(r *v1alpha1.TrainingRun) {
				r.Spec.Trainer.Resources.EphemeralStorage = ptr.To(resource.MustParse("9Gi"))
			},
			want: "a run can not be changed",
		},
		"variables added": {
			after: func(r *v1alpha1.TrainingRun) { r.Spec.Trainer.Env = []v1alpha1.EnvVar{{Name: "A"}} },
			want:  "a run can not be changed",
		},
		"artifacts that are to go after all": {
			after: func(r *v1alpha1.TrainingRun) { r.Spec.Artifacts.ReclaimPolicy = v1alpha1.ReclaimDelete },
		},
		"the receipt for the erase of its dataset": {
			before: onceBound, after: func(r *v1alpha1.TrainingRun) { r.Status.Dataset.ReceiptDigest = digest }, status: true,
		},
		"labels": {after: func(r *v1alpha1.TrainingRun) { r.Labels = map[string]string{"a": "b"} }},
		"a success that becomes a failure": {
			before: inState(v1alpha1.RunSucceeded), after: inState(v1alpha1.RunFailed), status: true,
			want: "a run that has ended stays as it ended",
		},
		"a failure that runs again": {
			before: inState(v1alpha1.RunFailed), after: inState(v1alpha1.RunRunning), status: true,
			want: "a run that has ended stays as it ended",
		},
		"a success that is forgotten": {
			before: inState(v1alpha1.RunSucceeded), status: true,
			after: func(r *v1alpha1.TrainingRun) { r.Status = v1alpha1.TrainingRunStatus{ObservedGeneration: 1} },
			want:  "a run that has ended stays as it ended",
		},
		"a run that goes on": {
			before: inState(v1alpha1.RunStarting), after: inState(v1alpha1.RunRunning), status: true,
		},
		"usage that goes back": {
			before: func(r *v1alpha1.TrainingRun) { r.Status.Usage = &v1alpha1.Usage{GPUSeconds: 10} },
			after:  func(r *v1alpha1.TrainingRun) { r.Status.Usage = &v1alpha1.Usage{GPUSeconds: 9} },
			status: true, want: "usage never goes back",
		},
		"usage that is forgotten": {
			before: func(r *v1alpha1.TrainingRun) { r.Status.Usage = &v1alpha1.Usage{GPUSeconds: 10} },
			after: func(r *v1alpha1.TrainingRun) {
				r.Status.Usage, r.Status.ObservedGeneration = nil, 1
			},
			status: true, want: "usage never goes back",
		},
		"a dataset that is forgotten": {
			before: onceBound,
			after: func(r *v1alpha1.TrainingRun) {
				r.Status.Dataset, r.Status.ObservedGeneration = nil, 1
			},
			status: true, want: "a run is bound to its dataset once",
		},
		"a status that is taken away": {
			before: inState(v1alpha1.RunRunning),
			after:  func(r *v1alpha1.TrainingRun) { r.Status = v1alpha1.TrainingRunStatus{} },
			status: true, want: "a status is never taken away",
		},
		"another dataset": {
			before: onceBound,
			after: func(r *v1alpha1.TrainingRun) {
				r.Status.Dataset = &v1alpha1.BoundDataset{UID: "other", ManifestDigest: digest}
			},
			status: true, want: "a run is bound to its dataset once",
		},
		"a state that is none": {after: inState("Resting"), status: true, want: "Unsupported value"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := makeRun()
			run.ObjectMeta = metav1.ObjectMeta{GenerateName: "kept-", Namespace: namespace}
			if err := cluster.Client.Create(t.Context(), run); err != nil {
				t.Fatal(err)
			}
			if c.before != nil {
				c.before(run)
				if err := cluster.Client.Status().Update(t.Context(), run); err != nil {
					t.Fatal(err)
				}
			}
			c.after(run)
			var err error
			if c.status {
				err = cluster.Client.Status().Update(t.Context(), run)
			} else {
				err = cluster.Client.Update(t.Context(), run)
			}
			if c.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want a refusal with %q", err, c.want)
			}
		})
	}
}
