package datasetretention

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

var errAny = errors.New("dial tcp 10.0.0.7:9000: connection refused")

// situation is what was seen, what came of it, and what the status has to say.
type situation struct {
	seen   observed
	actErr error
	// state, reason and conditions ("Type=Status/Reason") that are wanted.
	state      v1alpha1.DatasetState
	reason     string
	conditions []string
	// says is a part of the message that a user acts on.
	says string
}

const (
	idle   = "InUse=False/NoActiveRuns"
	unused = "Expiring=False/NeverUsed"
	runOut = "Expiring=True/WindowRunning"
	inWork = "Expiring=False/RunsActive"
)

// situations has every reason of a dataset at least once; see TestEveryReasonIsProduced.
func situations() map[string]situation {
	all := map[string]situation{}
	maps.Copy(all, places())
	maps.Copy(all, uploads())
	maps.Copy(all, uses())
	maps.Copy(all, holds())
	maps.Copy(all, verdicts())
	maps.Copy(all, erases())
	return all
}

// places are situations of datasets that are to get a place in the store.
func places() map[string]situation {
	open := v1alpha1.DatasetOpen
	return map[string]situation{
		"a new dataset is open": {
			seen: saw(after(0), newDataset(raw), gotPlace), state: open, reason: v1alpha1.ReasonUploadOpen,
			conditions: []string{"Ready=False/UploadOpen", idle, unused}, says: "kubectl lethe upload DIR digits",
		},
		"a dataset gets no place while the store is away": {
			seen: saw(after(0), newDataset(), storeFailed(errAny)), state: open, reason: v1alpha1.ReasonStoreUnavailable,
			conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "no place in the store yet: the store does not answer. It is tried again.",
		},
		"a dataset gets no place while no key can be made": {
			seen: saw(after(0), newDataset(), storeFailed(&keyFault{errAny})), state: open, reason: v1alpha1.ReasonStoreUnavailable,
			conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "own key can not be made or read",
		},
		"a dataset gets no place in a store without a name": {
			seen: saw(after(0), newDataset(), storeFailed(erasure.ErrUnknownStore)), state: open, reason: v1alpha1.ReasonStoreUnavailable,
			conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "does not say which one it is",
		},
		"a dataset gets no place that the ledger knows elsewhere": {
			seen: saw(after(0), newDataset(), storeFailed(ledger.ErrConflict)), state: open, reason: v1alpha1.ReasonStoreUnavailable,
			conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "ledger says something else",
		},
		"a dataset gets no place in a bucket with an object lock": {
			seen: saw(after(0), newDataset(), gotNone(v1alpha1.ReasonStoreUnsuitable)), state: open, reason: v1alpha1.ReasonStoreUnsuitable,
			conditions: []string{"Ready=False/StoreUnsuitable", idle, unused}, says: "give the operator a bucket without one",
		},
		"a dataset that came back after its erase gets no place": {
			seen: saw(after(0), newDataset(), gotNone(v1alpha1.ReasonErased)), state: open, reason: v1alpha1.ReasonErased,
			conditions: []string{"Ready=False/Erased", idle, unused}, says: "as a new dataset",
		},
		"a dataset whose time was over before it had a place": {
			seen: saw(after(testMaxAge), newDataset()), state: open, reason: v1alpha1.ReasonStoreUnavailable,
			conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "its time is over",
		},
		"a sealed dataset without a place is not being checked yet": {
			seen: saw(after(0), newDataset(sealed), storeFailed(errAny)), state: v1alpha1.DatasetSealing, reason: v1alpha1.ReasonStoreUnavailable,
			conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "no place in the store yet",
		},
		"an open dataset says which limits count": {
			seen: saw(after(0), newDataset(placed), under(Limits{MaxAgeCeiling: time.Hour})), state: open, reason: v1alpha1.ReasonUploadOpen,
			conditions: []string{"Ready=False/UploadOpen", idle, unused}, says: "limits make maxAge 1h instead of 720h",
		},
	}
}

