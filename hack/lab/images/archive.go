// Package images puts static programs into container images and containerd.
//
// There is no registry in the lab: an image is a tar around one program, imported straight into
// containerd, and pods use it with imagePullPolicy Never. The images that are given away are
// made in the same way (cmd/images): neither needs Docker. The tar is an OCI layout, which
// registries' tools and containerd take, and has the list beside it by which docker load does.
package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// NonRoot is the user every image runs as: the one of distroless images.
const NonRoot = 65532

// Image is one program as a container image.
type Image struct {
	// Name is the full reference, as "lethe.dev/manager:dev".
	Name string
	// Path is the program's path in the image and its entry point.
	Path string
	// Args are what it is started with if nobody says otherwise.
	Args    []string
	Program []byte
	// Roots are the certificates, in PEM, that the program trusts when it is told no others.
	Roots []byte
	// Compressed images are smaller, for registries, and take a second longer to make.
	Compressed bool
}

// Media types of the OCI image specification 1.1.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
	typeGzip     = typeLayer + "+gzip"
)

// descriptor points to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// dockerEntry is how docker load finds its way.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type config struct {
	platform
	Created time.Time `json:"created"`
	Config  runConfig `json:"config"`
	RootFS  rootFS    `json:"rootfs"`
}

type runConfig struct {
	User       string
	Entrypoint []string
	Cmd        []string `json:",omitempty"`
	Env        []string
	WorkingDir string
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// Archive writes the image and gives the digest that it has at a registry. The same program
// gives the same bytes (compressed ones, with the same Go).
func Archive(w io.Writer, architecture string, image Image) (digest string, err error) {
	var layer bytes.Buffer
	if err := writeLayer(&layer, image); err != nil {
		return "", fmt.Errorf("write layer of %s: %w", image.Name, err)
	}
	target := platform{Architecture: architecture, OS: "linux"}
	files := []tarFile{{name: "oci-layout", mode: 0o644, content: []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
	var blobs blobs
	diff := digestOf(layer.Bytes())
	layerAt, err := blobs.addLayer(layer.Bytes(), image.Compressed)
	if err != nil {
		return "", fmt.Errorf("compress layer of %s: %w", image.Name, err)
	}
	configAt, err := blobs.encode(typeConfig, config{
		platform: target, Created: epoch,
		Config: runConfig{
			User:       fmt.Sprintf("%d:%d", NonRoot, NonRoot),
			Entrypoint: []string{image.Path}, Cmd: image.Args,
			Env:        []string{"PATH=/usr/bin:/bin", "HOME=/tmp"},
			WorkingDir: "/",
		},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{diff}},
	})
	if err != nil {
		return "", fmt.Errorf("encode configuration of %s: %w", image.Name, err)
	}
	top, err := blobs.encode(typeManifest, manifest{SchemaVersion: 2, MediaType: typeManifest, Config: configAt, Layers: []descriptor{layerAt}})
	if err != nil {
		return "", fmt.Errorf("encode manifest of %s: %w", image.Name, err)
	}
	top.Annotations = map[string]string{"io.containerd.image.name": image.Name, "org.opencontainers.image.ref.name": image.Name}
	top.Platform = &target
	for name, value := range map[string]any{
		"index.json":    index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{top}},
		"manifest.json": []dockerEntry{{Config: configAt.path(), RepoTags: []string{image.Name}, Layers: []string{layerAt.path()}}},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return "", fmt.Errorf("encode %s of %s: %w", name, image.Name, err)
		}
		files = append(files, tarFile{name: name, mode: 0o644, content: text})
	}
	slices.SortFunc(files, func(a, b tarFile) int { return strings.Compare(a.name, b.name) })
	return top.Digest, writeTar(w, append(files, blobs...))
}

// epoch is when everything was made: a time would make each image another one.
var epoch = time.Unix(0, 0).UTC()

// path is where a blob lies in the archive.
func (d descriptor) path() string { return "blobs/" + strings.Replace(d.Digest, ":", "/", 1) }

// blobs are files by their content.
type blobs []tarFile

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (b *blobs) addLayer(layer []byte, compressed bool) (descriptor, error) {
	if !compressed {
		return b.add(typeLayer, layer), nil
	}
	var small bytes.Buffer
	w := gzip.NewWriter(&small) // Its header has no time and no name.
	if _, err := w.Write(layer); err != nil {
		return descriptor{}, err
	}
	if err := w.Close(); err != nil {
		return descriptor{}, err
	}
	return b.add(typeGzip, small.Bytes()), nil
}

func (b *blobs) add(mediaType string, content []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digestOf(content), Size: len(content)}
	*b = append(*b, tarFile{name: d.path(), mode: 0o644, content: content})
	return d
}

func (b *blobs) encode(mediaType string, value any) (descriptor, error) {
	text, err := json.Marshal(value)
	return b.add(mediaType, text), err
}

// writeLayer holds what a static program expects to find: itself, a user with
// a name, a folder for temporary files, and whom to trust.
func writeLayer(w io.Writer, image Image) error {
	const passwd = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"
	files := []tarFile{
		{name: "etc/", mode: 0o755},
		{name: "etc/passwd", mode: 0o644, content: []byte(passwd)},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:65532:\n")},
	}
	if len(image.Roots) > 0 {
		files = append(files, tarFile{name: "etc/ssl/", mode: 0o755}, tarFile{name: "etc/ssl/certs/", mode: 0o755},
			tarFile{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: image.Roots})
	}
	return writeTar(w, append(files, tarFile{name: "tmp/", mode: 0o1777}, tarFile{name: image.Path[1:], mode: 0o755, content: image.Program}))
}

// tarFile is a file, or a folder when its name ends in a slash.
type tarFile struct {
	name    string
	mode    int64
	content []byte
}

func writeTar(w io.Writer, files []tarFile) error {
	out := tar.NewWriter(w)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg, ModTime: epoch}
		if f.name[len(f.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
		if _, err := out.Write(f.content); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	return out.Close()
}
