package system_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Trainers that fail by themselves: whose fault it is, and what can be done.

func TestTrainersThatFail(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	memory := resource.MustParse("96Mi")
	small := func(run *v1alpha1.TrainingRun) { run.Spec.Trainer.Resources.Memory = &memory }
	tests := map[string]struct {
		run      *v1alpha1.TrainingRun
		reason   string
		code     int32
		attempts int
		// says is what the failure's log tail must have.
		says string
	}{
		"out-of-memory": {
			unruly(ns, "out-of-memory", 20, told{"DO": "memory"}, small),
			v1alpha1.ReasonOOMKilled, 137, 1, "taking memory",
		},
		"out-of-gpu-memory": {
			unruly(ns, "out-of-gpu-memory", 20, told{"DO": "cuda"}),
			v1alpha1.ReasonCUDAOutOfMemory, 1, 1, "CUDA out of memory",
		},
		"own-exit-code": {
			unruly(ns, "own-exit-code", 20, told{"DO": "exit", "CODE": "3"}),
			v1alpha1.ReasonNonZeroExit, 3, 1, "ValueError: told to end with 3 after step 10",
		},
		"again-and-again": {
			unruly(ns, "again-and-again", 20, told{"DO": "exit", "CODE": "3"}, retries(2)),
			v1alpha1.ReasonNonZeroExit, 3, 3, "ValueError: told to end with 3",
		},
		"not-worth-a-retry": {
			unruly(ns, "not-worth-a-retry", 20, told{"DO": "exit", "CODE": "42"}, retries(2, 42)),
			v1alpha1.ReasonNonZeroExit, 42, 1, "ValueError: told to end with 42",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			create(t, test.run)
			run := waitRun(t, ns, name, v1alpha1.RunFailed)
			f := assertFailure(t, run, test.reason, v1alpha1.BlameUser)
			if f.ExitCode == nil || *f.ExitCode != test.code || f.Container != "trainer" {
				t.Errorf("failure %+v, want exit code %d of the trainer", f, test.code)
			}
			if !strings.Contains(f.LogTail, test.says) || strings.ContainsAny(f.LogTail, "\x00\x1b") {
				t.Errorf("the end of the log is %q, want %q in it", f.LogTail, test.says)
			}
			if got := len(run.Status.Attempts); got != test.attempts || int(run.Status.ChargedAttempts) != test.attempts {
				t.Errorf("%d attempts, %d of them charged; want %d", got, run.Status.ChargedAttempts, test.attempts)
			}
			if run.Status.Artifacts != nil {
				t.Errorf("a run that failed has artifacts: %+v", run.Status.Artifacts)
			}
			eventuallyEvent(t, ns, name, test.reason)
		})
	}
}

// TestFailedOnceIsRetried: the second attempt goes on where the first one failed.
func TestFailedOnceIsRetried(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "unlucky", 40, told{"DO": "exit", "AT": "12", "ATTEMPT": "1"}, retries(1)))
	run := waitRun(t, ns, "unlucky", v1alpha1.RunSucceeded)
	assertAttempts(t, run, v1alpha1.AttemptFailed, v1alpha1.AttemptSucceeded)
	assertResumed(t, run, 2, 10, 40) // The checkpoint of step 10 is stored although the trainer failed.
	if run.Status.Failure != nil {
		t.Errorf("a run that succeeded has a failure: %+v", run.Status.Failure)
	}
}
