// Package images puts static programs into container images and containerd.
//
// There is no registry in the lab: an image is a tar in the docker-archive
// format around one program, imported straight into containerd, and pods use
// it with imagePullPolicy Never.
package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// NonRoot is the user every image runs as: the one of distroless images.
const NonRoot = 65532

// Image is one program as a container image.
type Image struct {
	// Name is the full reference, as "lethe.dev/manager:dev".
	Name string
	// Path is the program's path in the image and its entry point.
	Path    string
	Program []byte
}

type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type config struct {
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       runConfig `json:"config"`
	RootFS       rootFS    `json:"rootfs"`
}

type runConfig struct {
	User       string
	Entrypoint []string
	Env        []string
	WorkingDir string
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// Archive writes the image. The same program gives the same bytes.
func Archive(w io.Writer, architecture string, image Image) error {
	var layer bytes.Buffer
	if err := writeLayer(&layer, image); err != nil {
		return fmt.Errorf("write layer of %s: %w", image.Name, err)
	}
	sum := sha256.Sum256(layer.Bytes())
	configuration, err := json.Marshal(config{
		Architecture: architecture, OS: "linux",
		Config: runConfig{
			User:       fmt.Sprintf("%d:%d", NonRoot, NonRoot),
			Entrypoint: []string{image.Path},
			Env:        []string{"PATH=/usr/bin:/bin", "HOME=/tmp"},
			WorkingDir: "/",
		},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		return fmt.Errorf("encode configuration of %s: %w", image.Name, err)
	}
	list, err := json.Marshal([]manifest{{Config: "config.json", RepoTags: []string{image.Name}, Layers: []string{"layer.tar"}}})
	if err != nil {
		return fmt.Errorf("encode manifest of %s: %w", image.Name, err)
	}
	return writeTar(w, []tarFile{
		{name: "layer.tar", mode: 0o644, content: layer.Bytes()},
		{name: "config.json", mode: 0o644, content: configuration},
		{name: "manifest.json", mode: 0o644, content: list},
	})
}

// writeLayer holds what a static program expects to find: itself, a user with
// a name, and a folder for temporary files.
func writeLayer(w io.Writer, image Image) error {
	const passwd = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"
	return writeTar(w, []tarFile{
		{name: "etc/", mode: 0o755},
		{name: "etc/passwd", mode: 0o644, content: []byte(passwd)},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{name: "tmp/", mode: 0o1777},
		{name: image.Path[1:], mode: 0o755, content: image.Program},
	})
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
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)}
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
