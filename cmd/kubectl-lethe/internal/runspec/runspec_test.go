package runspec

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// parse makes a run of a command line; the first word is NAME unless it is a flag.
func parse(t *testing.T, line ...string) (*v1alpha1.TrainingRun, error) {
	t.Helper()
	var f Flags
	set := pflag.NewFlagSet("run", pflag.ContinueOnError)
	f.Register(set)
	if err := set.Parse(line); err != nil {
		t.Fatal(err)
	}
	dash := set.ArgsLenAtDash()
	if dash < 0 {
		dash = set.NArg()
	}
	return f.Run(set, strings.Join(set.Args()[:dash], " "), set.Args()[dash:])
}

var typeMeta = metav1.TypeMeta{APIVersion: "lethe.dev/v1alpha1", Kind: "TrainingRun"}

func TestRunFromFlags(t *testing.T) {
	t.Parallel()
	cpu, memory := resource.MustParse("500m"), resource.MustParse("1.5Gi")
	tests := map[string]struct {
		line []string
		want v1alpha1.TrainingRun
	}{
		"leaves to the defaults what is not given": {
			line: []string{"digits-1", "--dataset", "digits", "--image", "trainer:1"},
			want: v1alpha1.TrainingRun{
				ObjectMeta: metav1.ObjectMeta{Name: "digits-1"},
				Spec: v1alpha1.TrainingRunSpec{
					DatasetRef: v1alpha1.DatasetReference{Name: "digits"}, Trainer: v1alpha1.Trainer{Image: "trainer:1", Args: []string{}},
				},
			},
		},
		"takes all there is": {
			line: []string{
				"--generate-name", "digits-", "--dataset", "digits", "--image", "trainer:1", "--gpus", "0", "--nodes", "2",
				"--gpu-product", "NVIDIA-H200", "--env", "A=1=2", "--env", "B=", "--cpu", "500m", "--memory", "1.5Gi",
				"--max-duration", "12h", "--max-gpu-seconds", "3600", "--stalled-after", "10m", "--retries", "0", "--queue", "team",
				"--checkpoint-interval", "90s", "--resume-from", "digits-0/0001-000500", "--ttl-after-finished", "24h",
				"--", "--epochs", "3",
			},
			want: v1alpha1.TrainingRun{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "digits-"},
				Spec: v1alpha1.TrainingRunSpec{
					DatasetRef: v1alpha1.DatasetReference{Name: "digits"}, QueueName: "team",
					Trainer: v1alpha1.Trainer{
						Image: "trainer:1", Args: []string{"--epochs", "3"}, Env: []v1alpha1.EnvVar{{Name: "A", Value: "1=2"}, {Name: "B"}},
						Resources: v1alpha1.TrainerResources{CPU: &cpu, Memory: &memory},
					},
					Nodes: v1alpha1.Nodes{GPUsPerNode: new(int32(0)), Count: new(int32(2)), GPUProduct: "NVIDIA-H200"},
					Retry: v1alpha1.RetryPolicy{Limit: new(int32(0))},
					Limits: v1alpha1.Limits{
						MaxDuration: &metav1.Duration{Duration: 12 * time.Hour}, MaxGPUSeconds: new(int64(3600)),
						StalledAfter: &metav1.Duration{Duration: 10 * time.Minute},
					},
					Checkpoint: v1alpha1.Checkpointing{
						Interval: &metav1.Duration{Duration: 90 * time.Second}, Resume: v1alpha1.ResumeFrom,
						From: &v1alpha1.CheckpointReference{RunName: "digits-0", ID: "0001-000500"},
					},
					TTLAfterFinished: &metav1.Duration{Duration: 24 * time.Hour},
				},
			},
		},
		"takes a command, and the newest checkpoint": {
			line: []string{"a", "--dataset", "d", "--image", "i", "--resume-from", "b/latest", "--command", "--", "python", "-u"},
			want: v1alpha1.TrainingRun{
				ObjectMeta: metav1.ObjectMeta{Name: "a"},
				Spec: v1alpha1.TrainingRunSpec{
					DatasetRef: v1alpha1.DatasetReference{Name: "d"}, Trainer: v1alpha1.Trainer{Image: "i", Command: []string{"python", "-u"}},
					Checkpoint: v1alpha1.Checkpointing{Resume: v1alpha1.ResumeFrom, From: &v1alpha1.CheckpointReference{RunName: "b"}},
				},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(t, tc.line...)
			if err != nil {
				t.Fatal(err)
			}
			tc.want.TypeMeta = typeMeta
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFlagsThatMakeNoRun(t *testing.T) {
	t.Parallel()
	all := []string{"a", "--dataset", "d", "--image", "i"}
	with := func(more ...string) []string { return append(all[:len(all):len(all)], more...) }
	tests := map[string]struct {
		line []string
		want string
	}{
		"no name":                {all[1:], "a NAME, or --generate-name"},
		"two names":              {with("--generate-name", "b-"), "exclude each other"},
		"no dataset":             {[]string{"a", "--image", "i"}, "--dataset must name"},
		"no image":               {[]string{"a", "--dataset", "d"}, "--image must name"},
		"no command":             {with("--command"), "behind --"},
		"half a variable":        {with("--env", "secret"), "--env must look like NAME=VALUE"},
		"no quantity":            {with("--cpu", "many"), "--cpu must be a quantity"},
		"half a second":          {with("--max-duration", "1500ms"), "--max-duration must be whole seconds"},
		"a time that is over":    {with("--checkpoint-interval", "-1s"), "--checkpoint-interval must be"},
		"no such checkpoint":     {with("--resume-from", "b/500"), "like 0001-000500"},
		"a checkpoint of nobody": {with("--resume-from", "/0001-000500"), "like RUN or RUN/ID"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, tc.line...)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want an error with %q and nothing of a value", err, tc.want)
			}
		})
	}
}

