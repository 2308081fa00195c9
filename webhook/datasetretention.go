package webhook

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
)

// datasets answers for DatasetRetentions.
type datasets struct {
	maxAge, afterTraining time.Duration
	clock                 clock.PassiveClock
}

var _ admission.Validator[*v1alpha1.DatasetRetention] = datasets{}

// ValidateCreate is about a dataset that is made.
func (v datasets) ValidateCreate(_ context.Context, dataset *v1alpha1.DatasetRetention) (admission.Warnings, error) {
	return v.judge(nil, dataset)
}

// ValidateUpdate is about a dataset that is changed.
func (v datasets) ValidateUpdate(_ context.Context, before, dataset *v1alpha1.DatasetRetention) (admission.Warnings, error) {
	return v.judge(before, dataset)
}

// ValidateDelete is never asked.
func (v datasets) ValidateDelete(context.Context, *v1alpha1.DatasetRetention) (admission.Warnings, error) {
	return nil, nil
}

func (v datasets) judge(before, dataset *v1alpha1.DatasetRetention) (admission.Warnings, error) {
	errs, warnings := validation.DatasetRetention(before, dataset, validation.DatasetFacts{
		Now: v.clock.Now(), MaxAgeCeiling: v.maxAge, AfterTrainingCeiling: v.afterTraining,
	})
	return warnings, invalid("DatasetRetention", dataset, errs)
}
