// Package release builds the programs of Lethe and puts them into the images that clusters run,
// without Docker and without a registry.
//
// It makes what the Dockerfile makes, for those who have no Docker, and a test holds the two
// together. The same sources give the same digest on every machine with the same Go: no path,
// no time and no state of the repository is in a program, and the base image is nothing but a
// user, a folder for temporary files and Mozilla's certificates, which come with a Go module.
package release

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/lethe-dev/lethe/hack/lab/images"
	"github.com/lethe-dev/lethe/hack/lab/toolchain"
)

// Program is one that has an image.
type Program struct {
	// Name is the program's, the image's and the target's in the Dockerfile.
	Name string
	// Package is what is built: a folder of the repository, or path@version of another module.
	Package string
	// Args are what the image starts it with if nobody says otherwise.
	Args []string
}

// Programs are all of them.
func Programs() []Program {
	return []Program{
		{Name: "manager", Package: "./cmd/manager"},
		{Name: "stager", Package: "./cmd/stager"},
		{Name: "portal", Package: "./cmd/portal", Args: []string{"serve"}},
		{Name: "kubectl-lethe", Package: "./cmd/kubectl-lethe"},
		{Name: "minio", Package: toolchain.MinIOPackage},
	}
}

// What the programs are built with, as in the Dockerfile.
const (
	ownFlags     = "-trimpath -buildvcs=false -mod=readonly"
	foreignFlags = "-trimpath -buildvcs=false"
	linkFlags    = "-s -w -buildid="
)

// Builder makes images for this machine's architecture.
type Builder struct {
	// Repo is the folder of the sources.
	Repo string
	// Version is what the programs say of themselves; it is part of what they are.
	Version string
	// Registry is the beginning of the images' names, as registry.example.com/lethe.
	Registry string
}

// Image builds a program and writes its image to OUT/NAME.tar, which is an OCI layout. It gives the
// image's digest.
func (b Builder) Image(ctx context.Context, p Program, out string) (digest string, err error) {
	program, err := b.compile(ctx, p)
	if err != nil {
		return "", err
	}
	var archive bytes.Buffer
	digest, err = images.Archive(&archive, runtime.GOARCH, images.Image{
		Name: b.tagged(p), Path: "/" + p.Name, Args: p.Args, Program: program, Roots: roots(), Compressed: true,
	})
	if err != nil {
		return "", err
	}
	return digest, Save(filepath.Join(out, p.Name+".tar"), archive.Bytes())
}

// tagged is the name of a program's image.
func (b Builder) tagged(p Program) string {
	tag := b.Version
	if tag == "" {
		tag = "latest"
	}
	return b.Registry + "/" + p.Name + ":" + tag
}

// References are a line for each image: the program, and its image by tag and by digest. What
// imports an image without a registry gives it the second name by that.
func (b Builder) References(digests map[string]string) []byte {
	var text strings.Builder
	for _, p := range Programs() {
		fmt.Fprintf(&text, "%s %s %s/%s@%s\n", p.Name, b.tagged(p), b.Registry, p.Name, digests[p.Name])
	}
	return []byte(text.String())
}

// Save writes a file that everybody may read, and makes its folder.
func Save(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // G301: nothing in it is secret.
		return fmt.Errorf("make folder of %s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // G306: nor here.
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// compile gives a static program.
func (b Builder) compile(ctx context.Context, p Program) ([]byte, error) {
	work, err := os.MkdirTemp("", "lethe-release-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", p.Name, err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // A temporary folder; the system cleans up after us.
	var said bytes.Buffer
	build := exec.CommandContext(ctx, "go", b.command(p, work)...) //nolint:gosec // G204: of our own list.
	build.Dir, build.Stdout, build.Stderr = b.Repo, &said, &said
	// Nothing of what is set on this machine may change what comes out.
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOAMD64=v1", "GOARM64=v8.0",
		"GOEXPERIMENT=", "GOFIPS140=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS="+flags(p), "GOBIN="+work)
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build %s: %w: %s", p.Name, err, strings.TrimSpace(said.String()))
	}
	program, err := os.ReadFile(filepath.Join(work, p.Name))
	if err != nil {
		return nil, fmt.Errorf("read what was built: %w", err)
	}
	return program, nil
}

func (b Builder) command(p Program, work string) []string {
	if foreign(p) {
		return []string{"install", "-ldflags=" + linkFlags, p.Package}
	}
	return []string{"build", "-ldflags=" + linkFlags + " -X main.version=" + b.Version, "-o", work + "/", p.Package}
}

func foreign(p Program) bool { return strings.Contains(p.Package, "@") }

func flags(p Program) string {
	if foreign(p) {
		return foreignFlags
	}
	return ownFlags
}

// roots are the authorities that Mozilla trusts, in PEM. Those that it trusts only under
// conditions are left out, because a file of certificates has no place for conditions.
func roots() []byte {
	var blocks [][]byte
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			blocks = append(blocks, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	slices.SortFunc(blocks, bytes.Compare)
	return bytes.Join(blocks, nil)
}

// Component is a component of kustomize that puts the images into an overlay, by their digests.
func (b Builder) Component(digests map[string]string) []byte {
	var text strings.Builder
	text.WriteString("# Made by `make images`; `make deploy IMAGES=…` puts it on top of an overlay.\n" +
		"apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n")
	for _, p := range Programs() {
		// Nothing in an overlay runs the other two: the stager is a flag of the operator.
		if digest := digests[p.Name]; digest != "" && p.Name != "stager" && p.Name != "kubectl-lethe" {
			fmt.Fprintf(&text, "  - {name: lethe.dev/%s, newName: %s/%s, digest: %q}\n", p.Name, b.Registry, p.Name, digest)
		}
	}
	fmt.Fprintf(&text, `patches:
  - target: {kind: Deployment, name: lethe-manager}
    patch: |-
      # Of a flag that is given twice the last one counts.
      - op: add
        path: /spec/template/spec/containers/0/args/-
        value: --stager-image=%s/stager@%s
`, b.Registry, digests["stager"])
	return []byte(text.String())
}