// uploads are situations of datasets that are open or just sealed.
func uploads() map[string]situation {
	whole := sealCheck{reason: v1alpha1.ReasonVerified, summary: objectkey.ManifestSummary{Digest: testDigest, Objects: 3, Bytes: 300}}
	sealing := wasReady(metav1.ConditionFalse, v1alpha1.ReasonCheckingManifest)
	return map[string]situation{
		"an open dataset that a run waits for stays open": {
			seen: saw(after(0), newDataset(placed), runs(waiting("a"))), state: v1alpha1.DatasetOpen, reason: v1alpha1.ReasonUploadOpen,
			conditions: []string{"Ready=False/UploadOpen", idle, unused}, says: "kubectl lethe upload",
		},
		"a dataset that was just sealed is being checked": {
			seen: saw(after(0), newDataset(placed, sealed)), state: v1alpha1.DatasetSealing, reason: v1alpha1.ReasonCheckingManifest,
			conditions: []string{"Ready=False/CheckingManifest", idle, unused}, says: "being compared",
		},
		"a whole dataset is ready": {
			seen: saw(after(0), newDataset(placed, sealed, sealing), found(whole)), state: v1alpha1.DatasetReady, reason: v1alpha1.ReasonVerified,
			conditions: []string{"Ready=True/Verified", idle, unused}, says: "Runs may start",
		},
		"objects outside the manifest are told": {
			seen:  saw(after(0), newDataset(placed, sealed, sealing), found(sealCheck{reason: v1alpha1.ReasonVerified, summary: whole.summary, extra: 2})),
			state: v1alpha1.DatasetReady, reason: v1alpha1.ReasonVerified,
			conditions: []string{"Ready=True/Verified", idle, unused}, says: "2 objects that the manifest does not list",
		},
		"a verdict stays as it was found": {
			seen: saw(after(0), newDataset(usable, wasReady(metav1.ConditionTrue, v1alpha1.ReasonVerified))), state: v1alpha1.DatasetReady,
			reason: v1alpha1.ReasonVerified, conditions: []string{"Ready=True/Verified", idle, unused}, says: "as found",
		},
		"a ready dataset says which limits count": {
			seen: saw(after(0), newDataset(usable), under(Limits{MaxAgeCeiling: time.Hour})), state: v1alpha1.DatasetReady,
			reason: v1alpha1.ReasonVerified, conditions: []string{"Ready=True/Verified", idle, unused}, says: "limits make maxAge 1h instead of 720h",
		},
	}
}

// uses are situations of datasets that are in use, or were.
func uses() map[string]situation {
	const hour = time.Hour
	return map[string]situation{
		"a dataset that a run uses is in use": {
			seen: saw(after(0), newDataset(usable), runs(using("a"))), state: v1alpha1.DatasetInUse, reason: v1alpha1.ReasonRunsActive,
			conditions: []string{"Ready=True/Verified", "InUse=True/RunsActive", inWork}, says: "begins when run a has ended",
		},
		"a dataset in use past its time says so": {
			seen: saw(after(testMaxAge), newDataset(usable), runs(using("a"))), state: v1alpha1.DatasetInUse, reason: v1alpha1.ReasonRunsActive,
			conditions: []string{"Ready=False/Expired", "InUse=True/RunsActive", inWork}, says: "time of the dataset is over",
		},
		"a dataset in use past its time says so also on hold": {
			seen:  saw(after(testMaxAge), newDataset(usable, onHold(after(2*testMaxAge)), knownHold(after(2*testMaxAge))), runs(using("a"))),
			state: v1alpha1.DatasetInUse, reason: v1alpha1.ReasonRunsActive,
			conditions: []string{"Ready=False/Expired", "InUse=True/RunsActive", inWork, "Held=True/OnHold"}, says: "time of the dataset is over",
		},
		"a dataset that only a hold keeps past its time takes no run": {
			seen:  saw(after(testMaxAge), newDataset(usable, onHold(after(2*testMaxAge)), knownHold(after(2*testMaxAge)))),
			state: v1alpha1.DatasetExpiring, reason: v1alpha1.ReasonExpired,
			conditions: []string{"Ready=False/Expired", idle, unused, "Held=True/OnHold"}, says: "no further run can start on it. The data is on hold until",
		},
		"a dataset that stays past its time while the store is away": {
			seen: saw(after(testMaxAge), newDataset(usable), storeFailed(objectstore.ErrDenied)), state: v1alpha1.DatasetExpiring,
			reason: v1alpha1.ReasonExpired, conditions: []string{"Ready=False/Expired", idle, unused}, says: "refuses the operator: its credentials, or its clock. It is tried again.",
		},
		"an open dataset on hold past its time takes no upload": {
			seen:  saw(after(testMaxAge), newDataset(placed, onHold(after(2*testMaxAge)), knownHold(after(2*testMaxAge)))),
			state: v1alpha1.DatasetOpen, reason: v1alpha1.ReasonExpired,
			conditions: []string{"Ready=False/Expired", idle, unused, "Held=True/OnHold"}, says: "takes no upload",
		},
		"a dataset past its time that nothing keeps says nothing more": {
			seen: saw(after(testMaxAge), newDataset(usable, wasReady(metav1.ConditionTrue, v1alpha1.ReasonVerified))), state: v1alpha1.DatasetReady,
			reason: v1alpha1.ReasonVerified, conditions: []string{"Ready=True/Verified", idle, unused}, says: "as found",
		},
		"a dataset past its time says so until it goes": {
			seen: saw(after(testMaxAge), newDataset(usable, wasReady(metav1.ConditionFalse, v1alpha1.ReasonExpired))), state: v1alpha1.DatasetExpiring,
			reason: v1alpha1.ReasonExpired, conditions: []string{"Ready=False/Expired", idle, unused}, says: "as found",
		},
		"a dataset whose time was made longer is ready again": {
			seen: saw(after(0), newDataset(usable, wasReady(metav1.ConditionFalse, v1alpha1.ReasonExpired))), state: v1alpha1.DatasetReady,
			reason: v1alpha1.ReasonVerified, conditions: []string{"Ready=True/Verified", idle, unused}, says: "Runs may start",
		},
		"an invalid dataset past its time stays invalid": {
			seen: saw(after(testMaxAge), newDataset(placed, sealed, wasReady(metav1.ConditionFalse, v1alpha1.ReasonEmpty),
				onHold(after(2*testMaxAge)), knownHold(after(2*testMaxAge)))), state: v1alpha1.DatasetInvalid, reason: v1alpha1.ReasonEmpty,
			conditions: []string{"Ready=False/Empty", idle, unused, "Held=True/OnHold"}, says: "as found",
		},
		"a dataset that was used expires": {
			seen: saw(after(3*hour), newDataset(usable), runs(ended("a", after(2*hour)))), state: v1alpha1.DatasetExpiring,
			reason: v1alpha1.ReasonWindowRunning, conditions: []string{"Ready=True/Verified", idle, runOut}, says: "unless another run uses it",
		},
		"an expiring dataset says which limits count": {
			seen:  saw(after(3*hour), newDataset(usable), runs(ended("a", after(2*hour))), under(Limits{AfterTrainingCeiling: 2 * hour})),
			state: v1alpha1.DatasetExpiring, reason: v1alpha1.ReasonWindowRunning,
			conditions: []string{"Ready=True/Verified", idle, runOut}, says: "limits make afterTraining 2h instead of 24h",
		},
		"an expiring dataset on hold says so": {
			seen:  saw(after(3*hour), newDataset(usable, onHold(after(5*hour)), knownHold(after(5*hour))), runs(ended("a", after(2*hour)))),
			state: v1alpha1.DatasetExpiring, reason: v1alpha1.ReasonWindowRunning,
			conditions: []string{"Ready=True/Verified", idle, runOut, "Held=True/OnHold"}, says: "A hold keeps it longer",
		},
	}
}

