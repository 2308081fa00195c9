package headway

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

var now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }

func TestParts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		p    v1alpha1.Progress
		at   time.Time
		want string
	}{
		"nothing":                 {at: now},
		"a percentage as it is":   {p: v1alpha1.Progress{Percent: new(int32(7)), Step: new(int64(1)), TotalSteps: new(int64(2))}, at: now, want: "7%|step 1/2"},
		"one from the steps":      {p: v1alpha1.Progress{Step: new(int64(1)), TotalSteps: new(int64(3))}, at: now, want: "33%|step 1/3"},
		"one from the epochs":     {p: v1alpha1.Progress{Epoch: new(int64(3)), Epochs: new(int64(3))}, at: now, want: "100%|epoch 3/3"},
		"more steps than told of": {p: v1alpha1.Progress{Step: new(int64(9)), TotalSteps: new(int64(3))}, at: now, want: "100%|step 9/3"},
		"a count without an end":  {p: v1alpha1.Progress{Step: new(int64(9)), TotalSteps: new(int64(0))}, at: now, want: "step 9/0"},
		"the loss first, and few": {
			p: v1alpha1.Progress{Metrics: []v1alpha1.Metric{
				{Name: "a", Value: "1"}, {Name: "eval_loss", Value: "2.00001"}, {Name: "loss", Value: "0.123456"}, {Name: "b", Value: "123456"}, {Name: "c", Value: "1"},
			}},
			at: now, want: "loss 0.1235|eval_loss 2|a 1|b 1.235e+05",
		},
		"nothing for a terminal to act on": {
			p:  v1alpha1.Progress{Metrics: []v1alpha1.Metric{{Name: "\x1b[2Jx\ny" + strings.Repeat("z", 40), Value: "not\x07 a number"}}},
			at: now, want: "x yzzzzzzzzzz... not a number",
		},
		"when it ends":                   {p: v1alpha1.Progress{EstimatedCompletionTime: at(90 * time.Minute)}, at: now, want: "1h 30m left"},
		"not when it should have ended":  {p: v1alpha1.Progress{EstimatedCompletionTime: at(-time.Second)}, at: now},
		"how old it is":                  {p: v1alpha1.Progress{LastUpdateTime: at(-3 * time.Minute)}, at: now, want: "no news for 3m"},
		"what holds at any time":         {p: v1alpha1.Progress{Percent: new(int32(7)), LastUpdateTime: at(-time.Hour), EstimatedCompletionTime: at(time.Hour)}, want: "7%"},
		"no percentage beyond its range": {p: v1alpha1.Progress{Percent: new(int32(107))}, at: now, want: "100%"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, Join(Parts(&tc.p, tc.at), "|")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCurrentIsThatOfTheAttemptThatRuns(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		state v1alpha1.RunState
		p     *v1alpha1.Progress
		want  bool
	}{
		"of this attempt":     {v1alpha1.RunRunning, &v1alpha1.Progress{Attempt: 2, Step: new(int64(1))}, true},
		"of nobody knows":     {v1alpha1.RunRunning, &v1alpha1.Progress{Step: new(int64(1))}, true},
		"of an earlier one":   {v1alpha1.RunRunning, &v1alpha1.Progress{Attempt: 1, Step: new(int64(1))}, false},
		"of one that waits":   {v1alpha1.RunQueued, &v1alpha1.Progress{Attempt: 2, Step: new(int64(1))}, false},
		"that nothing is in":  {v1alpha1.RunRunning, &v1alpha1.Progress{Attempt: 2, LastActivityTime: at(0)}, false},
		"that was never told": {v1alpha1.RunRunning, nil, false},
	}
	for name, tc := range tests {
		run := v1alpha1.TrainingRun{Status: v1alpha1.TrainingRunStatus{State: tc.state, Attempt: 2, Progress: tc.p}}
		if got := Current(&run); (got != nil) != tc.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
