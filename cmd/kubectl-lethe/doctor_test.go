package main

import (
	"encoding/json"
	"testing"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// TestDoctor: who may see little is told so, which is no failure unless it is asked for.
func TestDoctor(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.wants(staging.ExitUsage, "doctor -o yaml", "--output must be json")
	p.wants(staging.ExitUsage, "doctor now", "unknown command")
	p.wants(0, "doctor", "????  rights\n", "list Nodes", "pass  kubernetes\n", "0 failed")
	p.wants(exitFailed, "doctor --strict", "checks can not tell")
	p.wants(0, "doctor -o json")
	var report struct {
		Checks          []struct{ Name, Outcome, LookedAt, Found string }
		Failed, Unknown int
	}
	if err := json.Unmarshal([]byte(p.shown.String()), &report); err != nil {
		t.Fatalf("%v:\n%s", err, &p.shown)
	}
	if len(report.Checks) < 20 || report.Checks[0].Name != "rights" || report.Checks[0].Outcome != "unknown" || report.Unknown == 0 {
		t.Errorf("%+v", report)
	}
}
