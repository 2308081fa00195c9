package runspec

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Latest stands for the newest checkpoint of a run.
const Latest = "latest"

// Names of flags that are spoken of elsewhere.
const (
	FlagDataset    = "dataset"
	FlagResumeFrom = "resume-from"
)

// Flags describe a run on the command line.
type Flags struct {
	dataset, image, product, queue  string
	gpus, nodes, retries            int32
	env                             []string
	command                         bool
	cpu, memory                     string
	maxDuration, checkpointInterval time.Duration
	stalledAfter, ttl               time.Duration
	maxGPUSeconds                   int64
	generateName, resumeFrom        string
	names                           []string
}

// Register adds the flags.
func (f *Flags) Register(set *pflag.FlagSet) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.StringVar(&f.dataset, FlagDataset, "", "dataset to train on")
	own.StringVar(&f.image, "image", "", "image of the trainer")
	own.Int32Var(&f.gpus, "gpus", 1, "GPUs of each node; 0 trains on CPUs")
	own.Int32Var(&f.nodes, "nodes", 1, "how many nodes train together")
	own.StringVar(&f.product, "gpu-product", "", "kind of GPU, as nodes are labelled with "+v1alpha1.LabelGPUProduct)
	own.StringArrayVar(&f.env, "env", nil, "NAME=VALUE for the trainer's environment; may be repeated. Everybody who may read the run can read it")
	own.BoolVar(&f.command, "command", false, "what follows -- replaces the image's entrypoint and not only its arguments")
	own.StringVar(&f.cpu, "cpu", "", "CPU cores of each node, for example 4 or 500m")
	own.StringVar(&f.memory, "memory", "", "memory of each node, for example 16Gi")
	own.DurationVar(&f.maxDuration, "max-duration", 0, "how long the trainer may run, over all attempts")
	own.Int64Var(&f.maxGPUSeconds, "max-gpu-seconds", 0, "how many GPU-seconds the run may consume, over all attempts")
	own.DurationVar(&f.stalledAfter, "stalled-after", 0, "how long the trainer may show no sign of life before the attempt counts as failed")
	own.Int32Var(&f.retries, "retries", 0, "how many attempts may follow one that failed; what the cluster disrupts is always repeated")
	own.StringVar(&f.queue, "queue", "", "Kueue LocalQueue of the namespace that decides when the run may start")
	own.DurationVar(&f.checkpointInterval, "checkpoint-interval", 0, "how often a new checkpoint is stored (10m unless given)")
	own.StringVar(&f.resumeFrom, FlagResumeFrom, "", "RUN or RUN/ID: start with the newest, or that, checkpoint of another run")
	own.DurationVar(&f.ttl, "ttl-after-finished", 0, "how long after its end the run is deleted (never unless given)")
	own.StringVar(&f.generateName, "generate-name", "", "beginning of a name that the API server completes, instead of NAME")
	own.VisitAll(func(flag *pflag.Flag) { f.names = append(f.names, flag.Name) })
	set.AddFlagSet(own)
}

// Used gives the first of these flags that was set; empty if none was.
func (f *Flags) Used(set *pflag.FlagSet) string {
	for _, name := range f.names {
		if set.Changed(name) {
			return name
		}
	}
	return ""
}

// Run makes the run. What stands behind -- on the command line are args. All errors
// are about how the command was written.
func (f *Flags) Run(set *pflag.FlagSet, name string, args []string) (*v1alpha1.TrainingRun, error) {
	if err := f.complete(name, args); err != nil {
		return nil, err
	}
	run := &v1alpha1.TrainingRun{}
	run.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	run.Name, run.GenerateName = name, f.generateName
	spec := &run.Spec
	spec.DatasetRef.Name, spec.QueueName = f.dataset, f.queue
	spec.Trainer.Image, spec.Trainer.Args = f.image, args
	if f.command {
		spec.Trainer.Command, spec.Trainer.Args = args, nil
	}
	spec.Nodes.GPUProduct = f.product
	for flag, apply := range map[string]func(){
		"gpus":            func() { spec.Nodes.GPUsPerNode = &f.gpus },
		"nodes":           func() { spec.Nodes.Count = &f.nodes },
		"retries":         func() { spec.Retry.Limit = &f.retries },
		"max-gpu-seconds": func() { spec.Limits.MaxGPUSeconds = &f.maxGPUSeconds },
	} {
		if set.Changed(flag) {
			apply()
		}
	}
	err := errors.Join(f.environment(spec), f.resources(spec), f.durations(set, spec), f.checkpoint(spec))
	return run, err
}

func (f *Flags) complete(name string, args []string) error {
	switch {
	case name == "" && f.generateName == "":
		return errors.New("give the run a NAME, or --generate-name")
	case name != "" && f.generateName != "":
		return errors.New("NAME and --generate-name exclude each other")
	case f.dataset == "":
		return errors.New("--dataset must name the dataset to train on; see what is there with: kubectl lethe status")
	case f.image == "":
		return errors.New("--image must name the trainer's image")
	case f.command && len(args) == 0:
		return errors.New("--command needs the command behind --")
	}
	return nil
}

func (f *Flags) environment(spec *v1alpha1.TrainingRunSpec) error {
	for _, text := range f.env {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			// The text is not repeated: it may be a secret.
			return errors.New("--env must look like NAME=VALUE")
		}
		spec.Trainer.Env = append(spec.Trainer.Env, v1alpha1.EnvVar{Name: name, Value: value})
	}
	return nil
}

func (f *Flags) resources(spec *v1alpha1.TrainingRunSpec) error {
	for flag, into := range map[string]struct {
		text string
		to   **resource.Quantity
	}{
		"cpu": {f.cpu, &spec.Trainer.Resources.CPU}, "memory": {f.memory, &spec.Trainer.Resources.Memory},
	} {
		if into.text == "" {
			continue
		}
		quantity, err := resource.ParseQuantity(into.text)
		if err != nil {
			return fmt.Errorf("--%s must be a quantity such as 4, 500m or 16Gi", flag)
		}
		*into.to = &quantity
	}
	return nil
}

func (f *Flags) durations(set *pflag.FlagSet, spec *v1alpha1.TrainingRunSpec) error {
	for flag, into := range map[string]struct {
		value time.Duration
		to    **metav1.Duration
	}{
		"max-duration":        {f.maxDuration, &spec.Limits.MaxDuration},
		"stalled-after":       {f.stalledAfter, &spec.Limits.StalledAfter},
		"checkpoint-interval": {f.checkpointInterval, &spec.Checkpoint.Interval},
		"ttl-after-finished":  {f.ttl, &spec.TTLAfterFinished},
	} {
		if !set.Changed(flag) {
			continue
		}
		if into.value < 0 || into.value%time.Second != 0 {
			return fmt.Errorf("--%s must be whole seconds and not negative, for example 90s or 12h", flag)
		}
		*into.to = &metav1.Duration{Duration: into.value}
	}
	return nil
}

func (f *Flags) checkpoint(spec *v1alpha1.TrainingRunSpec) error {
	if f.resumeFrom == "" {
		return nil
	}
	name, id, given := strings.Cut(f.resumeFrom, "/")
	if id == Latest {
		id, given = "", false
	}
	if name == "" || given && !objectkey.ValidCheckpointID(id) {
		return errors.New("--" + FlagResumeFrom + " must look like RUN or RUN/ID, and an ID like 0001-000500; " +
			"see a run's with: kubectl lethe status RUN")
	}
	spec.Checkpoint.Resume = v1alpha1.ResumeFrom
	spec.Checkpoint.From = &v1alpha1.CheckpointReference{RunName: name, ID: id}
	return nil
}
