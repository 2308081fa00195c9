package trainingrun

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestARunBornWithItsFinalizerCostsOneWriteLess: config/policies/defaults.yaml gives it to
// a run that is made; the rest of its life is as that of one without.
func TestARunBornWithItsFinalizerCostsOneWriteLess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, makeRun(guarded), makeDataset())
	trainWell(w)
	want := []string{
		"create *v1.Job",
		"patch *v1alpha1.TrainingRun status", // Training
		"patch *v1alpha1.TrainingRun status", // Published
		"patch *v1.Pod",
	}
	if diff := cmp.Diff(want, w.calls.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	deleteIt(w)
	if left := w.run(); left != nil {
		t.Errorf("the run stays: %v", left.Finalizers)
	}
}

// TestARunBornWithItsFinalizerGoesBeforeItStarted: it has neither a Job nor anything in the
// store, and nothing is written for its end but that.
func TestARunBornWithItsFinalizerGoesBeforeItStarted(t *testing.T) {
	t.Parallel()
	for name, seen := range map[string]bool{"after the operator saw it": true, "before the operator saw it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, makeRun(guarded), makeDataset(unsealed))
			if seen {
				w.settle()
			}
			before := len(w.calls.writes)
			deleteIt(w)
			if left := w.run(); left != nil {
				t.Fatalf("the run stays: %v %s", left.Finalizers, left.Status.Message)
			}
			if diff := cmp.Diff([]string{"patch *v1alpha1.TrainingRun"}, w.calls.writes[before:]); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}
