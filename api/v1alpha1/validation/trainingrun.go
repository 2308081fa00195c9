package validation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

var (
	pathImage    = field.NewPath("spec", "trainer", "image")
	pathNodes    = field.NewPath("spec", "nodes")
	pathDataset  = field.NewPath("spec", "datasetRef", "name")
	pathFrom     = field.NewPath("spec", "checkpoint", "from", "runName")
	pathLimits   = field.NewPath("spec", "limits")
	pathInterval = field.NewPath("spec", "checkpoint", "interval")
)

// TrainingRun says what is wrong with a run, and what is likely a mistake. before is nil
// for one that is made; of one that is changed only the change is looked at.
func TrainingRun(before, run *v1alpha1.TrainingRun, facts RunFacts) (field.ErrorList, []string) {
	if before != nil {
		return nil, changeWarnings(before, run)
	}
	var errs field.ErrorList
	errs = append(errs, imageErrors(run, facts)...)
	errs = append(errs, gpuErrors(run, facts.Tenant)...)
	errs = append(errs, datasetErrors(run, facts.Dataset)...)
	errs = append(errs, sourceErrors(run)...)
	return errs, runWarnings(run, facts)
}

func imageErrors(run *v1alpha1.TrainingRun, facts RunFacts) field.ErrorList {
	if facts.Tenant == nil || facts.Images.Allows(run.Spec.Trainer.Image) {
		return nil
	}
	return field.ErrorList{field.Invalid(pathImage, run.Spec.Trainer.Image, facts.Images.refusal())}
}

// gpuErrors refuses a run that can never fit into its tenant's quota.
func gpuErrors(run *v1alpha1.TrainingRun, tenant *Tenant) field.ErrorList {
	asked := run.Spec.Nodes.GPUs()
	if tenant == nil || asked <= tenant.GPUs {
		return nil
	}
	var text string
	switch {
	case tenant.Trouble != nil:
		text = fmt.Sprintf("the run asks for %d GPUs and this namespace has none (%v); ask who runs the cluster", asked, tenant.Trouble)
	case tenant.GPUs == 0:
		text = fmt.Sprintf("the run asks for %d GPUs and this namespace has none; set gpusPerNode to 0 to train on CPUs, or ask who runs the cluster", asked)
	default:
		text = fmt.Sprintf("the run asks for %d GPUs at once and this namespace may have %d; make count or gpusPerNode smaller, or ask who runs the cluster", asked, tenant.GPUs)
	}
	return field.ErrorList{field.Forbidden(pathNodes, text)}
}

// datasetErrors refuses a run on a dataset that no run starts on any more. It may be made
// again under its name, but only when it is gone.
func datasetErrors(run *v1alpha1.TrainingRun, dataset *v1alpha1.DatasetRetention) field.ErrorList {
	name := run.Spec.DatasetRef.Name
	switch {
	case dataset == nil:
		return nil
	case !dataset.DeletionTimestamp.IsZero():
		return field.ErrorList{field.Invalid(pathDataset, name, "the dataset is being erased; upload the data again under another name")}
	case dataset.Status.State == v1alpha1.DatasetInvalid:
		return field.ErrorList{field.Invalid(pathDataset, name,
			"the dataset can not be used: `kubectl get datasetretention "+name+" -o wide` says why; upload the data again under another name")}
	}
	return nil
}

func sourceErrors(run *v1alpha1.TrainingRun) field.ErrorList {
	if from := run.Spec.Checkpoint.From; from != nil && run.Name != "" && from.RunName == run.Name {
		return field.ErrorList{field.Invalid(pathFrom, from.RunName, "a run does not begin with a checkpoint of its own; name another run")}
	}
	return nil
}
