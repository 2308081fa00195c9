package overview

import (
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/layout"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// Dataset writes all that is known of a dataset.
func Dataset(screen terminal.Screen, ds *v1alpha1.DatasetRetention, now time.Time) error {
	status := ds.Status
	s := &layout.Sheet{Columns: screen.Columns()}
	s.Field("Dataset", ds.Name)
	s.Field("Namespace", ds.Namespace)
	s.Field("State", state(string(status.State), status.Reason))
	s.Field("Message", status.Message)
	s.Field("Goes", goesAndWhy(ds, now))
	s.Field("Expires", moment(status.ExpiresAt, now))
	s.Field("Keeps", fmt.Sprintf("%s after training, %s in all", words.Duration(ds.Spec.Retention.Window()),
		words.Duration(ds.Spec.Retention.Limit())))
	s.Field("Created", moment(&ds.CreationTimestamp, now))
	s.Field("Last used", moment(status.LastUsedTime, now))
	s.Field("Used by", strings.Join(status.ActiveRuns, ", "))
	if status.Objects != nil && status.Bytes != nil {
		s.Field("Contains", words.Count(*status.Objects, "file")+", "+words.Bytes(*status.Bytes))
	}
	s.Field("Manifest", status.ManifestDigest)
	if l := status.Location; l != nil {
		s.Field("Lies at", l.Bucket+"/"+l.Prefix)
	}
	s.Field("Key", key(ds))
	if status.Erasure != nil {
		s.Field("Erasing", progress(status.Erasure, now))
	}
	if status.State == v1alpha1.DatasetOpen && ds.DeletionTimestamp == nil {
		s.Field("Upload", fmt.Sprintf("kubectl lethe upload DIR %s -n %s", ds.Name, ds.Namespace))
	}
	conditions(s, status.Conditions, status.Message, now)
	return s.Write(screen.Out)
}

// goesAndWhy adds a hold's reason, which may be too long for a table.
func goesAndWhy(ds *v1alpha1.DatasetRetention, now time.Time) string {
	if hold, ok := heldNow(ds, now); ok {
		return Goes(ds, now) + ": " + hold.Reason
	}
	return Goes(ds, now)
}

// key says under which key the data lies.
func key(ds *v1alpha1.DatasetRetention) string {
	e := ds.Status.Erasure
	switch {
	case ds.Spec.Encryption == v1alpha1.EncryptionBucket:
		return "the bucket's"
	case ds.Status.KeyID == "":
		return ""
	case e != nil && e.KeyDestroyedTime != nil:
		return ds.Status.KeyID + ", destroyed at " + e.KeyDestroyedTime.UTC().Format(time.RFC3339)
	}
	return ds.Status.KeyID + ", its own"
}

// progress says how far an erase is. The first ones had no time of their inventory.
func progress(e *v1alpha1.ErasureStatus, now time.Time) string {
	text := "since " + words.Duration(now.Sub(e.StartTime.Time))
	if e.InventoryTime == nil && e.Versions+e.Bytes+e.Uploads == 0 {
		return text + ", nothing is counted yet"
	}
	text += fmt.Sprintf(": found %s, %s, %s", words.Count(e.Versions, "version"), words.Bytes(e.Bytes),
		words.Count(e.Uploads, "unfinished upload"))
	if e.RemovedVersions > 0 {
		text += fmt.Sprintf("; %d versions removed", e.RemovedVersions)
	}
	return text
}
