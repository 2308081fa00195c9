package overview

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// Run writes all that is known of a run.
func Run(out io.Writer, run *v1alpha1.TrainingRun, now time.Time) error {
	status := run.Status
	d := detail{}
	d.line("Run", run.Name)
	d.line("Namespace", run.Namespace)
	d.line("State", state(string(status.State), status.Reason))
	d.line("Message", status.Message)
	d.line("Dataset", run.Spec.DatasetRef.Name)
	if bound := status.Dataset; bound != nil && bound.ReceiptDigest != "" {
		d.line("Erased", "the dataset is; its receipt is "+bound.ReceiptDigest)
	}
	d.line("Image", run.Spec.Trainer.Image)
	d.line("GPUs", gpus(run))
	d.line("Created", moment(&run.CreationTimestamp, now))
	d.line("Started", moment(status.StartTime, now))
	d.line("Ended", moment(status.CompletionTime, now))
	if status.StartTime != nil {
		d.line("Time", took(run, now))
	}
	if status.Usage != nil {
		d.line("GPU time", fmt.Sprintf("%s (%d GPU-seconds)", gpuTime(run), status.Usage.GPUSeconds))
	}
	if a := status.Artifacts; a != nil {
		d.line("Artifacts", words.Count(a.Objects, "file")+", "+words.Bytes(a.Bytes))
		d.line("Manifest", a.ManifestDigest)
		d.line("Get them", fmt.Sprintf("kubectl lethe artifacts %s DIR -n %s", run.Name, run.Namespace))
	}
	d.failure(run)
	d.conditions(status.Conditions, status.Message, now)
	return d.write(out)
}

// Dataset writes all that is known of a dataset.
func Dataset(out io.Writer, ds *v1alpha1.DatasetRetention, now time.Time) error {
	status := ds.Status
	d := detail{}
	d.line("Dataset", ds.Name)
	d.line("Namespace", ds.Namespace)
	d.line("State", state(string(status.State), status.Reason))
	d.line("Message", status.Message)
	d.line("Goes", goesAndWhy(ds, now))
	d.line("Expires", moment(status.ExpiresAt, now))
	d.line("Keeps", fmt.Sprintf("%s after training, %s in all", words.Duration(ds.Spec.Retention.Window()),
		words.Duration(ds.Spec.Retention.Limit())))
	d.line("Created", moment(&ds.CreationTimestamp, now))
	d.line("Last used", moment(status.LastUsedTime, now))
	d.line("Used by", strings.Join(status.ActiveRuns, ", "))
	if status.Objects != nil && status.Bytes != nil {
		d.line("Contains", words.Count(*status.Objects, "file")+", "+words.Bytes(*status.Bytes))
	}
	d.line("Manifest", status.ManifestDigest)
	if l := status.Location; l != nil {
		d.line("Lies at", l.Bucket+"/"+l.Prefix)
	}
	d.line("Key", key(ds))
	if status.Erasure != nil {
		d.line("Erasing", progress(status.Erasure, now))
	}
	if status.State == v1alpha1.DatasetOpen && ds.DeletionTimestamp == nil {
		d.line("Upload", fmt.Sprintf("kubectl lethe upload DIR %s -n %s", ds.Name, ds.Namespace))
	}
	d.conditions(status.Conditions, status.Message, now)
	return d.write(out)
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

// detail collects lines of a name and a value each.
type detail struct{ text strings.Builder }

// line adds a line; a value that is empty is left out.
func (d *detail) line(name, value string) {
	if value != "" {
		fmt.Fprintf(&d.text, "%-11s %s\n", name+":", value)
	}
}

func (d *detail) failure(run *v1alpha1.TrainingRun) {
	f := run.Status.Failure
	if f == nil {
		return
	}
	// Usually both are above already, as state and message.
	if f.Reason != run.Status.Reason {
		d.line("Failure", f.Reason)
	}
	if f.Message != run.Status.Message {
		d.line("Because", f.Message)
	}
	if f.ExitCode != nil {
		d.line("Exit code", strconv.Itoa(int(*f.ExitCode)))
	}
}

// conditions does not repeat the message that stands above.
func (d *detail) conditions(conditions []metav1.Condition, above string, now time.Time) {
	if len(conditions) == 0 {
		return
	}
	d.text.WriteString("\n")
	rows := [][]string{{"CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"}}
	for _, c := range conditions {
		message := orNone(c.Message)
		if above != "" && c.Message == above {
			message = "(see above)"
		}
		rows = append(rows, []string{c.Type, string(c.Status), orNone(c.Reason), age(c.LastTransitionTime, now), message})
	}
	_ = table(&d.text, rows) // A strings.Builder takes everything.
}

func (d *detail) write(out io.Writer) error {
	if _, err := io.WriteString(out, d.text.String()); err != nil {
		return fmt.Errorf("write details: %w", err)
	}
	return nil
}

// Summary is the state of a run or a dataset in one line.
func Summary(state, reason, message string) string {
	line := state
	if line == "" {
		line = "New"
	}
	if reason != "" && reason != state {
		line += " (" + reason + ")"
	}
	if message != "" {
		line += ": " + message
	}
	return line
}

func state(state, reason string) string { return Summary(state, reason, "") }

// moment writes a time with its distance from now.
func moment(t *metav1.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	at := t.UTC().Format(time.RFC3339)
	if d := now.Sub(t.Time); d >= 0 {
		return fmt.Sprintf("%s (%s ago)", at, words.Duration(d))
	}
	return fmt.Sprintf("%s (in %s)", at, words.Duration(t.Sub(now)))
}
