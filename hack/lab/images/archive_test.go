package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var probe = Image{Name: "lethe.dev/probe:dev", Path: "/probe", Program: []byte("a static program")}

func archive(t *testing.T, image Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Archive(&out, "amd64", image); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// untar returns content by name, and permissions by name.
func untar(t *testing.T, data []byte) (contents map[string][]byte, modes map[string]int64) {
	t.Helper()
	contents, modes = map[string][]byte{}, map[string]int64{}
	in := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return contents, modes
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		contents[header.Name], modes[header.Name] = content, header.Mode
	}
}

func TestArchiveHoldsTogether(t *testing.T) {
	t.Parallel()
	files, _ := untar(t, archive(t, probe))

	var list []manifest
	if err := json.Unmarshal(files["manifest.json"], &list); err != nil {
		t.Fatal(err)
	}
	want := []manifest{{Config: "config.json", RepoTags: []string{"lethe.dev/probe:dev"}, Layers: []string{"layer.tar"}}}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	var got config
	if err := json.Unmarshal(files["config.json"], &got); err != nil {
		t.Fatal(err)
	}
	if id := fmt.Sprintf("sha256:%x", sha256.Sum256(files["layer.tar"])); len(got.RootFS.DiffIDs) != 1 || got.RootFS.DiffIDs[0] != id {
		t.Errorf("layer is %s, the configuration says %v", id, got.RootFS.DiffIDs)
	}
	if got.Config.User != "65532:65532" {
		t.Errorf("runs as %q, not as an ordinary user by number", got.Config.User)
	}
	if diff := cmp.Diff([]string{"/probe"}, got.Config.Entrypoint); diff != "" {
		t.Errorf("entry point (-want +got):\n%s", diff)
	}
}

func TestLayerHoldsTheProgramAndAPlaceForTemporaryFiles(t *testing.T) {
	t.Parallel()
	files, _ := untar(t, archive(t, probe))
	contents, modes := untar(t, files["layer.tar"])
	if diff := cmp.Diff(probe.Program, contents["probe"]); diff != "" {
		t.Errorf("program (-want +got):\n%s", diff)
	}
	for name, mode := range map[string]int64{"probe": 0o755, "tmp/": 0o1777, "etc/passwd": 0o644} {
		if modes[name] != mode {
			t.Errorf("%s has mode %o, want %o", name, modes[name], mode)
		}
	}
}

func TestSameProgramGivesTheSameImage(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(archive(t, probe), archive(t, probe)) {
		t.Error("two archives of one program differ")
	}
	other := probe
	other.Program = []byte("another program")
	if bytes.Equal(archive(t, probe), archive(t, other)) {
		t.Error("archives of two programs are equal")
	}
}
