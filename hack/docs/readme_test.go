// Package docs_test holds the README to what the tree really looks like.
package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// mapRow is a row of the README's map: | `folder` | text |.
var mapRow = regexp.MustCompile("(?m)^\\| `([a-z0-9/-]+)` \\| ")

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Map\n")
	if !ok {
		t.Fatal(`README.md has no section "## Map"`)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

func TestFoldersOfTheMapExist(t *testing.T) {
	t.Parallel()
	rows := mapRow.FindAllStringSubmatch(readme(t), -1)
	if len(rows) == 0 {
		t.Fatal("the map has no rows")
	}
	for _, row := range rows {
		if info, err := os.Stat(filepath.Join(root, row[1])); err != nil || !info.IsDir() {
			t.Errorf("the map names %s, which is not a folder", row[1])
		}
	}
}

func TestFilesNamedBesideTheMapExist(t *testing.T) {
	t.Parallel()
	files := regexp.MustCompile("`([a-z0-9/-]+\\.go)`").FindAllStringSubmatch(readme(t), -1)
	if len(files) == 0 {
		t.Fatal("the section names no file")
	}
	for _, f := range files {
		if !strings.Contains(f[1], "/") {
			continue // a name that several packages have
		}
		if _, err := os.Stat(filepath.Join(root, f[1])); err != nil {
			t.Errorf("the README sends people to %s, which does not exist", f[1])
		}
	}
}

// TestPackagesAreOnTheMap: every package lies in a folder of the map. Details
// that Go itself hides (internal), generated code and test doubles have no row.
func TestPackagesAreOnTheMap(t *testing.T) {
	t.Parallel()
	var folders []string
	for _, row := range mapRow.FindAllStringSubmatch(readme(t), -1) {
		folders = append(folders, row[1])
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}}", "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for pkg := range strings.Lines(string(out)) {
		folder := strings.TrimPrefix(strings.TrimSpace(pkg), "github.com/lethe-dev/lethe/")
		if strings.Contains(folder+"/", "/internal/") || strings.Contains(folder+"/", "test/") ||
			strings.Contains(folder, "applyconfiguration") || folder == "hack/docs" || strings.HasPrefix(folder, "hack/trainer/") {
			continue
		}
		if !slices.Contains(folders, folder) {
			t.Errorf("package %s is not on the README's map", folder)
		}
	}
}
