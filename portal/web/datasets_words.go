package web

import (
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// datasetLife is what becomes of a dataset, in words.
type datasetLife struct {
	// Name is the state in a word or two; Class colours it.
	Name, Class, Icon string
	// Words say what that means, and Why when and why the data goes.
	Words, Why string
	// By is when it goes; zero when it has gone, or nobody can say.
	By time.Time
	// Left is how long until then.
	Left string
	// Percent of an erase; -1 for none.
	Percent int
	// Open takes files, Usable runs, Shortens a shorter time, Erasable an erase.
	Open, Usable, Shortens, Erasable bool
	// Moving states change by themselves in moments.
	Moving bool
}

// lifeOfDataset says what becomes of a dataset.
func lifeOfDataset(d portal.Dataset, now time.Time) datasetLife {
	life := stateOfDataset(d, now)
	if life.Percent == 0 {
		life.Percent = -1
	}
	if life.By.IsZero() && life.Erasable {
		life.By = d.ErasedBy()
	}
	if !life.By.IsZero() {
		life.Left = lasting(life.By.Sub(now))
		if !life.By.After(now) {
			life.Left = "any moment"
		}
	}
	if life.Why == "" && life.Erasable {
		life.Why = whyErased(d)
	}
	return life
}

func stateOfDataset(d portal.Dataset, now time.Time) datasetLife {
	switch {
	case !d.ErasedAt.IsZero() && d.UID == "":
		return datasetLife{Name: "Removed", Icon: "wave", Words: "It was removed before anything was uploaded to it, so there is nothing to give a receipt for."}
	case !d.ErasedAt.IsZero() && d.Receipt == "":
		return datasetLife{Name: "Removed", Icon: "wave", Words: "Nothing was ever stored in it, so there is nothing to give a receipt for."}
	case !d.ErasedAt.IsZero():
		return datasetLife{Name: "Erased", Icon: "wave", Words: "The data is gone. The receipt proves it."}
	case d.Wish == portal.WishErased || d.Seen.State == string(v1alpha1.DatasetErasing):
		return erasing(d, now)
	case d.UID == "" && d.Seen.Reason == portal.ReasonRefused:
		return datasetLife{
			Name: "Not made yet", Class: "warn", Icon: "clock", Open: d.Wish == portal.WishOpen, Erasable: true, Moving: true,
			Words: d.Seen.Message + " It is tried again from time to time.",
		}
	case d.UID == "":
		return datasetLife{
			Name: "Being set up", Class: "warn", Icon: "clock", Open: d.Wish == portal.WishOpen, Erasable: true, Moving: true,
			Words: "The cluster is making room for it. You can add files; they are sent as soon as it has.",
		}
	case d.Wish == portal.WishSealed && (d.Seen.State == "" || d.Seen.State == string(v1alpha1.DatasetOpen)):
		return datasetLife{
			Name: "Being finished", Class: "warn", Icon: "clock", Moving: true, Erasable: true,
			Words: "All files are there. The list of them is being written, and then the dataset is closed. This goes on also when you leave the page.",
		}
	default:
		return livingDataset(d, now)
	}
}

// livingDataset is one that the cluster has and keeps.
func livingDataset(d portal.Dataset, now time.Time) datasetLife {
	life := datasetLife{Shortens: true, Erasable: true}
	switch v1alpha1.DatasetState(d.Seen.State) {
	case v1alpha1.DatasetSealing:
		life.Name, life.Class, life.Icon, life.Moving = "Being checked", "warn", "clock", true
		life.Words = "Whether every file is there, with its size. " + trouble(d.Seen, "Runs can use the dataset in a moment.")
	case v1alpha1.DatasetReady:
		life.Name, life.Class, life.Icon, life.Usable = "Ready", "good", "check", true
		life.Words = "Runs can use it."
	case v1alpha1.DatasetInUse:
		life.Name, life.Class, life.Icon, life.Usable = "In use", "good", "wave", true
		life.Words = "A run uses it. It is not taken away from under a run."
	case v1alpha1.DatasetExpiring:
		life.Name, life.Class, life.Icon, life.Usable = "Goes soon", "warn", "clock", true
		life.Words = trouble(d.Seen, "The last run on it has ended.")
		life.Usable = d.Seen.ExpiresAt.IsZero() || now.Before(d.Seen.ExpiresAt)
	case v1alpha1.DatasetInvalid:
		life.Name, life.Class, life.Icon = "Can't be used", "bad", "alert"
		life.Words = "It was closed, but no run can use it. " + trouble(d.Seen, d.Seen.Message) + " Upload the data again as a new dataset, and erase this one."
	default: // Open, or not yet told of
		life.Name, life.Icon, life.Open = "Open", "upload", d.Wish == portal.WishOpen
		life.Words = "Add files, then finish the upload. Runs can use it after that."
	}
	if held(d.Seen, now) {
		life.Why = "It is on hold: data that has to be preserved is not erased. " + holdWords(d.Seen)
		if life.By = d.ErasedBy(); life.By.Before(d.Seen.HoldUntil) {
			life.By = d.Seen.HoldUntil
		}
	}
	return life
}

func held(seen portal.DatasetSeen, now time.Time) bool { return now.Before(seen.HoldUntil) }

func holdWords(seen portal.DatasetSeen) string {
	return fmt.Sprintf("The hold ends on %s at the latest. Reason: %s.", utc(seen.HoldUntil), seen.HoldReason)
}

// erasing is a dataset on its way out.
func erasing(d portal.Dataset, now time.Time) datasetLife {
	life := datasetLife{Name: "Being erased", Class: "warn", Icon: "wave", Moving: true}
	switch {
	case held(d.Seen, now):
		life.Name, life.Moving = "Erase on hold", false
		life.Words = "It goes as soon as the hold ends. " + holdWords(d.Seen)
	case len(d.Seen.ActiveRuns) > 0 && d.Seen.EraseStartedAt.IsZero():
		life.Words = "It goes as soon as the runs that use it have ended. They have been told."
	case d.Seen.Versions > 0:
		life.Percent = int(100 * min(d.Seen.RemovedVersions, d.Seen.Versions) / d.Seen.Versions)
		life.Words = fmt.Sprintf("%s of %s objects are removed.", thousands(d.Seen.RemovedVersions), thousands(d.Seen.Versions)) + " " + trouble(d.Seen, "")
	default:
		life.Words = trouble(d.Seen, "First its key is destroyed, so that nobody can read the data any more, wherever a copy may be. Then every object is removed, and a signed receipt is written.")
	}
	return life
}

// troubles say what keeps the operator from going on.
var troubles = map[string]string{
	v1alpha1.ReasonStoreUnavailable:  "The store does not answer just now. It is tried again until it does; nothing is lost.",
	v1alpha1.ReasonUploadsPossible:   "It waits for a minute, until nobody can send anything to it any more.",
	v1alpha1.ReasonWaitingForTurn:    "Others are erased first. Its turn comes.",
	v1alpha1.ReasonRunsNotTold:       "The runs that use it are being told.",
	v1alpha1.ReasonRunsActive:        "It waits for the runs that use it to end.",
	v1alpha1.ReasonObjectLock:        "The store is set to keep objects for a time, so it can't be removed yet. Our operators have been told.",
	v1alpha1.ReasonUnknownStore:      "The store is not the one that the data was put in. Our operators have been told.",
	v1alpha1.ReasonEraseRefused:      "The store refuses to remove it. Our operators have been told.",
	v1alpha1.ReasonEraseIncomplete:   "Something was still there after the erase, and it is begun again.",
	v1alpha1.ReasonKeyMissing:        "Its key is gone, so nobody can read the data any more.",
	v1alpha1.ReasonStoreUnsuitable:   "The store can't keep data under a key of its own. Our operators have been told.",
	v1alpha1.ReasonManifestMissing:   "The list of its files is not there.",
	v1alpha1.ReasonManifestMalformed: "The list of its files can't be read.",
	v1alpha1.ReasonEmpty:             "It has no files.",
	v1alpha1.ReasonIncomplete:        "Files are missing, or are not of the size that was told.",
	v1alpha1.ReasonOnHold:            "A hold keeps it.",
}

// trouble gives the words for the reason, or others where there is none.
func trouble(seen portal.DatasetSeen, otherwise string) string {
	if words, ok := troubles[seen.Reason]; ok {
		return words
	}
	return otherwise
}

// whyErased says by which rule the data goes.
func whyErased(d portal.Dataset) string {
	after, age := d.Windows()
	last := afterWords(after) + " after the last run on it has ended"
	latest := lower(windowWords(age)) + " after it was made at the latest"
	switch v1alpha1.DatasetState(d.Seen.State) {
	case v1alpha1.DatasetExpiring:
		return fmt.Sprintf("It goes %s, unless another begins.", last)
	case v1alpha1.DatasetInUse:
		return fmt.Sprintf("It goes %s, and %s. A run that still uses it then may end first.", last, latest)
	case v1alpha1.DatasetReady, v1alpha1.DatasetSealing:
		return fmt.Sprintf("It goes %s, and %s, also if no run has used it.", last, latest)
	case v1alpha1.DatasetInvalid:
		return fmt.Sprintf("It goes %s.", latest)
	default:
		return fmt.Sprintf("It goes %s, also if the upload was never finished.", latest)
	}
}

func afterWords(d time.Duration) string {
	if d == 0 {
		return "right"
	}
	return lower(windowWords(d))
}

func lower(text string) string {
	if text == "At once" {
		return "at once"
	}
	return text
}

// countOf writes a number with commas and its noun.
func countOf(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// triggerWords say why something was erased.
func triggerWords(trigger string) string {
	words := map[string]string{
		objectkey.TriggerDeleted:  "You, or somebody who may, asked for it before its time was over.",
		objectkey.TriggerExpired:  "Its time was over.",
		objectkey.TriggerOrphaned: "Its record had gone, and the data was found and removed.",
	}
	if text, ok := words[trigger]; ok {
		return text
	}
	return trigger
}

// methodWords say how.
func methodWords(method string) string {
	words := map[string]string{
		objectkey.MethodKeyDestroyed:   "Its only key was destroyed.",
		objectkey.MethodObjectsRemoved: "Every object, version and unfinished upload was removed, and a second look by other code found nothing.",
	}
	if text, ok := words[method]; ok {
		return text
	}
	return method
}
