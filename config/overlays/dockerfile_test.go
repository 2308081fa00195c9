package overlays_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lethe-dev/lethe/"

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTheDockerfileHasAllSources: what the programs import is copied into the build, and the
// list of what is left out lets it through.
func TestTheDockerfileHasAllSources(t *testing.T) {
	t.Parallel()
	dockerfile, ignored := read(t, "Dockerfile"), strings.Fields(read(t, ".dockerignore"))
	programs := regexp.MustCompile(`\./cmd/[a-z-]+`).FindAllString(dockerfile, -1)
	folders, err := os.ReadDir("../../cmd")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if !slices.Contains(programs, "./cmd/"+folder.Name()) || !strings.Contains(dockerfile, "AS "+folder.Name()+"\n") {
			t.Errorf("the Dockerfile does not build cmd/%s, or has no such target", folder.Name())
		}
	}
	list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps"}, programs...)...)
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for pkg := range strings.Lines(string(out)) {
		path, ours := strings.CutPrefix(strings.TrimSpace(pkg), module)
		if !ours {
			continue
		}
		folder, _, _ := strings.Cut(path, "/")
		if !strings.Contains(dockerfile, "COPY "+folder+" "+folder+"\n") || !slices.Contains(ignored, "!"+folder) {
			t.Errorf("%s is imported; its folder is not copied, or left out", path)
		}
	}
}

// TestTheStoreIsTheOneThatIsTested compares the embedded MinIO with that of the lab.
func TestTheStoreIsTheOneThatIsTested(t *testing.T) {
	t.Parallel()
	of := func(file, pattern string) string {
		found := regexp.MustCompile(pattern).FindStringSubmatch(read(t, file))
		if found == nil {
			t.Fatalf("%s names no version of MinIO", file)
		}
		return found[1]
	}
	image := of("Dockerfile", `github\.com/minio/minio@(v\S+)`)
	tested := of("hack/lab/toolchain/catalogue.go", `minioVersion\s+= "(v[^"]+)"`)
	if image != tested {
		t.Errorf("the image has MinIO %s, the tests %s", image, tested)
	}
}