// holds are situations of datasets on hold.
func holds() map[string]situation {
	const hour = time.Hour
	until := after(2 * testMaxAge)
	gone := []string{"Ready=False/Erased", idle, "Erasing=True/Deleted"}
	ready := []string{"Ready=True/Verified", idle, unused}
	wasHeld := func(d *v1alpha1.DatasetRetention) {
		d.Status.Conditions = append(d.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionHeld, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonOnHold,
		})
	}
	return map[string]situation{
		"a ready dataset on hold": {
			seen: saw(after(hour), newDataset(usable, onHold(until)), toldLedger), state: v1alpha1.DatasetReady, reason: v1alpha1.ReasonVerified,
			conditions: append(slices.Clone(ready), "Held=True/OnHold"), says: "Runs may start",
		},
		"a hold on what was erased before keeps nothing": {
			seen: saw(after(hour), newDataset(usable, onHold(until)), closed), state: v1alpha1.DatasetInvalid, reason: v1alpha1.ReasonErased,
			conditions: []string{"Ready=False/Erased", idle, unused, "Held=False/NoHold"}, says: "as a new dataset",
		},
		"a hold in an account that can not be believed": {
			seen: saw(after(hour), newDataset(placed, sealed, onHold(until)), storeFailed(ledger.ErrMalformed)), state: v1alpha1.DatasetSealing,
			reason:     v1alpha1.ReasonStoreUnavailable,
			conditions: []string{"Ready=False/StoreUnavailable", idle, unused, "Held=True/OnHold"}, says: "an administrator has to look",
		},
		"a hold that the ledger does not know yet": {
			seen: saw(after(hour), newDataset(usable, onHold(until)), storeFailed(errAny)), state: v1alpha1.DatasetReady,
			reason: v1alpha1.ReasonVerified, conditions: append(slices.Clone(ready), "Held=True/OnHold"), says: "Runs may start",
		},
		"a hold that has ended": {
			seen: saw(after(hour), newDataset(usable, knownHold(until), wasHeld), toldLedger), state: v1alpha1.DatasetReady,
			reason: v1alpha1.ReasonVerified, conditions: append(slices.Clone(ready), "Held=False/NoHold"), says: "Runs may start",
		},
		"an erase that a hold keeps back": {
			seen: saw(after(hour), newDataset(usable, deleted, onHold(until), knownHold(until))), state: v1alpha1.DatasetErasing,
			reason:     v1alpha1.ReasonOnHold,
			conditions: append(slices.Clone(gone), "ErasureBlocked=True/OnHold", "Held=True/OnHold"),
			says:       "on hold until 2027-01-22T12:00:00Z",
		},
		"a hold that came too late": {
			seen: saw(after(hour), newDataset(usable, deleted, keyless, onHold(until)), inventory(1, 1, 0)), state: v1alpha1.DatasetErasing,
			reason:     v1alpha1.ReasonDeleted,
			conditions: append(slices.Clone(gone), "ErasureBlocked=False/Proceeding", "Held=False/NoHold"),
			says:       "being erased",
		},
	}
}

