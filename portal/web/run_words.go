package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// runLife is how far a run has come, in words.
type runLife struct {
	// Say is a sentence: why it is so, and what comes next.
	Say string
	// Over: nothing more happens to it. Failed: it ended badly.
	Over, Failed bool
	// CanCancel and the others say what may be done.
	CanCancel, CanSuspend, CanResume, CanDelete bool
}

// handover is how long a run may be on its way to the cluster before that is worth a word.
const handover = 20 * time.Second

// lifeOf is how far a run has come. It is pure.
func lifeOf(run portal.Run, now time.Time) runLife {
	life := clusterLife(run)
	switch {
	case run.Refused != "":
		return runLife{Say: run.Refused, Over: true, Failed: true}
	case !run.GoneAt.IsZero():
		return goneLife(run, life)
	case run.Wish == portal.WishDeleted:
		return runLife{Say: "The run and its files are being deleted."}
	case run.UID == "" && run.Wish == portal.WishCancelled:
		return runLife{Say: "You cancelled this run before it began.", Over: true, CanDelete: true}
	case run.UID == "" && now.Sub(run.CreatedAt) < handover:
		return runLife{Say: "The run is being handed to the cluster.", CanCancel: true}
	case run.UID == "":
		return runLife{Say: "The cluster doesn't answer just now. Your run is kept, and starts as soon as it does. You can close this page.", CanCancel: true}
	case life.Over:
		return life
	case run.Wish == portal.WishCancelled:
		life.Say = "You cancelled this run. It stores a last checkpoint and ends, usually within a minute."
		life.CanCancel, life.CanSuspend, life.CanResume = false, false, false
	case run.Wish == portal.WishSuspended && run.Seen.State != string(v1alpha1.RunSuspended):
		life.Say = "The run stores a checkpoint and gives its GPUs back. Nothing is lost."
		life.CanCancel, life.CanSuspend, life.CanResume = true, false, true
	case run.Wish == portal.WishRun && run.Seen.Suspended:
		life.Say = "The run goes on from its last checkpoint as soon as it has GPUs again."
		life.CanCancel, life.CanSuspend, life.CanResume = true, true, false
	}
	return life
}

// goneLife is of a run that the cluster has no more: nothing can be done with it.
func goneLife(run portal.Run, life runLife) runLife {
	gone := runLife{Say: life.Say, Over: true, Failed: life.Failed}
	switch {
	case run.Seen.Finished():
	case run.Wish == portal.WishRun || run.Wish == portal.WishSuspended:
		gone.Say = "This run was deleted in the cluster before its end. It costs nothing any more; what it had stored is not kept."
	default:
		gone.Say = "This run was deleted before its end."
	}
	return gone
}

// clusterLife is what the cluster says of a run.
func clusterLife(run portal.Run) runLife {
	seen := run.Seen
	open := runLife{CanCancel: true, CanSuspend: true}
	with := func(say string) runLife {
		open.Say = say
		return open
	}
	switch v1alpha1.RunState(seen.State) {
	case v1alpha1.RunPending:
		return with(reasonOr(seen, "The run waits for its dataset."))
	case v1alpha1.RunQueued:
		return with(reasonOr(seen, "The run waits for its turn. Waiting costs nothing."))
	case v1alpha1.RunStarting:
		return with(reasonOr(seen, "GPUs are found, the image is fetched, and the data is brought to them. This costs nothing."))
	case v1alpha1.RunRunning:
		return with("Your program is training.")
	case v1alpha1.RunPublishing:
		open.CanSuspend = false
		return with("Training has ended well. The results are being stored.")
	case v1alpha1.RunSuspended:
		open.CanSuspend, open.CanResume = false, true
		return with("The run stands still at its last checkpoint and holds no GPU. Resume it whenever you like.")
	case v1alpha1.RunSucceeded:
		return runLife{Say: "Training has ended well, and the results are here.", Over: true, CanDelete: true}
	case v1alpha1.RunFailed:
		return runLife{Say: failureOf(seen).What, Over: true, Failed: true, CanDelete: true}
	case v1alpha1.RunCancelled:
		return runLife{Say: "You cancelled this run. What it had stored by then is kept.", Over: true, CanDelete: true}
	default:
		return with("The cluster has the run and is about to begin.")
	}
}

