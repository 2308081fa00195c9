package web

import (
	"fmt"
	"strconv"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// runState is how a run stands, for people. Class colours the pill, Icon stands beside it;
// neither says more than the words.
type runState struct {
	Words, Class, Icon string
	// Live reports whether the run may still change by itself.
	Live bool
}

// runStates are the states of api/v1alpha1 in words.
var runStates = map[v1alpha1.RunState]runState{
	v1alpha1.RunPending:    {"Waiting for its data", "", "clock", true},
	v1alpha1.RunQueued:     {"In the queue", "", "clock", true},
	v1alpha1.RunStarting:   {"Starting", "warn", "clock", true},
	v1alpha1.RunRunning:    {"Training", "good", "wave", true},
	v1alpha1.RunPublishing: {"Saving its results", "good", "wave", true},
	v1alpha1.RunSuspended:  {"Suspended", "warn", "pause", true},
	v1alpha1.RunSucceeded:  {"Finished", "good", "check", false},
	v1alpha1.RunFailed:     {"Failed", "bad", "alert", false},
	v1alpha1.RunCancelled:  {"Cancelled", "", "stop", false},
}

var waitingRun = runState{"Waiting for the cluster", "", "clock", true}

// stateOfRun says how a run stands: what its person wished comes before what was seen.
func stateOfRun(run portal.Run) runState {
	seen, known := runStates[v1alpha1.RunState(run.Seen.State)]
	if !known {
		seen = waitingRun
	}
	over := run.Seen.Finished()
	switch {
	case run.Wish == portal.WishDeleted && !run.GoneAt.IsZero():
		return runState{"Deleted", "", "stop", false}
	case run.Wish == portal.WishDeleted:
		return runState{"Being deleted", "warn", "stop", true}
	case run.Refused != "":
		return runState{"Refused", "bad", "alert", false}
	case run.Wish == portal.WishCancelled && !run.GoneAt.IsZero() && !over:
		return runStates[v1alpha1.RunCancelled]
	case run.Wish == portal.WishCancelled && !over:
		return runState{"Being cancelled", "warn", "stop", true}
	case !run.GoneAt.IsZero() && !over:
		return runState{"Gone", "", "stop", false}
	case run.UID == "":
		return waitingRun
	case run.Wish == portal.WishSuspended && !run.Seen.Suspended && !over:
		return runState{"Being suspended", "warn", "pause", true}
	case run.Wish == portal.WishRun && run.Seen.Suspended && !over:
		return runState{"Going on", "", "clock", true}
	}
	return seen
}

// runStateName is a state of the filter in words.
func runStateName(state string) string {
	if s, ok := runStates[v1alpha1.RunState(state)]; ok {
		return s.Words
	}
	return waitingRun.Words
}

// runFilterStates are what the list can be filtered by, in the order in which they come.
var runFilterStates = []string{
	portal.RunWaiting, string(v1alpha1.RunPending), string(v1alpha1.RunQueued), string(v1alpha1.RunStarting),
	string(v1alpha1.RunRunning), string(v1alpha1.RunPublishing), string(v1alpha1.RunSuspended),
	string(v1alpha1.RunSucceeded), string(v1alpha1.RunFailed), string(v1alpha1.RunCancelled),
}

// gpuHours shows GPU-seconds as hours: "1.25 GPU-hours".
func gpuHours(seconds int64) string {
	number := hoursOf(seconds)
	if number == "1" {
		return "1 GPU-hour"
	}
	return number + " GPU-hours"
}

// hoursOf shows seconds as hours with two decimals.
func hoursOf(seconds int64) string {
	const hundredth = 36
	if seconds > 0 && seconds < hundredth {
		return "under 0.01"
	}
	hundredths := (seconds + hundredth/2) / hundredth
	whole, rest := strconv.FormatInt(hundredths/100, 10), hundredths%100
	if rest == 0 {
		return whole
	}
	return fmt.Sprintf("%s.%02d", whole, rest)
}