// verdicts are situations of sealed datasets that are not usable, or not known to be.
func verdicts() map[string]situation {
	sealing := wasReady(metav1.ConditionFalse, v1alpha1.ReasonCheckingManifest)
	bad := func(reason string) seenMod {
		return found(sealCheck{reason: reason, detail: "manifest is malformed: it is empty"})
	}
	three := objectkey.ManifestSummary{Digest: testDigest, Objects: 3, Bytes: 300}
	return map[string]situation{
		"a dataset can not be checked without the store": {
			seen: saw(after(0), newDataset(placed, sealed, sealing), storeFailed(errAny)), state: v1alpha1.DatasetSealing,
			reason: v1alpha1.ReasonStoreUnavailable, conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "does not answer",
		},
		"a store that refuses is told from one that is away": {
			seen: saw(after(0), newDataset(placed, sealed, sealing), storeFailed(objectstore.ErrDenied)), state: v1alpha1.DatasetSealing,
			reason: v1alpha1.ReasonStoreUnavailable, conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "refuses the operator",
		},
		"a bucket that is not there is told": {
			seen: saw(after(0), newDataset(placed, sealed, sealing), storeFailed(objectstore.ErrNotFound)), state: v1alpha1.DatasetSealing,
			reason: v1alpha1.ReasonStoreUnavailable, conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "does not have the bucket",
		},
		"a missing manifest makes it invalid": {
			seen: saw(after(0), newDataset(placed, sealed, sealing), bad(v1alpha1.ReasonManifestMissing)), state: v1alpha1.DatasetInvalid,
			reason: v1alpha1.ReasonManifestMissing, conditions: []string{"Ready=False/ManifestMissing", idle, unused}, says: "Upload the data again under another name, then delete this one.",
		},
		"a malformed manifest makes it invalid": {
			seen: saw(after(0), newDataset(placed, sealed, sealing), bad(v1alpha1.ReasonManifestMalformed)), state: v1alpha1.DatasetInvalid,
			reason: v1alpha1.ReasonManifestMalformed, conditions: []string{"Ready=False/ManifestMalformed", idle, unused}, says: "it is empty. Upload",
		},
		"an empty manifest makes it invalid": {
			seen: saw(after(0), newDataset(placed, sealed, sealing), bad(v1alpha1.ReasonEmpty)), state: v1alpha1.DatasetInvalid,
			reason: v1alpha1.ReasonEmpty, conditions: []string{"Ready=False/Empty", idle, unused}, says: "lists no file",
		},
		"a key that is gone makes it invalid": {
			seen: saw(after(0), newDataset(placed, sealed, sealing), bad(v1alpha1.ReasonKeyMissing)), state: v1alpha1.DatasetInvalid,
			reason: v1alpha1.ReasonKeyMissing, conditions: []string{"Ready=False/KeyMissing", idle, unused},
			says: "nobody can read its data any more, for ever. Upload the data again under another name, then delete this one.",
		},
		"a key that can not be read is tried again": {
			seen: saw(after(0), newDataset(placed, sealed, sealing), storeFailed(&keyFault{errAny})), state: v1alpha1.DatasetSealing,
			reason: v1alpha1.ReasonStoreUnavailable, conditions: []string{"Ready=False/StoreUnavailable", idle, unused}, says: "own key can not be made or read",
		},
		"missing files make it invalid": {
			seen:  saw(after(0), newDataset(placed, sealed, sealing), found(sealCheck{reason: v1alpha1.ReasonIncomplete, missing: 2, differing: 1, summary: three})),
			state: v1alpha1.DatasetInvalid, reason: v1alpha1.ReasonIncomplete,
			conditions: []string{"Ready=False/Incomplete", idle, unused}, says: "lacks 2 and has 1 in another size",
		},
		"an invalid dataset stays invalid": {
			seen: saw(after(time.Hour), newDataset(placed, sealed, wasReady(metav1.ConditionFalse, v1alpha1.ReasonEmpty))), state: v1alpha1.DatasetInvalid,
			reason: v1alpha1.ReasonEmpty, conditions: []string{"Ready=False/Empty", idle, unused}, says: "as found",
		},
	}
}