// waits say what a run waits for, by the reason that the operator gives.
var waits = map[string]string{
	v1alpha1.ReasonUploadOpen:       "The run waits for its dataset to be sealed. Finish the upload, and it goes on by itself.",
	v1alpha1.ReasonCheckingManifest: "The dataset was sealed a moment ago and is being checked.",
	v1alpha1.ReasonStoreUnavailable: "The store doesn't answer just now. The run goes on when it does.",
	v1alpha1.ReasonUnschedulable:    "There is no free GPU of this kind just now. The run starts when one is free; waiting costs nothing.",
	v1alpha1.ReasonImagePull:        "The image can't be fetched. Check its name; the cluster tries again until the run's time to start is over.",
}

func reasonOr(seen portal.RunSeen, otherwise string) string {
	if say, ok := waits[seen.Reason]; ok {
		return say
	}
	if seen.Message != "" {
		return capital(seen.Message)
	}
	return otherwise
}

// failure is what went wrong, for the person.
type failure struct {
	// What happened, what to Do, and Whose it is.
	What, Do, Whose string
}

// failureOf says what went wrong with a run.
func failureOf(seen portal.RunSeen) failure {
	reason, hint := seen.Reason, ""
	var out failure
	if seen.Failure != nil {
		reason, hint = cmp.Or(seen.Failure.Reason, reason), seen.Failure.Hint
		out.Whose = map[string]string{
			string(v1alpha1.BlameUser):     "Something in the program or in what was asked for",
			string(v1alpha1.BlamePlatform): "Ours: the cluster or the store",
			string(v1alpha1.BlameData):     "The dataset or a checkpoint",
			string(v1alpha1.BlameBudget):   "A limit that was set for the run",
		}[seen.Failure.Blame]
	}
	if what, do, ok := portal.FailureWords(reason); ok {
		out.What, out.Do = what, do
		return out
	}
	out.What, out.Do = capital(cmp.Or(seen.Message, "The run has failed.")), capital(hint)
	return out
}

// capital makes a sentence of a text.
func capital(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}

// wordsOf gives an error's words for people.
func wordsOf(err error, otherwise string) string {
	var e *portal.Error
	if errors.As(err, &e) && e.Kind != portal.KindInternal {
		return e.Message
	}
	return otherwise
}

// byMeasure puts losses before everything else.
func byMeasure(a, b string) int {
	loss := func(name string) int {
		if strings.Contains(strings.ToLower(name), "loss") {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(loss(a), loss(b)), strings.Compare(a, b))
}

// figure writes a number as short as it stays true: four significant digits.
func figure(value float64) string {
	if value == math.Trunc(value) && math.Abs(value) < 1e9 {
		return strconv.FormatFloat(value, 'f', 0, 64)
	}
	return strconv.FormatFloat(value, 'g', 4, 64)
}

// thousands writes a whole number with commas.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// fileSize writes bytes for people, in powers of 1,024.
func fileSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB", "PiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	digits := 1
	if value >= 100 {
		digits = 0
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + " " + unit
}

// lasting writes a time for people: the two largest units.
func lasting(d time.Duration) string {
	seconds := int64(max(d, 0) / time.Second)
	units := []struct {
		seconds int64
		name    string
	}{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}
	for i, unit := range units {
		if seconds < unit.seconds && unit.seconds > 1 {
			continue
		}
		text := fmt.Sprintf("%d %s", seconds/unit.seconds, unit.name)
		if rest := seconds % unit.seconds; i+1 < len(units) && rest/units[i+1].seconds > 0 {
			text += fmt.Sprintf(" %d %s", rest/units[i+1].seconds, units[i+1].name)
		}
		return text
	}
	return "0 s"
}

func writeJSON(w http.ResponseWriter, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	// What goes wrong here is the connection's: the answer has begun.
	_, _ = w.Write(data)
	return nil
}
