package overview

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/headway"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/layout"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// Run writes all that is known of a run.
func Run(screen terminal.Screen, run *v1alpha1.TrainingRun, now time.Time) error {
	status := run.Status
	s := &layout.Sheet{Columns: screen.Columns()}
	s.Field("Run", run.Name)
	s.Field("Namespace", run.Namespace)
	s.Field("State", state(string(status.State), status.Reason))
	s.Field("Message", status.Message)
	s.Field("Dataset", dataset(run))
	if bound := status.Dataset; bound != nil && bound.ReceiptDigest != "" {
		s.Field("Erased", "the dataset is; its receipt is "+bound.ReceiptDigest)
	}
	s.Field("Image", run.Spec.Trainer.Image)
	s.Field("GPUs", hardware(run))
	s.Field("Queue", run.Spec.QueueName)
	s.Field("Created", moment(&run.CreationTimestamp, now))
	s.Field("Started", moment(status.StartTime, now))
	s.Field("Ended", moment(status.CompletionTime, now))
	if status.StartTime != nil {
		s.Field("Time", took(run, now))
	}
	if p := status.Progress; p != nil {
		s.Field("Progress", headway.Join(headway.Parts(p, progressTime(run, now)), ", "))
	}
	s.Field("GPU time", usage(run))
	s.Field("Limits", limits(run))
	if a := status.Artifacts; a != nil {
		s.Field("Artifacts", words.Count(a.Objects, "file")+", "+words.Bytes(a.Bytes))
		s.Field("Manifest", a.ManifestDigest)
		s.Field("Get them", fmt.Sprintf("kubectl lethe artifacts %s DIR -n %s", run.Name, run.Namespace))
	}
	failure(s, run)
	Attempts(s, run, now)
	checkpoints(s, run, now)
	conditions(s, status.Conditions, status.Message, now)
	return s.Write(screen.Out)
}

// progressTime is the time to look at progress from: of a run that does not run, it is
// of no interest how old the news are, nor when it would have ended.
func progressTime(run *v1alpha1.TrainingRun, now time.Time) time.Time {
	if run.Status.State == v1alpha1.RunRunning {
		return now
	}
	return time.Time{}
}

func dataset(run *v1alpha1.TrainingRun) string {
	ref := run.Spec.DatasetRef
	if ref.Distribution == v1alpha1.DistributionSharded && run.Spec.Nodes.Size() > 1 {
		return ref.Name + ", a share for each node"
	}
	return ref.Name
}

// hardware says which GPUs a run has on how many nodes.
func hardware(run *v1alpha1.TrainingRun) string {
	nodes := run.Spec.Nodes
	text := gpus(run)
	if size := nodes.Size(); size > 1 {
		text = fmt.Sprintf("%d (%d nodes with %d each)", nodes.GPUs(), size, nodes.GPUs()/int64(size))
	}
	if nodes.GPUProduct != "" {
		text += ", " + nodes.GPUProduct
	}
	return text
}

func usage(run *v1alpha1.TrainingRun) string {
	u := run.Status.Usage
	if u == nil {
		return ""
	}
	text := fmt.Sprintf("%s (%d GPU-seconds)", gpuTime(run), u.GPUSeconds)
	if u.LostGPUSeconds > 0 {
		text += fmt.Sprintf(", of which %s since a last checkpoint were lost", words.Duration(seconds(u.LostGPUSeconds)))
	}
	return text
}

// limits says what may be consumed, and how often it may be tried again.
func limits(run *v1alpha1.TrainingRun) string {
	l, used := run.Spec.Limits, run.Status.Usage
	if used == nil {
		used = &v1alpha1.Usage{}
	}
	var parts []string
	if d := l.MaxDuration; d != nil {
		parts = append(parts, fmt.Sprintf("%s of training (%s used)", words.Duration(d.Duration), words.Duration(seconds(used.TrainingSeconds))))
	}
	if n := l.MaxGPUSeconds; n != nil {
		parts = append(parts, fmt.Sprintf("%d GPU-seconds (%d used)", *n, used.GPUSeconds))
	}
	if d := l.StartWithin; d != nil {
		parts = append(parts, "starts within "+words.Duration(d.Duration))
	}
	if d := l.StalledAfter; d != nil {
		parts = append(parts, "stalled after "+words.Duration(d.Duration))
	}
	if n := run.Spec.Retry.Limit; n != nil && *n > 0 {
		retries := strings.ReplaceAll(words.Count(int64(*n), "retry"), "retrys", "retries")
		parts = append(parts, fmt.Sprintf("%s (%d of %d attempts counted)", retries, run.Status.ChargedAttempts, *n+1))
	}
	return strings.Join(parts, ", ")
}

