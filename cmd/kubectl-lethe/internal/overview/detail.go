package overview

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/layout"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// conditions does not repeat the message that stands above.
func conditions(s *layout.Sheet, all []metav1.Condition, above string, now time.Time) {
	if len(all) == 0 {
		return
	}
	rows := [][]string{{"CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"}}
	for _, c := range all {
		message := orNone(c.Message)
		if above != "" && c.Message == above {
			message = "(see above)"
		}
		rows = append(rows, []string{c.Type, string(c.Status), orNone(c.Reason), age(c.LastTransitionTime, now), message})
	}
	s.Gap()
	s.Table(rows)
}

// Summary is the state of a run or a dataset in one line.
func Summary(state, reason, message string) string {
	if state == "" {
		state = "New"
	}
	return state + Because(state, reason, message)
}

// Because is what stands behind a state in a line.
func Because(state, reason, message string) string {
	var line string
	if reason != "" && reason != state {
		line = " (" + reason + ")"
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
