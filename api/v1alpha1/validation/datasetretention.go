package validation

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

var (
	pathHold      = field.NewPath("spec", "hold")
	pathRetention = field.NewPath("spec", "retention")
)

// DatasetRetention says what is wrong with a dataset, and what is likely a mistake. before
// is nil for one that is made. Who may set a hold says config/policies/hold.yaml.
func DatasetRetention(before, dataset *v1alpha1.DatasetRetention, facts DatasetFacts) (field.ErrorList, []string) {
	if before == nil {
		before = &v1alpha1.DatasetRetention{}
		return holdErrors(before, dataset), append(birthWarnings(dataset), spanWarnings(before, dataset, facts)...)
	}
	return holdErrors(before, dataset), spanWarnings(before, dataset, facts)
}

// holdErrors refuses a hold that comes too late. To take it would tell somebody with a
// legal duty that the data is kept.
func holdErrors(before, dataset *v1alpha1.DatasetRetention) field.ErrorList {
	hold := dataset.Spec.Hold
	if hold == nil || equality.Semantic.DeepEqual(before.Spec.Hold, hold) {
		return nil
	}
	erasure := before.Status.Erasure
	switch {
	case erasure == nil:
		return nil
	case erasure.KeyDestroyedTime != nil:
		return field.ErrorList{field.Forbidden(pathHold, "too late: the key of the data was destroyed at "+
			erasure.KeyDestroyedTime.UTC().Format(time.RFC3339)+", and nobody can read it any more")}
	case erasure.InventoryTime != nil && before.Status.KeyID == "":
		return field.ErrorList{field.Forbidden(pathHold, "too late: the data is being removed since "+
			erasure.InventoryTime.UTC().Format(time.RFC3339))}
	}
	return nil
}

func birthWarnings(dataset *v1alpha1.DatasetRetention) []string {
	var w warnings
	w.add(dataset.Spec.Sealed, "spec.sealed: the dataset is sealed before anything was uploaded, and can not be opened again: no run can use it")
	w.add(dataset.Spec.Encryption == v1alpha1.EncryptionBucket,
		"spec.encryption: with Bucket there is no key to destroy: copies of the store, such as backups, stay readable when the data is erased")
	return w
}

// spanWarnings are about how long data stays, where that is new.
func spanWarnings(before, dataset *v1alpha1.DatasetRetention, facts DatasetFacts) []string {
	var w warnings
	asked, had := dataset.Spec.Retention, before.Spec.Retention
	fresh := before.UID == "" || !equality.Semantic.DeepEqual(asked, had)
	w.add(fresh && asked.Window() > asked.Limit(), "%s: afterTraining is longer than maxAge, which ends the data first", pathRetention)
	w.add(fresh && exceeds(asked.Limit(), facts.MaxAgeCeiling),
		"%s.maxAge: the administrator lets data stay for %s at most; it goes then", pathRetention, facts.MaxAgeCeiling)
	w.add(fresh && exceeds(asked.Window(), facts.AfterTrainingCeiling),
		"%s.afterTraining: the administrator lets data stay for %s after training at most; it goes then", pathRetention, facts.AfterTrainingCeiling)
	if facts.Now.IsZero() {
		return w
	}
	hold := dataset.Spec.Hold
	changed := !equality.Semantic.DeepEqual(before.Spec.Hold, hold)
	w.add(hold != nil && changed && !hold.Until.After(facts.Now), "%s: its time is over already, so it keeps nothing", pathHold)
	w.goesNow(before, dataset, facts.Now)
	return w
}

// goesNow warns of a change that lets data be erased at once.
func (w *warnings) goesNow(before, dataset *v1alpha1.DatasetRetention, now time.Time) {
	if before.UID == "" || !dataset.DeletionTimestamp.IsZero() {
		return
	}
	over := func(d *v1alpha1.DatasetRetention) bool {
		return !d.CreationTimestamp.Add(d.Spec.Retention.Limit()).After(now)
	}
	held := func(d *v1alpha1.DatasetRetention) bool { return d.Spec.Hold != nil && d.Spec.Hold.Until.After(now) }
	w.add(over(dataset) && !held(dataset) && (!over(before) || held(before)),
		"its time (spec.retention.maxAge) is over: the data is erased as soon as no run uses it, and can not be brought back")
}

func exceeds(asked, ceiling time.Duration) bool { return ceiling > 0 && asked > ceiling }