// erases are situations of deleted datasets.
func erases() map[string]situation {
	const hour = time.Hour
	atStore := func(err error) error { return &storeFault{cause: fmt.Errorf("erase data: %w", err)} }
	gone := []string{"Ready=False/Erased", idle, "Erasing=True/Deleted"}
	return map[string]situation{
		"an erase that proceeds": {
			seen: saw(after(hour), newDataset(usable, deleted, keyless), inventory(4, 400, 1)), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonDeleted, conditions: append(slices.Clone(gone), "ErasureBlocked=False/Proceeding"), says: "being erased",
		},
		"an erase that begins with the key": {
			seen: saw(after(hour), newDataset(usable, deleted)), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonDeleted, conditions: append(slices.Clone(gone), "ErasureBlocked=False/Proceeding"), says: "being erased",
		},
		"an erase whose key can not be destroyed": {
			seen: saw(after(hour), newDataset(usable, deleted, begins)), actErr: &storeFault{&keyFault{errAny}}, state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonStoreUnavailable, conditions: append(slices.Clone(gone), "ErasureBlocked=True/StoreUnavailable"),
			says: "own key can not be made or read",
		},
		"an erase of a dataset whose key is missing goes on": {
			seen: saw(after(hour), newDataset(placed, sealed, deleted, keyless, wasReady(metav1.ConditionFalse, v1alpha1.ReasonKeyMissing),
				func(d *v1alpha1.DatasetRetention) { d.Status.SealedTime = at(created()) }), inventory(1, 1, 0)), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonDeleted, conditions: append(slices.Clone(gone), "ErasureBlocked=False/Proceeding"), says: "being erased",
		},
		"an erase that forgets that the time after training ran": {
			seen: saw(after(hour), newDataset(usable, deleted, keyless, func(d *v1alpha1.DatasetRetention) {
				d.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionExpiring, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWindowRunning}}
			}), inventory(1, 1, 0)), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonDeleted, conditions: append(slices.Clone(gone), "ErasureBlocked=False/Proceeding"), says: "being erased",
		},
		"an erase of a bucket that was locked": {
			seen: saw(after(hour), newDataset(usable, deleted, inventoried)), actErr: atStore(&erasure.LockedError{Until: after(9 * hour)}),
			state: v1alpha1.DatasetErasing, reason: v1alpha1.ReasonObjectLock,
			conditions: append(slices.Clone(gone), "ErasureBlocked=True/ObjectLock"), says: "before 2026-11-23T21:00:00Z",
		},
		"an erase of a bucket that was locked without an end": {
			seen:  saw(after(hour), newDataset(usable, deleted, keyless), storeFailed(&erasure.LockedError{})),
			state: v1alpha1.DatasetErasing, reason: v1alpha1.ReasonObjectLock,
			conditions: append(slices.Clone(gone), "ErasureBlocked=True/ObjectLock"), says: "until when",
		},
		"an erase at another store": {
			seen: saw(after(hour), newDataset(usable, deleted, inventoried)), actErr: atStore(erasure.ErrUnknownStore),
			state: v1alpha1.DatasetErasing, reason: v1alpha1.ReasonUnknownStore,
			conditions: append(slices.Clone(gone), "ErasureBlocked=True/UnknownStore"), says: "point the operator at that store again",
		},
		"an erase that waits for runs": {
			seen: saw(after(hour), newDataset(usable, deleted), runs(using("a"), using("b"))), state: v1alpha1.DatasetErasing,
			reason:     v1alpha1.ReasonRunsActive,
			conditions: []string{"Ready=False/Erased", "InUse=True/RunsActive", "Erasing=True/Deleted", "ErasureBlocked=True/RunsActive"},
			says:       "runs a, b have ended. To have it sooner, delete them",
		},
		"an erase that waits for a copy": {
			seen: saw(after(hour), newDataset(usable, deleted), copies("pod/a-x")), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonRunsActive, conditions: append(slices.Clone(gone), "ErasureBlocked=True/RunsActive"), says: "pod/a-x",
		},
		"an erase that waits for the end of credentials": {
			seen: saw(after(hour), newDataset(placed, deleted)), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonUploadsPossible, conditions: append(slices.Clone(gone), "ErasureBlocked=True/UploadsPossible"),
			says: "given before the deletion, end within a minute",
		},
		"an erase that waited for credentials and now for a turn": {
			seen: saw(after(2*hour), newDataset(placed, deleted, func(d *v1alpha1.DatasetRetention) {
				keyless(d)
				d.Status.Conditions = []metav1.Condition{{
					Type: v1alpha1.ConditionErasureBlocked, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonUploadsPossible,
				}}
			}), noTurn), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonWaitingForTurn, conditions: append(slices.Clone(gone), "ErasureBlocked=True/WaitingForTurn"), says: "erased first",
		},
		"an erase that was counted and waits for a turn": {
			seen: saw(after(2*hour), newDataset(usable, deleted, inventoried)), actErr: errBusy, state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonWaitingForTurn, conditions: append(slices.Clone(gone), "ErasureBlocked=True/WaitingForTurn"), says: "erased first",
		},
		"an erase that failed and waits for a turn says what failed": {
			seen: saw(after(2*hour), newDataset(usable, deleted, inventoried, wasBlocked(v1alpha1.ReasonEraseIncomplete))), actErr: errBusy,
			state: v1alpha1.DatasetErasing, reason: v1alpha1.ReasonEraseIncomplete,
			conditions: append(slices.Clone(gone), "ErasureBlocked=True/EraseIncomplete"), says: "",
		},
		"an erase that a run was not told of": {
			seen: saw(after(2*hour), newDataset(usable, deleted, inventoried)), actErr: &tellFault{what: "run a can not be told", cause: errAny},
			state: v1alpha1.DatasetErasing, reason: v1alpha1.ReasonRunsNotTold,
			conditions: append(slices.Clone(gone), "ErasureBlocked=True/RunsNotTold"), says: "the receipt is written, but run a can not be told. It is tried again.",
		},
		"an erase whose account is malformed": {
			seen: saw(after(2*hour), newDataset(usable, deleted, inventoried)), actErr: atStore(&bookFault{ledger.ErrMalformed}),
			state: v1alpha1.DatasetErasing, reason: v1alpha1.ReasonEraseRefused,
			conditions: append(slices.Clone(gone), "ErasureBlocked=True/EraseRefused"), says: "what lies there; the operator's log names it: kubectl",
		},
		"an erase whose account is malformed before it begins": {
			seen: saw(after(2*hour), newDataset(deleted), storeFailed(ledger.ErrMalformed)), state: v1alpha1.DatasetErasing,
			reason:     v1alpha1.ReasonEraseRefused,
			conditions: append(slices.Clone(gone), "ErasureBlocked=True/EraseRefused"), says: "what lies there; the operator's log names it: kubectl",
		},
		"an erase whose receipt is refused": {
			seen: saw(after(2*hour), newDataset(usable, deleted, inventoried)), actErr: atStore(&bookFault{erasure.ErrRefused}),
			state: v1alpha1.DatasetErasing, reason: v1alpha1.ReasonEraseRefused,
			conditions: append(slices.Clone(gone), "ErasureBlocked=True/EraseRefused"), says: "receipts",
		},
		"an erase that can not be counted": {
			seen: saw(after(hour), newDataset(usable, deleted, keyless), storeFailed(errAny)), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonStoreUnavailable, conditions: append(slices.Clone(gone), "ErasureBlocked=True/StoreUnavailable"), says: "tried again",
		},
		"an erase that the store broke off": {
			seen: saw(after(hour), newDataset(usable, deleted, inventoried)), actErr: atStore(errAny), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonStoreUnavailable, conditions: append(slices.Clone(gone), "ErasureBlocked=True/StoreUnavailable"), says: "does not answer",
		},
		"an erase that left something": {
			seen: saw(after(hour), newDataset(usable, deleted, inventoried)), actErr: atStore(erasure.ErrIncomplete), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonEraseIncomplete, conditions: append(slices.Clone(gone), "ErasureBlocked=True/EraseIncomplete"), says: "full pass",
		},
		"an erase that a safeguard refused": {
			seen: saw(after(hour), newDataset(usable, deleted, inventoried)), actErr: atStore(erasure.ErrRefused), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonEraseRefused, conditions: append(slices.Clone(gone), "ErasureBlocked=True/EraseRefused"), says: "kubectl -n lethe-system logs deploy/lethe-manager",
		},
		"an erase of a place that was tampered with": {
			seen: saw(after(hour), newDataset(usable, deleted, inventoried, movedTo("other", "x/"))), state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonEraseRefused, conditions: append(slices.Clone(gone), "ErasureBlocked=True/EraseRefused"), says: "status.location",
		},
		"trouble with the API server is not the store's": {
			seen: saw(after(hour), newDataset(usable, deleted, inventoried)), actErr: errAny, state: v1alpha1.DatasetErasing,
			reason: v1alpha1.ReasonDeleted, conditions: append(slices.Clone(gone), "ErasureBlocked=False/Proceeding"), says: "being erased",
		},
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for name, s := range situations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := report(s.seen, decide(s.seen), s.actErr)
			var conditions []string
			for _, c := range got.Conditions {
				conditions = append(conditions, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
			}
			slices.Sort(conditions)
			slices.Sort(s.conditions)
			if diff := cmp.Diff(s.conditions, conditions); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if got.State != s.state || got.Reason != s.reason {
				t.Errorf("state %s/%s, want %s/%s", got.State, got.Reason, s.state, s.reason)
			}
			if !strings.Contains(got.Message, s.says) {
				t.Errorf("message %q does not say %q", got.Message, s.says)
			}
			if strings.Contains(got.Message, "10.0.0.7") {
				t.Errorf("message %q shows the inside", got.Message)
			}
			checkStable(t, s, got)
		})
	}
}