func failure(s *layout.Sheet, run *v1alpha1.TrainingRun) {
	f := run.Status.Failure
	if f == nil {
		return
	}
	// Usually both are above already, as state and message.
	if f.Reason != run.Status.Reason {
		s.Field("Failure", f.Reason)
	}
	if f.Message != run.Status.Message {
		s.Field("Because", f.Message)
	}
	s.Field("Blame", string(f.Blame))
	if f.Hint != "" && !strings.Contains(run.Status.Message, f.Hint) {
		s.Field("Hint", f.Hint)
	}
	s.Field("Container", f.Container)
	if f.Node != nil && run.Spec.Nodes.Size() > 1 {
		s.Field("Node", strconv.Itoa(int(*f.Node)))
	}
	if f.ExitCode != nil {
		s.Field("Exit code", strconv.Itoa(int(*f.ExitCode)))
	}
	LogTail(s, f)
}

// LogTail quotes the end of the log of what failed.
func LogTail(s *layout.Sheet, f *v1alpha1.RunFailure) {
	if f == nil || f.LogTail == "" {
		return
	}
	s.Gap()
	s.Line("Last lines of the log:")
	s.Quote(f.LogTail)
}

// Attempts lists the attempts of a run, the oldest first.
func Attempts(s *layout.Sheet, run *v1alpha1.TrainingRun, now time.Time) {
	if len(run.Status.Attempts) == 0 {
		return
	}
	rows := [][]string{{"ATTEMPT", "RESULT", "REASON", "EXIT", "RAN", "RESUMED FROM", "GPU TIME", "LOST"}}
	for _, a := range run.Status.Attempts {
		exit := none
		if a.ExitCode != nil {
			exit = strconv.Itoa(int(*a.ExitCode))
		}
		result := cmp.Or(string(a.Result), "goes on")
		if a.Disruptions > 0 {
			result += fmt.Sprintf(" (%s replaced)", words.Count(int64(a.Disruptions), "Pod"))
		}
		used, lost := none, none // Both are counted when it ends.
		if a.Result != "" {
			used, lost = words.Duration(seconds(a.GPUSeconds)), words.Duration(seconds(a.LostGPUSeconds))
		}
		rows = append(rows, []string{
			strconv.Itoa(int(a.Number)), result, orNone(a.Reason), exit, ran(a, now), orNone(a.ResumedFrom), used, lost,
		})
	}
	s.Gap()
	s.Table(rows)
}

func ran(a v1alpha1.Attempt, now time.Time) string {
	switch {
	case a.StartTime == nil:
		return none
	case a.EndTime != nil:
		return words.Duration(a.EndTime.Sub(a.StartTime.Time))
	case a.Result == "":
		return words.Duration(now.Sub(a.StartTime.Time))
	}
	return words.Duration(seconds(a.TrainingSeconds))
}

func checkpoints(s *layout.Sheet, run *v1alpha1.TrainingRun, now time.Time) {
	if len(run.Status.Checkpoints) == 0 {
		return
	}
	rows := [][]string{{"CHECKPOINT", "STEP", "FILES", "SIZE", "AGE"}}
	for _, c := range run.Status.Checkpoints {
		step := none
		if c.Step > 0 {
			step = strconv.FormatInt(c.Step, 10)
		}
		rows = append(rows, []string{c.ID, step, strconv.FormatInt(c.Objects, 10), words.Bytes(c.Bytes), age(c.Time, now)})
	}
	s.Gap()
	s.Table(rows)
}

// Ended says in a few words how an attempt ended.
func Ended(a v1alpha1.Attempt) string {
	text := string(a.Result)
	if a.Reason != "" && a.Reason != text {
		text += " (" + words.Plain(a.Reason) + ")"
	}
	if a.ExitCode != nil && *a.ExitCode != 0 {
		text += fmt.Sprintf(", exit code %d", *a.ExitCode)
	}
	return text
}

// Since is when a run came into the state in which it is.
func Since(run *v1alpha1.TrainingRun) time.Time {
	var since metav1.Time
	for _, c := range run.Status.Conditions {
		if c.Reason == run.Status.Reason && c.LastTransitionTime.After(since.Time) {
			since = c.LastTransitionTime
		}
	}
	switch {
	case run.Status.State.Finished() && run.Status.CompletionTime != nil:
		return run.Status.CompletionTime.Time
	case !since.IsZero():
		return since.Time
	}
	return run.CreationTimestamp.Time
}

// Style is how a state looks.
func Style(state v1alpha1.RunState) terminal.Style {
	switch state {
	case v1alpha1.RunSucceeded, v1alpha1.RunRunning, v1alpha1.RunPublishing:
		return terminal.Good
	case v1alpha1.RunFailed:
		return terminal.Bad
	case v1alpha1.RunPending, v1alpha1.RunQueued, v1alpha1.RunStarting, v1alpha1.RunSuspended, v1alpha1.RunCancelled:
		return terminal.Wait
	}
	return terminal.Plain
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
