package release

import (
	"bytes"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repository is the folder of all sources.
func repository(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTheSameSourcesGiveTheSameImage builds one program from two folders, at two times.
func TestTheSameSourcesGiveTheSameImage(t *testing.T) {
	t.Parallel()
	repo, other := repository(t), filepath.Join(t.TempDir(), "somewhere", "else")
	for _, part := range []string{"api", "controllers", "cmd"} {
		if err := os.CopyFS(filepath.Join(other, part), os.DirFS(filepath.Join(repo, part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(repo, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(other, file), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stager := Programs()[1]
	build := func(b Builder) (digest string, archive []byte) {
		out := t.TempDir()
		digest, err := b.Image(t.Context(), stager, out)
		if err != nil {
			t.Fatal(err)
		}
		archive, err = os.ReadFile(filepath.Join(out, "stager.tar"))
		if err != nil {
			t.Fatal(err)
		}
		return digest, archive
	}
	first, archive := build(Builder{Repo: repo, Version: "v1", Registry: "lethe.dev"})
	second, again := build(Builder{Repo: other, Version: "v1", Registry: "lethe.dev"})
	if first != second || !bytes.Equal(archive, again) {
		t.Errorf("one commit gave %s and %s", first, second)
	}
}

// TestTheDockerfileMakesTheSame compares what is built, and with what, with the Dockerfile.
func TestTheDockerfileMakesTheSame(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(repository(t), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	dockerfile := string(text)
	for _, line := range []string{
		"ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=\"" + ownFlags + "\"\n",
		"RUN go build -ldflags=\"" + linkFlags + " -X main.version=${VERSION}\" -o /out/ ",
		"RUN GOFLAGS=\"" + foreignFlags + "\" GOBIN=/out go install -ldflags=\"" + linkFlags + "\" ",
		"USER 65532:65532\n",
	} {
		if !strings.Contains(dockerfile, line) {
			t.Errorf("the Dockerfile has no %q", line)
		}
	}
	targets := map[string]string{}
	for stage := range strings.SplitSeq(dockerfile, "\nFROM base AS ") {
		name, body, _ := strings.Cut(stage, "\n")
		targets[name] = strings.TrimSpace(strings.Split(body, "\n\n")[0])
	}
	for _, p := range Programs() {
		from := "build"
		if foreign(p) {
			from = "build-" + p.Name
		}
		want := "COPY --from=" + from + " /out/" + p.Name + " /" + p.Name + "\nENTRYPOINT [\"/" + p.Name + "\"]"
		if len(p.Args) > 0 {
			want += "\nCMD [\"" + strings.Join(p.Args, "\", \"") + "\"]"
		}
		if diff := cmp.Diff(want, targets[p.Name]); diff != "" {
			t.Errorf("the target %s (-ours +the Dockerfile's):\n%s", p.Name, diff)
		}
		if !strings.Contains(dockerfile, p.Package) {
			t.Errorf("the Dockerfile does not build %s", p.Package)
		}
	}
	if got := strings.Count(dockerfile, "\nFROM base AS "); got != len(Programs()) {
		t.Errorf("the Dockerfile has %d images, we have %d", got, len(Programs()))
	}
}

func TestEveryProgramOfOursHasAnImage(t *testing.T) {
	t.Parallel()
	found, err := fs.Glob(os.DirFS(repository(t)), "cmd/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for _, p := range Programs() {
		if !foreign(p) {
			own++
		}
	}
	if len(found) != own {
		t.Errorf("there are the programs %v, and %d images", found, own)
	}
}

func TestImagesTrustTheWorldsAuthorities(t *testing.T) {
	t.Parallel()
	text := roots()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) || bytes.Count(text, []byte("BEGIN CERTIFICATE")) < 50 {
		t.Error("there are too few, or they can't be read")
	}
	if !bytes.Equal(text, roots()) {
		t.Error("their order changes")
	}
}

func TestTheComponentNamesEachImageByItsDigest(t *testing.T) {
	t.Parallel()
	digests := map[string]string{}
	for _, p := range Programs() {
		digests[p.Name] = "sha256:" + p.Name
	}
	builder := Builder{Registry: "registry.example.com/lethe", Version: "v1"}
	references := string(builder.References(digests))
	if line := "portal registry.example.com/lethe/portal:v1 registry.example.com/lethe/portal@sha256:portal\n"; !strings.Contains(references, line) {
		t.Errorf("it has no line %q:\n%s", line, references)
	}
	got := string(builder.Component(digests))
	for _, line := range []string{
		`  - {name: lethe.dev/manager, newName: registry.example.com/lethe/manager, digest: "sha256:manager"}`,
		`  - {name: lethe.dev/portal, newName: registry.example.com/lethe/portal, digest: "sha256:portal"}`,
		`  - {name: lethe.dev/minio, newName: registry.example.com/lethe/minio, digest: "sha256:minio"}`,
		`        value: --stager-image=registry.example.com/lethe/stager@sha256:stager`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("it has no line %q:\n%s", line, got)
		}
	}
}