func TestUsedNamesAFlag(t *testing.T) {
	t.Parallel()
	var f Flags
	set := pflag.NewFlagSet("run", pflag.ContinueOnError)
	f.Register(set)
	if got := f.Used(set); got != "" {
		t.Errorf("nothing was set; got %q", got)
	}
	if err := set.Parse([]string{"--gpus", "1"}); err != nil || f.Used(set) != "gpus" {
		t.Errorf("got %q, %v; want gpus", f.Used(set), err)
	}
}

const file = `# A comment.
---
apiVersion: lethe.dev/v1alpha1
kind: TrainingRun
metadata: {name: digits-1, uid: old, resourceVersion: "5", finalizers: [lethe.dev/run], labels: {a: b}}
spec:
  datasetRef: {name: digits}
  trainer: {image: "trainer:1"}
status: {state: Failed}
`

func TestRunFromAFile(t *testing.T) {
	t.Parallel()
	got, err := Read(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	want := &v1alpha1.TrainingRun{
		TypeMeta: typeMeta, ObjectMeta: metav1.ObjectMeta{Name: "digits-1", Labels: map[string]string{"a": "b"}},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"}, Trainer: v1alpha1.Trainer{Image: "trainer:1"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	data, err := Encode(got)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Read(strings.NewReader(string(data)))
	if diff := cmp.Diff(want, again); diff != "" || err != nil {
		t.Errorf("written and read again: %v (-want +got):\n%s", err, diff)
	}
	if strings.Contains(string(data), "status") {
		t.Errorf("what is empty is written:\n%s", data)
	}
}

func TestFilesThatHoldNoRun(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"nothing":             {"# just a comment\n---\n", "is empty"},
		"two of them":         {file + "---\n" + file, "more than one object"},
		"another kind":        {strings.Replace(file, "kind: TrainingRun", "kind: Job", 1), `holds a "Job"`},
		"another version":     {strings.Replace(file, "v1alpha1", "v2", 1), `of "lethe.dev/v2"`},
		"no name":             {strings.Replace(file, "name: digits-1, ", "", 1), "no metadata.name"},
		"an unknown field":    {strings.Replace(file, "spec:", "spec:\n  gpu: 1", 1), `unknown field "spec.gpu"`},
		"a field twice":       {strings.Replace(file, "spec:", "spec:\n  suspend: true\n  suspend: false", 1), "suspend"},
		"a field out of case": {strings.Replace(file, "image:", "Image:", 1), `unknown field`},
		"something else":      {"hello", "holds no TrainingRun"},
		"far too much":        {file + strings.Repeat("# comment\n", maxFile/10), "longer than 3 MiB"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Read(strings.NewReader(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}
