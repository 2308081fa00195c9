package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/layout"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
)

// signs are how outcomes are shown.
var signs = map[Outcome]struct {
	text  string
	style terminal.Style
}{
	Passed:  {"pass", terminal.Good},
	Failed:  {"FAIL", terminal.Bad},
	Unknown: {"????", terminal.Wait},
}

// Count says how many results have the outcome.
func Count(results []Result, outcome Outcome) int {
	n := 0
	for _, r := range results {
		if r.Outcome == outcome {
			n++
		}
	}
	return n
}

// Write shows results to a person.
func Write(screen terminal.Screen, results []Result) error {
	s := &layout.Sheet{Columns: screen.Columns()}
	for _, r := range results {
		sign := signs[r.Outcome]
		s.Line(screen.Paint(sign.style, sign.text) + "  " + screen.Paint(terminal.Bold, r.Name))
		s.Text(r.Found)
		s.Text("(looked at: " + r.LookedAt + ")")
		for _, do := range r.Do {
			s.Item(do)
		}
	}
	s.Gap()
	s.Line(Summary(results))
	return s.Write(screen.Out)
}

// Summary counts.
func Summary(results []Result) string {
	text := fmt.Sprintf("%d checks passed, %d failed", Count(results, Passed), Count(results, Failed))
	if n := Count(results, Unknown); n > 0 {
		text += fmt.Sprintf(", %d can not tell (????)", n)
	}
	return text + "."
}

// WriteJSON writes results for programs. The texts may change; names and outcomes do not.
func WriteJSON(out io.Writer, results []Result) error {
	data, err := json.MarshalIndent(struct {
		Checks  []Result `json:"checks"`
		Passed  int      `json:"passed"`
		Failed  int      `json:"failed"`
		Unknown int      `json:"unknown"`
	}{results, Count(results, Passed), Count(results, Failed), Count(results, Unknown)}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the checks: %w", err)
	}
	if _, err := io.WriteString(out, strings.TrimSpace(string(data))+"\n"); err != nil {
		return fmt.Errorf("write the checks: %w", err)
	}
	return nil
}
