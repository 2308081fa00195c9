package validation

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// warnings gathers texts. Clients cut what is longer than 256 characters.
type warnings []string

// add notes a warning when it is due.
func (w *warnings) add(due bool, format string, args ...any) {
	if due {
		*w = append(*w, fmt.Sprintf(format, args...))
	}
}

func runWarnings(run *v1alpha1.TrainingRun, facts RunFacts) []string {
	var w warnings
	w.dataset(run, facts)
	w.image(run.Spec.Trainer.Image)
	w.limits(run, facts.Tenant)
	w.checkpoint(run, facts)
	w.secrets(run.Spec.Trainer.Env)
	spec := &run.Spec
	w.add(facts.NoSuchGPU, "%s.gpuProduct: no node has GPUs of the kind %q; the run waits for one until limits.startWithin is over", pathNodes, spec.Nodes.GPUProduct)
	w.add(spec.DatasetRef.Distribution == v1alpha1.DistributionSharded && spec.Nodes.Size() == 1,
		"spec.datasetRef.distribution: Sharded has no effect with one node: it gets the whole dataset")
	w.add(facts.Tenant != nil && facts.Tenant.Billing == v1alpha1.BillingSuspended,
		"the billing of this namespace is suspended: the run waits (%s) until it is active again", v1alpha1.ReasonPaymentRequired)
	return w
}

func (w *warnings) dataset(run *v1alpha1.TrainingRun, facts RunFacts) {
	name := run.Spec.DatasetRef.Name
	w.add(facts.NoDataset, "%s: there is no dataset %q in this namespace; the run waits for it: kubectl lethe upload DIR %s", pathDataset, name, name)
	if d := facts.Dataset; d != nil {
		w.add(!d.Spec.Sealed && d.DeletionTimestamp.IsZero(), "%s: dataset %q is still open for upload; the run waits until it is sealed", pathDataset, name)
	}
}

func (w *warnings) image(image string) {
	if pinned(image) {
		return
	}
	name := image[strings.LastIndexByte(image, '/')+1:]
	w.add(!strings.Contains(name, ":") || strings.HasSuffix(name, ":latest"),
		"%s: %q can be another image tomorrow, also for the next attempt of this run; use a tag that stays, or the digest", pathImage, image)
}

func (w *warnings) limits(run *v1alpha1.TrainingRun, tenant *Tenant) {
	limits, gpus := run.Spec.Limits, run.Spec.Nodes.GPUs()
	w.add(tenant != nil && gpus > 0 && limits.MaxGPUSeconds == nil && limits.MaxDuration == nil,
		"%s: neither maxGPUSeconds nor maxDuration is set: nothing but the trainer ends the run, and all of it is charged", pathLimits)
	if budget := limits.MaxGPUSeconds; budget != nil {
		w.add(gpus == 0, "%s.maxGPUSeconds has no effect: the run has no GPUs; use maxDuration", pathLimits)
		w.add(gpus > 0 && *budget < 60*gpus, "%s.maxGPUSeconds: %d GPUs spend %d GPU-seconds in less than a minute", pathLimits, gpus, *budget)
	}
	if stalled := limits.StalledAfter; stalled != nil && limits.MaxDuration != nil {
		w.add(stalled.Duration >= limits.MaxDuration.Duration, "%s.stalledAfter has no effect: maxDuration ends the run before", pathLimits)
	}
}

func (w *warnings) checkpoint(run *v1alpha1.TrainingRun, facts RunFacts) {
	c := run.Spec.Checkpoint
	if from := c.From; from != nil {
		w.add(facts.NoSource, "%s: there is no run %q in this namespace; the run waits for its checkpoint", pathFrom, from.RunName)
	}
	if limit := run.Spec.Limits.MaxDuration; limit != nil {
		w.add(c.Every() >= limit.Duration, "%s: limits.maxDuration is over before the first checkpoint is due", pathInterval)
	}
}

// secretive are parts of names whose values are seldom for everybody.
var secretive = []string{"PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY"}

// secrets warns once, of the first. The value is not looked at and not repeated.
func (w *warnings) secrets(env []v1alpha1.EnvVar) {
	for i := range env {
		name := strings.ToUpper(env[i].Name)
		for _, part := range secretive {
			if strings.Contains(name, part) && env[i].Value != "" {
				w.add(true, "spec.trainer.env: everybody who may read the run reads the value of %s; it stays there as long as the run does", env[i].Name)
				return
			}
		}
	}
}

// changeWarnings are about a run that is changed.
func changeWarnings(before, run *v1alpha1.TrainingRun) []string {
	var w warnings
	limits := !equality.Semantic.DeepEqual(before.Spec.Limits, run.Spec.Limits)
	if state := before.Status.State; state.Finished() {
		w.add(limits || before.Spec.Suspend != run.Spec.Suspend || before.Spec.Cancel != run.Spec.Cancel, "the run has ended (%s): limits, suspend and cancel have no effect any more", state)
		return w
	}
	usage, limit := before.Status.Usage, run.Spec.Limits.MaxDuration
	if limits && usage != nil && limit != nil {
		trained := time.Duration(usage.TrainingSeconds) * time.Second
		w.add(trained >= limit.Duration, "%s.maxDuration: the run has trained for %s already, and is stopped at a checkpoint now", pathLimits, trained)
	}
	return w
}
