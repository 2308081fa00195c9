package sweeper

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// maxLines is how many findings of a kind are logged one by one.
const maxLines = 50

// actionSweep is what the sweeper's events say it was about.
const actionSweep = "Sweep"

// Report sums up a sweep.
type Report struct {
	// Findings by kind; Foreign counts keys, or things named like one, BreakerOpen is
	// 0 or 1, all others count owners.
	Findings map[Kind]int
	// Erased counts owners by why they were erased: KindOrphan or KindLateData.
	Erased map[Kind]int
	// Marked counts the orphans that were written down for the first time.
	Marked int
	// Active counts the records whose data was not erased.
	Active int
	// Due counts the orphans that were to be erased; with DryRun they were not.
	Due int
	// Overdue is for how long the data has been due that is due the longest.
	Overdue time.Duration

	foreign  map[string]int
	findings []finding
}

func newReport(seen observed, p planned) Report {
	r := Report{
		Findings: map[Kind]int{}, Erased: map[Kind]int{},
		Active: seen.active, Due: len(p.due), foreign: seen.foreign,
		findings: slices.Clone(seen.findings),
	}
	for _, f := range seen.findings {
		for _, kind := range f.kinds {
			r.Findings[kind]++
		}
		r.Overdue = max(r.Overdue, f.overdue)
	}
	for _, n := range seen.foreign {
		r.Findings[KindForeign] += n
	}
	if p.breaker {
		r.Findings[KindBreakerOpen] = 1
	}
	return r
}

// add takes up what was found while something was done about it.
func (r *Report) add(f finding, kind Kind) {
	r.Findings[kind]++
	f.kinds = []Kind{kind}
	r.findings = append(r.findings, f)
}

// fail takes up an erase that was not finished.
func (r *Report) fail(f finding, err error) {
	f.failed = err
	r.add(f, KindEraseFailed)
}

// meanings say what was found, for logs and events. What to do about it is written in
// config/observability/README.md.
var meanings = map[Kind]string{
	KindOrphan:       "There is data, or a record of data, whose object went without an erase; it is erased after the grace, but artifacts only when their namespace is gone",
	KindOrphanInUse:  "Data whose object went without an erase is due to be erased, but a run still uses it",
	KindHeld:         "The object of data went without an erase; a hold keeps the data",
	KindLateData:     "There was data in the place of an object whose data was erased before; it is erased again",
	KindUnrecorded:   "There is data in the store without a record in the ledger",
	KindOverdue:      "The data should have been erased by now",
	KindDataMissing:  "The dataset's data is not in the store, although nobody erased it by the operator",
	KindResurrected:  "The object exists, although its data was erased; it was probably restored from a backup and should be deleted; nothing is erased until then",
	KindUnknownStore: "The ledger says that the data lies in another store than the one at the configured address",
	KindDamaged:      "What the ledger or the API server says of the data can not be read or does not fit together; nothing is done about it",
	KindForeign:      "There are keys in a bucket that are in no object's place; they are left alone",
	KindBreakerOpen:  "So many orphans are due to be erased that none is; somebody has to look first",
	KindEraseFailed:  "An erase was not finished; it is tried again",
}

// alarm is something that an event was published for.
type alarm struct {
	at   place
	kind Kind
}

// tell logs the findings and publishes an event for each that is new and has an object
// to publish it on.
func (s *Sweeper) tell(r *Report) {
	told := map[alarm]bool{}
	lines := map[Kind]int{}
	for _, f := range r.findings {
		for _, kind := range f.kinds {
			if lines[kind]++; lines[kind] <= maxLines {
				s.logFinding(f, kind)
			}
			told[alarm{f.at, kind}] = true
			if f.object != nil && !s.told[alarm{f.at, kind}] {
				s.opts.Events.Eventf(reference(f, s.rules(s.opts.Clock.Now())), nil,
					corev1.EventTypeWarning, string(kind), actionSweep, "%s.", meanings[kind])
			}
		}
	}
	s.told = told
	for bucket, n := range r.foreign {
		s.opts.Log.Info(meanings[KindForeign], "finding", KindForeign, "bucket", bucket, "count", n)
	}
	if r.Findings[KindBreakerOpen] > 0 {
		s.opts.Log.Error(nil, meanings[KindBreakerOpen], "finding", KindBreakerOpen, "active", r.Active)
	}
	for _, kind := range slices.Sorted(maps.Keys(lines)) {
		if lines[kind] > maxLines {
			s.opts.Log.Info("There are more findings of a kind than were logged", "finding", kind, "count", lines[kind])
		}
	}
	s.opts.Log.Info("Compared the store with the ledger", "active", r.Active, "orphans", r.Findings[KindOrphan],
		"due", r.Due, "marked", r.Marked, "erasedOrphans", r.Erased[KindOrphan], "erasedLate", r.Erased[KindLateData], "dryRun", s.opts.DryRun)
}

// logFinding names the owner and nothing that lies in its place.
func (s *Sweeper) logFinding(f finding, kind Kind) {
	log := s.opts.Log.WithValues("finding", kind, "namespace", f.at.namespace, "uid", f.at.uid(), "bucket", f.at.bucket)
	switch {
	case f.failed != nil && kind == KindEraseFailed:
		log.Error(f.failed, meanings[kind])
	case kind == KindOverdue:
		log.Info(meanings[kind], "overdue", f.overdue.Round(time.Second).String())
	case kind == KindHeld:
		hold, _ := f.account.Last(objectkey.LedgerHeld)
		log.Info(meanings[kind], "until", hold.Until)
	default:
		log.Info(meanings[kind])
	}
}

// reference names an object that an event is about.
func reference(f finding, r rules) *corev1.ObjectReference {
	kind := "DatasetRetention"
	if r.resources[f.at.bucket] == objectkey.ResourceRun {
		kind = "TrainingRun"
	}
	return &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: kind,
		Namespace: f.at.namespace, Name: f.object.Name, UID: f.at.uid(),
	}
}