// checkStable reports the same facts again, an hour later and without asking the
// store, from the status that was written: it must not change.
func checkStable(t *testing.T, s situation, first v1alpha1.DatasetRetentionStatus) {
	t.Helper()
	again := s.seen
	again.dataset = s.seen.dataset.DeepCopy()
	again.dataset.Status = first
	again.noted = false
	if again.dataset.Status.Erasure == nil {
		again.now = again.now.Add(time.Minute)
	}
	second := report(again, decide(again), s.actErr)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the same facts give another status (-first +second):\n%s", diff)
	}
}

func TestEveryReasonIsProduced(t *testing.T) {
	t.Parallel()
	produced := map[string]bool{}
	for _, s := range situations() {
		for _, c := range report(s.seen, decide(s.seen), s.actErr).Conditions {
			produced[c.Reason] = true
		}
	}
	declared := reasonsOfADataset(t)
	if len(declared) < 10 {
		t.Fatalf("only %d reasons found; has conditions.go changed its shape?", len(declared))
	}
	for name, reason := range declared {
		if !produced[reason] {
			t.Errorf("no situation gives %s", name)
		}
	}
	known := slices.Collect(maps.Values(declared))
	for reason := range produced {
		if !slices.Contains(known, reason) {
			t.Errorf("the reason %s is given, but not declared for datasets", reason)
		}
	}
}

