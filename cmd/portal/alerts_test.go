package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAlertsAreAboutWhatIsMeasured: an alert about a metric that nobody sets never fires,
// without a word. Each is also in the README, which says what to do.
func TestAlertsAreAboutWhatIsMeasured(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile("../../config/observability/portal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../portal/README.md")
	if err != nil {
		t.Fatal(err)
	}
	code := codeOf(t, ".") + codeOf(t, "../../portal")
	names := regexp.MustCompile(`lethe_portal_[a-z_]+`).FindAllString(string(rules), -1)
	if len(names) == 0 {
		t.Fatal("no alert is about the portal")
	}
	for _, name := range names {
		if !strings.Contains(code, `"`+name+`"`) {
			t.Errorf("an alert asks for %s, which nobody measures", name)
		}
		if !strings.Contains(string(readme), "`"+name) {
			t.Errorf("portal/README.md does not say what to do about %s", name)
		}
	}
}

// codeOf is the text of the programs below a folder, without tests.
func codeOf(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
