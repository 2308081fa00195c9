package validation_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
)

func noon() time.Time { return time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC) }

func newDataset(changes ...func(*v1alpha1.DatasetRetention)) *v1alpha1.DatasetRetention {
	d := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "digits"}}
	for _, change := range changes {
		change(d)
	}
	return d
}

// stored is one that was made a day ago.
func stored(d *v1alpha1.DatasetRetention) {
	d.UID, d.CreationTimestamp = "u-1", metav1.NewTime(noon().Add(-24*time.Hour))
}

func held(from time.Duration) func(*v1alpha1.DatasetRetention) {
	return func(d *v1alpha1.DatasetRetention) {
		d.Spec.Hold = &v1alpha1.Hold{Reason: "case-1", Until: metav1.NewTime(noon().Add(from))}
	}
}

func age(of time.Duration) func(*v1alpha1.DatasetRetention) {
	return func(d *v1alpha1.DatasetRetention) { d.Spec.Retention.MaxAge = &metav1.Duration{Duration: of} }
}

func window(of time.Duration) func(*v1alpha1.DatasetRetention) {
	return func(d *v1alpha1.DatasetRetention) { d.Spec.Retention.AfterTraining = &metav1.Duration{Duration: of} }
}

func erasing(change func(*v1alpha1.ErasureStatus)) func(*v1alpha1.DatasetRetention) {
	return func(d *v1alpha1.DatasetRetention) {
		now := metav1.NewTime(noon())
		d.DeletionTimestamp, d.Status.Erasure = &now, &v1alpha1.ErasureStatus{StartTime: now}
		change(d.Status.Erasure)
	}
}

func TestNewDataset(t *testing.T) {
	t.Parallel()
	facts := validation.DatasetFacts{Now: noon(), MaxAgeCeiling: 2160 * time.Hour, AfterTrainingCeiling: 48 * time.Hour}
	cases := map[string]struct {
		dataset *v1alpha1.DatasetRetention
		facts   validation.DatasetFacts
		want    []string
	}{
		"nothing is set":                 {dataset: newDataset(), facts: facts},
		"sealed before it is there":      {dataset: newDataset(func(d *v1alpha1.DatasetRetention) { d.Spec.Sealed = true }), facts: facts, want: []string{"warning: sealed before anything was uploaded"}},
		"no key of its own":              {dataset: newDataset(func(d *v1alpha1.DatasetRetention) { d.Spec.Encryption = v1alpha1.EncryptionBucket }), facts: facts, want: []string{"warning: no key to destroy"}},
		"a window longer than its life":  {dataset: newDataset(age(time.Hour)), facts: facts, want: []string{"warning: afterTraining is longer than maxAge"}},
		"longer than anybody may":        {dataset: newDataset(age(4000 * time.Hour)), facts: facts, want: []string{"warning: maxAge: the administrator"}},
		"longer after training":          {dataset: newDataset(window(49 * time.Hour)), facts: facts, want: []string{"warning: afterTraining: the administrator"}},
		"longer, and nobody forbids it":  {dataset: newDataset(age(4000*time.Hour), window(3000*time.Hour)), facts: validation.DatasetFacts{Now: noon()}},
		"a hold":                         {dataset: newDataset(held(time.Hour)), facts: facts},
		"a hold of yesterday":            {dataset: newDataset(held(-time.Hour)), facts: facts, want: []string{"warning: keeps nothing"}},
		"a hold, and no clock":           {dataset: newDataset(held(-time.Hour))},
		"a life of seconds, and it does": {dataset: newDataset(age(time.Second), window(0)), facts: facts},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, texts(validation.DatasetRetention(nil, c.dataset, c.facts)), c.want...)
		})
	}
}

func TestChangedDataset(t *testing.T) {
	t.Parallel()
	const kept = 48 * time.Hour
	free := func(d *v1alpha1.DatasetRetention) { d.Spec.Hold = nil }
	seal := func(d *v1alpha1.DatasetRetention) { d.Spec.Sealed = true }
	destroyed := erasing(func(e *v1alpha1.ErasureStatus) { e.KeyDestroyedTime = &e.StartTime })
	counted := erasing(func(e *v1alpha1.ErasureStatus) { e.InventoryTime = &e.StartTime })
	keyed := func(d *v1alpha1.DatasetRetention) { d.Status.KeyID = "0123" }
	cases := map[string]struct {
		before *v1alpha1.DatasetRetention
		change func(*v1alpha1.DatasetRetention)
		want   []string
	}{
		"it is sealed":                             {newDataset(stored), seal, nil},
		"its life gets shorter":                    {newDataset(stored), age(kept), nil},
		"its life is over by that":                 {newDataset(stored, window(0)), age(time.Hour), []string{"warning: the data is erased as soon as"}},
		"its life is over by that, but it is held": {newDataset(stored, held(time.Hour), window(0)), age(time.Hour), nil},
		"its hold is taken, in time":               {newDataset(stored, held(time.Hour)), free, nil},
		"its hold was all that kept it":            {newDataset(stored, held(time.Hour), age(time.Hour), window(0)), free, []string{"warning: the data is erased as soon as"}},
		"its hold ends earlier than now":           {newDataset(stored, held(time.Hour)), held(-time.Hour), []string{"warning: keeps nothing"}},
		"its time was over before":                 {newDataset(stored, age(time.Hour), window(0)), seal, nil},
		"a hold, while it waits to be erased":      {newDataset(stored, erasing(func(*v1alpha1.ErasureStatus) {})), held(time.Hour), nil},
		"a hold, when it is only counted":          {newDataset(stored, keyed, counted), held(time.Hour), nil},
		"a hold, when the key is gone":             {newDataset(stored, keyed, destroyed), held(time.Hour), []string{"error: destroyed at 2026-09-01T12:00:00Z"}},
		"a hold, when data without key goes":       {newDataset(stored, counted), held(time.Hour), []string{"error: being removed since"}},
		"a hold that was there, when it goes":      {newDataset(stored, keyed, destroyed, held(time.Hour)), seal, nil},
		"a hold is taken off what goes":            {newDataset(stored, keyed, destroyed, held(time.Hour), age(time.Hour)), free, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after := c.before.DeepCopy()
			c.change(after)
			expect(t, texts(validation.DatasetRetention(c.before, after, validation.DatasetFacts{Now: noon()})), c.want...)
		})
	}
}