// reasonsOfADataset reads the constants under "Reasons of a dataset." by name.
func reasonsOfADataset(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join("..", "..", "api", "v1alpha1", "conditions.go")
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatalf("read the reasons: %v", err)
	}
	reasons := map[string]string{}
	for _, decl := range tree.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || !strings.HasPrefix(block.Doc.Text(), "Reasons of a dataset") {
			continue
		}
		for _, spec := range block.Specs {
			constant, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			literal, ok := constant.Values[0].(*ast.BasicLit)
			if !ok {
				continue
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatalf("read %s: %v", constant.Names[0].Name, err)
			}
			reasons[constant.Names[0].Name] = value
		}
	}
	return reasons
}

func TestReportKeepsFacts(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	t.Run("the place is derived from the UID and set at once", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(0), newDataset(raw), gotPlace)
		got := report(seen, decide(seen), nil)
		want := &v1alpha1.ObjectLocation{Bucket: testBucket, Prefix: "team-a/" + string(testUID) + "/", Store: testStore}
		if diff := cmp.Diff(want, got.Location); diff != "" || got.KeyID != testKeyID {
			t.Errorf("key %s, location (-want +got):\n%s", got.KeyID, diff)
		}
		if want := at(after(testMaxAge)); !got.ExpiresAt.Equal(want) {
			t.Errorf("expires at %v, want %v", got.ExpiresAt, want)
		}
	})
	t.Run("a place that is there is never rewritten", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(0), newDataset(usable, movedTo("other", "x/")), gotPlace)
		if got := report(seen, decide(seen), nil).Location.Bucket; got != "other" {
			t.Errorf("location moved to %q", got)
		}
	})
	t.Run("the time of the seal is written with the state Sealing, and stays", func(t *testing.T) {
		t.Parallel()
		d := newDataset(placed, sealed)
		seen := saw(after(hour), d)
		got := report(seen, decide(seen), nil)
		if got.State != v1alpha1.DatasetSealing || !got.SealedTime.Equal(at(after(hour))) {
			t.Errorf("state %s, sealed at %v", got.State, got.SealedTime)
		}
		d.Status = got
		seen = saw(after(2*hour), d)
		if again := report(seen, decide(seen), nil).SealedTime; !again.Equal(got.SealedTime) {
			t.Errorf("the time of the seal moved to %v", again)
		}
	})
	t.Run("a seal that is seen after the deletion is too late to count from", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(hour), newDataset(placed, sealed, deleted))
		if got := report(seen, decide(seen), nil).SealedTime; got != nil {
			t.Errorf("sealed at %v", got)
		}
	})
	t.Run("a seal counts from when there is a place", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(0), newDataset(sealed), storeFailed(errAny))
		if got := report(seen, decide(seen), nil).SealedTime; got != nil {
			t.Errorf("sealed at %v", got)
		}
	})
	t.Run("an open dataset has no time of a seal", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(0), newDataset(raw))
		if got := report(seen, decide(seen), nil).SealedTime; got != nil {
			t.Errorf("sealed at %v", got)
		}
	})
	t.Run("a run that waits makes no use", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(hour), newDataset(usable), runs(waiting("a")))
		if got := report(seen, decide(seen), nil).LastUsedTime; got != nil {
			t.Errorf("a run that waits made a use, at %v", got)
		}
	})
	t.Run("the manifest is pinned with its counts", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(0), newDataset(placed, sealed), found(sealCheck{
			reason: v1alpha1.ReasonVerified, summary: objectkey.ManifestSummary{Digest: testDigest, Objects: 3, Bytes: 300},
		}))
		got := report(seen, decide(seen), nil)
		if *got.Objects != 3 || *got.Bytes != 300 || got.ManifestDigest != testDigest {
			t.Errorf("pinned %d objects, %d bytes, %s", *got.Objects, *got.Bytes, got.ManifestDigest)
		}
	})
	t.Run("an unusable manifest is not pinned", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(0), newDataset(placed, sealed), found(sealCheck{
			reason: v1alpha1.ReasonIncomplete, summary: objectkey.ManifestSummary{Digest: testDigest, Objects: 3},
		}))
		if got := report(seen, decide(seen), nil); got.ManifestDigest != "" || got.Objects != nil {
			t.Errorf("pinned %s", got.ManifestDigest)
		}
	})
	t.Run("the counts of an erase are those of its first try", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(9*hour), newDataset(usable, deleted, inventoried), inventory(1, 1, 0))
		got := report(seen, decide(seen), nil).Erasure
		if got.Versions != 4 || !got.StartTime.Equal(at(after(hour))) || !got.InventoryTime.Equal(at(after(hour))) {
			t.Errorf("the counts changed to %+v", got)
		}
	})
	t.Run("the steps of an erase are written one by one", func(t *testing.T) {
		t.Parallel()
		d := newDataset(usable, deleted)
		seen := saw(after(2*hour), d)
		p := decide(seen)
		d.Status = report(seen, p, nil)
		if diff := cmp.Diff(&v1alpha1.ErasureStatus{StartTime: *at(after(2 * hour))}, d.Status.Erasure); diff != "" {
			t.Errorf("announced (-want +got):\n%s", diff)
		}
		seen.keyDestroyed = after(3 * hour)
		d.Status = report(seen, p, nil)
		want := &v1alpha1.ErasureStatus{StartTime: *at(after(2 * hour)), KeyDestroyedTime: at(after(3 * hour))}
		if diff := cmp.Diff(want, d.Status.Erasure); diff != "" {
			t.Errorf("after the key (-want +got):\n%s", diff)
		}
		seen = saw(after(4*hour), d, inventory(4, 400, 1))
		want.InventoryTime, want.Versions, want.Bytes, want.Uploads = at(after(4*hour)), 4, 400, 1
		if diff := cmp.Diff(want, report(seen, decide(seen), nil).Erasure); diff != "" {
			t.Errorf("counted (-want +got):\n%s", diff)
		}
	})
	t.Run("data under the bucket's key has no time of a key", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(2*hour), newDataset(usable, underBucketKey, deleted), inventory(4, 400, 1))
		want := &v1alpha1.ErasureStatus{StartTime: *at(after(2 * hour)), InventoryTime: at(after(2 * hour)), Versions: 4, Bytes: 400, Uploads: 1}
		if diff := cmp.Diff(want, report(seen, decide(seen), nil).Erasure); diff != "" {
			t.Errorf("counted (-want +got):\n%s", diff)
		}
	})
	t.Run("a hold is mirrored once the ledger knows it", func(t *testing.T) {
		t.Parallel()
		until := after(testMaxAge)
		seen := saw(after(hour), newDataset(usable, onHold(until)))
		if got := report(seen, decide(seen), nil).Hold; got != nil {
			t.Errorf("mirrored without a note: %+v", got)
		}
		toldLedger(&seen)
		want := &v1alpha1.HoldStatus{Reason: testCase, Until: *at(until), Since: *at(after(hour))}
		if diff := cmp.Diff(want, report(seen, decide(seen), nil).Hold); diff != "" {
			t.Errorf("hold (-want +got):\n%s", diff)
		}
		seen = saw(after(2*hour), newDataset(usable, onHold(until), knownHold(after(3*hour))), toldLedger)
		want.Since = *at(created())
		if diff := cmp.Diff(want, report(seen, decide(seen), nil).Hold); diff != "" {
			t.Errorf("a longer one (-want +got):\n%s", diff)
		}
		seen = saw(after(2*hour), newDataset(usable, knownHold(until)), toldLedger)
		if got := report(seen, decide(seen), nil).Hold; got != nil {
			t.Errorf("still mirrored after its end: %+v", got)
		}
	})
	t.Run("a hold tells what the ledger does not know, and when it came too late", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(hour), newDataset(usable, onHold(after(testMaxAge))), storeFailed(errAny))
		if c, _ := held(seen); !strings.Contains(c.Message, "ledger does not know it yet: the store does not answer") {
			t.Errorf("message %q", c.Message)
		}
		seen = saw(after(hour), newDataset(usable, deleted, keyless, onHold(after(testMaxAge))))
		if c, _ := held(seen); !strings.Contains(c.Message, "It changes nothing") {
			t.Errorf("message %q", c.Message)
		}
	})
	t.Run("the name of a key that the status lost is kept for the receipt", func(t *testing.T) {
		t.Parallel()
		seen := saw(after(2*hour), newDataset(deleted), recorded, func(o *observed) { o.keyID = testKeyID })
		if got := report(seen, decide(seen), nil).KeyID; got != testKeyID {
			t.Errorf("key %q", got)
		}
	})
	t.Run("only so many runs are named", func(t *testing.T) {
		t.Parallel()
		var many []run
		for i := range 40 {
			many = append(many, using(fmt.Sprintf("run-%02d", i)))
		}
		seen := saw(after(0), newDataset(usable), runs(many...))
		got := report(seen, decide(seen), nil)
		if len(got.ActiveRuns) != 32 || got.ActiveRuns[31] != "run-31" {
			t.Errorf("names %d runs", len(got.ActiveRuns))
		}
		if c := apimeta.FindStatusCondition(got.Conditions, v1alpha1.ConditionInUse); !strings.Contains(c.Message, "37 more") {
			t.Errorf("message %q", c.Message)
		}
	})
}

func TestClip(t *testing.T) {
	t.Parallel()
	long := "x" + strings.Repeat("é", maxMessage)
	got := clip(long)
	if len(got) > maxMessage || !strings.HasPrefix(long, got) || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("clip cut a character: %d bytes", len(got))
	}
}
