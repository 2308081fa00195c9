package trainingrun

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestEventsOfAStep(t *testing.T) {
	t.Parallel()
	started := func(number int32, from string) v1alpha1.Attempt {
		return v1alpha1.Attempt{Number: number, StartTime: ptr.To(at(0)), ResumedFrom: from}
	}
	ended := func(number int32, result v1alpha1.AttemptResult, reason string, lost int64) v1alpha1.Attempt {
		a := started(number, "")
		a.Result, a.Reason, a.LostGPUSeconds = result, reason, lost
		return a
	}
	exited := ended(1, v1alpha1.AttemptFailed, v1alpha1.ReasonNonZeroExit, 90)
	exited.ExitCode = exit(3)
	is := func(state v1alpha1.RunState, reason string, attempts ...v1alpha1.Attempt) v1alpha1.TrainingRunStatus {
		return v1alpha1.TrainingRunStatus{State: state, Reason: reason, Message: "m", Attempts: attempts}
	}
	training := v1alpha1.ReasonTraining
	for name, c := range map[string]struct {
		old, now v1alpha1.TrainingRunStatus
		want     []string
	}{
		"nothing": {old: is(runningNow, training), now: is(runningNow, training)},
		"the first attempt starts with its run": {
			old: is(startNow, v1alpha1.ReasonPodStarting), now: is(runningNow, training, started(1, "")),
			want: []string{"Normal Training Follow: m"},
		},
		"a later attempt starts anew": {
			old: is(startNow, v1alpha1.ReasonRetrying, exited), now: is(runningNow, training, exited, started(2, "")),
			want: []string{"Normal AttemptStarted Attempt: the trainer of attempt 2 runs; it begins anew", "Normal Training Follow: m"},
		},
		"a later attempt starts from a checkpoint": {
			old: is(runningNow, training, exited, v1alpha1.Attempt{Number: 2}), now: is(runningNow, training, exited, started(2, "0001-000500")),
			want: []string{"Normal AttemptStarted Attempt: the trainer of attempt 2 runs; it goes on from checkpoint 0001-000500"},
		},
		"an attempt fails and another follows": {
			old: is(runningNow, training, started(1, "")), now: is(startNow, v1alpha1.ReasonRetrying, exited),
			want: []string{
				"Warning AttemptFailed Attempt: attempt 1 failed (NonZeroExit) with exit code 3; 90 GPU-seconds since its last checkpoint are lost",
				"Normal Retrying Follow: m",
			},
		},
		"an attempt is disrupted": {
			old: is(runningNow, training, started(1, "")), now: is(startNow, v1alpha1.ReasonPodStarting, ended(1, v1alpha1.AttemptDisrupted, v1alpha1.ReasonDisrupted, 0)),
			want: []string{
				"Warning AttemptDisrupted Attempt: the cluster took a Pod of attempt 1 away; another attempt follows, and this one does not count",
				"Normal PodStarting Follow: m",
			},
		},
		"a run is suspended": {
			old: is(runningNow, v1alpha1.ReasonSuspending, started(1, "")),
			now: is(v1alpha1.RunSuspended, v1alpha1.ReasonSuspended, ended(1, v1alpha1.AttemptSuspended, v1alpha1.ReasonSuspended, 0)),
			want: []string{
				"Normal AttemptStopped Suspend: attempt 1 was stopped, because the run is suspended", "Normal Suspended Suspend: m",
			},
		},
		"a run goes on": {
			old: is(v1alpha1.RunSuspended, v1alpha1.ReasonSuspended), now: is(v1alpha1.RunQueued, "Pending"),
			want: []string{"Normal Resumed Suspend: the run is not suspended any more and goes on", "Normal Pending Follow: m"},
		},
		"a queue that nobody minds": {
			old: is(startNow, v1alpha1.ReasonPodStarting), now: is(v1alpha1.RunQueued, reasonNoKueue),
			want: []string{"Warning KueueNotInstalled Follow: m"},
		},
		"a limit ends a run": {
			old: is(runningNow, training, started(2, "")), now: is(fails, v1alpha1.ReasonMaxDurationReached, ended(2, v1alpha1.AttemptStopped, v1alpha1.ReasonMaxDurationReached, 0)),
			want: []string{"Warning MaxDurationReached EnforceLimit: m"},
		},
		"a failure ends a run": {
			old: is(runningNow, training, started(1, "")), now: is(fails, v1alpha1.ReasonNonZeroExit, exited),
			want: []string{"Warning NonZeroExit Finish: m"},
		},
		"an attempt that was stopped although the run goes on": {
			old: is(runningNow, training, started(1, "")), now: is(runningNow, training, ended(1, v1alpha1.AttemptStopped, v1alpha1.ReasonStalled, 0)),
			want: []string{"Normal AttemptStopped Attempt: attempt 1 has ended (Stalled)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := &noteLog{}
			(&Reconciler{recorder: told}).recordEvents(makeRun(func(r *v1alpha1.TrainingRun) { r.Status = c.old }), c.now)
			if diff := cmp.Diff(c.want, told.notes); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEventsDoNotTellOfTheLog: an event is read by more people than the run's object.
func TestEventsDoNotTellOfTheLog(t *testing.T) {
	t.Parallel()
	told := &noteLog{}
	now := v1alpha1.TrainingRunStatus{
		State: v1alpha1.RunFailed, Reason: v1alpha1.ReasonNonZeroExit, Message: "the trainer ended with exit code 3",
		Failure: &v1alpha1.RunFailure{Reason: v1alpha1.ReasonNonZeroExit, LogTail: "alice"},
	}
	(&Reconciler{recorder: told}).recordEvents(makeRun(), now)
	if len(told.notes) != 1 || strings.Contains(told.notes[0], "alice") {
		t.Errorf("events: %q", told.notes)
	}
}

func TestALongNoteIsCut(t *testing.T) {
	t.Parallel()
	told := &noteLog{}
	(&Reconciler{recorder: told}).emit(makeRun(), corev1.EventTypeNormal, "R", "A", strings.Repeat("€", 2000))
	if len(told.notes) != 1 || len(told.notes[0]) > 1024 || strings.ContainsRune(told.notes[0], '\ufffd') {
		t.Errorf("events: %q", told.notes)
	}
}

// noteLog is a Recorder that remembers what was said too.
type noteLog struct{ notes []string }

func (l *noteLog) Eventf(_, _ runtime.Object, kind, reason, action, note string, args ...any) {
	l.notes = append(l.notes, kind+" "+reason+" "+action+": "+fmt.Sprintf(note, args...))
}
