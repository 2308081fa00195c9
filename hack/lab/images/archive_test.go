package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var probe = Image{
	Name: "lethe.dev/probe:dev", Path: "/probe", Args: []string{"serve"},
	Program: []byte("a static program"), Roots: []byte("certificates"),
}

func archive(t *testing.T, image Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := Archive(&out, "amd64", image); err != nil {
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

// blob gives what a descriptor points to, after its digest and its size were checked.
func blob(t *testing.T, files map[string][]byte, d descriptor) []byte {
	t.Helper()
	content := files[d.path()]
	if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(content)); sum != d.Digest || len(content) != d.Size {
		t.Fatalf("%s is %d bytes with %s", d.Digest, len(content), sum)
	}
	return content
}

func decode[T any](t *testing.T, text []byte) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestArchiveHoldsTogether(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	digest, err := Archive(&out, "amd64", probe)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := untar(t, out.Bytes())
	if len(files) != 6 || string(files["oci-layout"]) != `{"imageLayoutVersion":"1.0.0"}` {
		t.Fatalf("it has %d files, and the layout %s", len(files), files["oci-layout"])
	}
	top := decode[index](t, files["index.json"]).Manifests[0]
	if top.Digest != digest || top.Annotations["io.containerd.image.name"] != probe.Name {
		t.Errorf("the index names %+v, the digest was %s", top, digest)
	}
	list := decode[manifest](t, blob(t, files, top))
	got := decode[config](t, blob(t, files, list.Config))
	blob(t, files, list.Layers[0])
	want := config{
		platform: platform{Architecture: "amd64", OS: "linux"}, Created: epoch,
		Config: runConfig{
			User: "65532:65532", Entrypoint: []string{"/probe"}, Cmd: []string{"serve"},
			Env: []string{"PATH=/usr/bin:/bin", "HOME=/tmp"}, WorkingDir: "/",
		},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{list.Layers[0].Digest}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(config{})); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	docker := []dockerEntry{{Config: list.Config.path(), RepoTags: []string{"lethe.dev/probe:dev"}, Layers: []string{list.Layers[0].path()}}}
	if diff := cmp.Diff(docker, decode[[]dockerEntry](t, files["manifest.json"])); diff != "" {
		t.Errorf("what docker load reads (-want +got):\n%s", diff)
	}
}

func TestLayerHoldsTheProgramAndAPlaceForTemporaryFiles(t *testing.T) {
	t.Parallel()
	files, _ := untar(t, archive(t, probe))
	layer := decode[manifest](t, blob(t, files, decode[index](t, files["index.json"]).Manifests[0])).Layers[0]
	contents, modes := untar(t, blob(t, files, layer))
	if diff := cmp.Diff(probe.Program, contents["probe"]); diff != "" {
		t.Errorf("program (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(probe.Roots, contents["etc/ssl/certs/ca-certificates.crt"]); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
	for name, mode := range map[string]int64{"probe": 0o755, "tmp/": 0o1777, "etc/passwd": 0o644} {
		if modes[name] != mode {
			t.Errorf("%s has mode %o, want %o", name, modes[name], mode)
		}
	}
}

// TestACompressedLayerIsTheSameLayer: what is unpacked has the digest that the configuration says.
func TestACompressedLayerIsTheSameLayer(t *testing.T) {
	t.Parallel()
	small := probe
	small.Compressed = true
	plain, _ := untar(t, archive(t, probe))
	files, _ := untar(t, archive(t, small))
	of := func(files map[string][]byte) (manifest, config) {
		m := decode[manifest](t, blob(t, files, decode[index](t, files["index.json"]).Manifests[0]))
		return m, decode[config](t, blob(t, files, m.Config))
	}
	m, c := of(files)
	_, want := of(plain)
	if diff := cmp.Diff(want.RootFS, c.RootFS); diff != "" || m.Layers[0].MediaType != typeGzip {
		t.Errorf("layers of type %s (-plain +compressed):\n%s", m.Layers[0].MediaType, diff)
	}
	in, err := gzip.NewReader(bytes.NewReader(blob(t, files, m.Layers[0])))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := digestOf(layer); got != c.RootFS.DiffIDs[0] {
		t.Errorf("it unpacks to %s, not to %s", got, c.RootFS.DiffIDs[0])
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
