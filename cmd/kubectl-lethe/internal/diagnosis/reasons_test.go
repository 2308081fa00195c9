package diagnosis

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// declared gives the reasons of runs by the name of their constant, read from where
// they are written down.
func declared(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../../../api/v1alpha1/conditions.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || !strings.Contains(group.Doc.Text(), "run") || !strings.HasPrefix(group.Doc.Text(), "Reasons") {
			continue
		}
		for _, spec := range group.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			literal, ok := value.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s has no literal value", value.Names[0])
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			found[value.Names[0].Name] = text
		}
	}
	return found
}

func TestEveryReasonOfARunIsExplained(t *testing.T) {
	t.Parallel()
	all := declared(t)
	if len(all) < 40 || all["ReasonStalled"] != v1alpha1.ReasonStalled {
		t.Fatalf("found %d reasons, %v", len(all), all)
	}
	for name, value := range all {
		known := reasons[value]
		if known.means == "" || len(known.do) == 0 {
			t.Errorf("%s is not explained", name)
		}
	}
	filled := run(v1alpha1.RunFailed, "", "")
	for value, known := range reasons {
		for _, text := range append([]string{known.means}, known.do...) {
			text = fill(filled, text)
			for _, left := range []string{"RUN", " NS", "DATASET"} {
				if strings.Contains(text, left) {
					t.Errorf("%s: %q is not filled in: %s", value, left, text)
				}
			}
		}
	}
}

func TestEveryBlameIsExplained(t *testing.T) {
	t.Parallel()
	for _, blame := range []v1alpha1.Blame{v1alpha1.BlameUser, v1alpha1.BlamePlatform, v1alpha1.BlameData, v1alpha1.BlameBudget} {
		if blamed[blame] == "" {
			t.Errorf("%s is not explained", blame)
		}
	}
}
