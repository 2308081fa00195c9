package sweeper

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// The alerts and the dashboard are checked here, because most of them are about what
// the sweeper measures.
const (
	observability = "../../../config/observability/"
	controllers   = "../../../controllers"
)

var (
	metricName    = regexp.MustCompile(`\blethe_[a-z0-9_]+`)
	metricLiteral = regexp.MustCompile(`"(lethe_[a-z0-9_]+)"`)
)

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func rulesOf(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Spec struct {
			Groups []struct {
				Rules []rule `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.UnmarshalStrict([]byte(specOf(t)), &file.Spec); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, group := range file.Spec.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) < 10 {
		t.Fatalf("only %d rules", len(all))
	}
	return all
}

// specOf is the rule's spec, which is read strictly but for the groups' names.
func specOf(t *testing.T) string {
	t.Helper()
	_, spec, found := strings.Cut(read(t, observability+"prometheusrule.yaml"), "\nspec:\n")
	if !found {
		t.Fatal("the rules have no spec")
	}
	return regexp.MustCompile(`(?m)^    - name: .*\n      rules:`).ReplaceAllString(spec, "    - rules:")
}

// measured are the names of all metrics in the code, and how often each is there.
func measured(t *testing.T) map[string]int {
	t.Helper()
	names := map[string]int{}
	err := filepath.WalkDir(controllers, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, found := range metricLiteral.FindAllStringSubmatch(read(t, path), -1) {
			names[found[1]]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestEveryMetricThatIsShownIsMeasured(t *testing.T) {
	t.Parallel()
	names := measured(t)
	shown := map[string]bool{}
	for _, file := range []string{"prometheusrule.yaml", "dashboard.json", "README.md"} {
		for _, name := range metricName.FindAllString(read(t, observability+file), -1) {
			name = strings.TrimSuffix(name, "_bucket")
			shown[name] = true
			if names[name] != 1 {
				t.Errorf("%s names %s, which is %d times in the code", file, name, names[name])
			}
		}
	}
	for name := range names {
		if !shown[name] {
			t.Errorf("%s is measured and nowhere shown", name)
		}
	}
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	t.Parallel()
	readme := read(t, observability+"README.md")
	for _, r := range rulesOf(t) {
		t.Run(r.Alert, func(t *testing.T) {
			t.Parallel()
			if r.Expr == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Error("expression, summary or description is missing")
			}
			if s := r.Labels["severity"]; s != "info" && s != "warning" && s != "critical" {
				t.Errorf("severity %q", s)
			}
			if want := "config/observability/README.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
				t.Errorf("the runbook is %q, want %q", r.Annotations["runbook"], want)
			}
			_, section, found := strings.Cut(readme, "\n## "+r.Alert+"\n")
			section, _, _ = strings.Cut(section, "\n## ")
			if !found || len(section) < 50 {
				t.Error("README.md does not say what to do")
			}
		})
	}
	for _, heading := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(readme, -1) {
		if !strings.Contains(specOf(t), "alert: "+heading[1]+"\n") {
			t.Errorf("README.md has a section for %s, which is no alert", heading[1])
		}
	}
}

// TestAlertsKnowTheirLabels: a label's value that nobody sets makes an alert that never
// fires, without a word.
func TestAlertsKnowTheirLabels(t *testing.T) {
	t.Parallel()
	known := map[string]bool{
		v1alpha1.ReasonOnHold: true, v1alpha1.ReasonRunsActive: true, v1alpha1.ReasonUploadsPossible: true, "lethe-metrics": true,
		string(v1alpha1.RunPending): true, string(v1alpha1.RunQueued): true, string(v1alpha1.RunStarting): true, string(v1alpha1.RunFailed): true,
		string(v1alpha1.BlamePlatform): true, v1alpha1.ReasonTenantReady: true, v1alpha1.ReasonPaymentRequired: true,
	}
	for _, kind := range kinds {
		known[string(kind)] = true
	}
	alerts := ""
	value := regexp.MustCompile(`\w+(?:=~|!~|!=|=)"([^"]*)"`)
	for _, r := range rulesOf(t) {
		alerts += r.Expr + "\n"
		for _, found := range value.FindAllStringSubmatch(r.Expr, -1) {
			for _, one := range strings.Split(found[1], "|") {
				if !known[one] {
					t.Errorf("%s asks for %q, which nobody sets", r.Alert, one)
				}
			}
		}
	}
	for _, kind := range kinds {
		switch kind {
		case KindHeld: // As it should be.
		case KindOverdue, KindBreakerOpen: // They have metrics of their own.
		default:
			if !regexp.MustCompile(`["|]` + string(kind) + `["|]`).MatchString(alerts) {
				t.Errorf("no alert is about %s", kind)
			}
		}
	}
	readme := read(t, observability+"README.md")
	for _, reason := range []string{
		v1alpha1.ReasonStoreUnavailable, v1alpha1.ReasonUnknownStore, v1alpha1.ReasonObjectLock,
		v1alpha1.ReasonEraseRefused, v1alpha1.ReasonEraseIncomplete,
	} {
		if !strings.Contains(readme, "| `"+reason+"` |") {
			t.Errorf("README.md does not say what to do about %s", reason)
		}
	}
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	var board struct {
		Panels []struct {
			ID         int    `json:"id"`
			Type       string `json:"type"`
			Title      string `json:"title"`
			Datasource *struct {
				UID string `json:"uid"`
			} `json:"datasource"`
			GridPos struct{ X, Y, W, H int } `json:"gridPos"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(read(t, observability+"dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q is there twice or has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies on %q, or beside the board", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource == nil || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%q shows nothing, or of one Prometheus only", p.Title)
		}
		for _, target := range p.Targets {
			if !metricName.MatchString(target.Expr) {
				t.Errorf("%q asks for %q", p.Title, target.Expr)
			}
		}
	}
}
