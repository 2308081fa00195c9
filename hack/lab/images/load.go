package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/lethe-dev/lethe/hack/lab/files"
	"github.com/lethe-dev/lethe/hack/lab/site"
)

// Names of the images of the lab's own parts.
const (
	Pause   = "lethe.dev/pause:lab"
	CoreDNS = "lethe.dev/coredns:lab"
)

// Load makes containerd hold the image of the static program at path. changed
// is false when it held the very same already. The digest is of the program.
func Load(ctx context.Context, s site.Site, name, path string) (digest string, changed bool, err error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return "", false, fmt.Errorf("read program of %s: %w", name, err)
	}
	sum := sha256.Sum256(program)
	digest = hex.EncodeToString(sum[:])
	stamp := s.Path("images", strings.NewReplacer("/", "_", ":", "_").Replace(name))
	have, err := os.ReadFile(stamp)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", false, fmt.Errorf("read image stamp: %w", err)
	}
	if string(have) == digest {
		return digest, false, nil
	}
	if err := importImage(ctx, s, Image{Name: name, Path: "/" + filepath.Base(path), Program: program}); err != nil {
		return "", false, err
	}
	if err := files.WriteSecret(stamp, []byte(digest)); err != nil {
		return "", false, err
	}
	return digest, true, nil
}

func importImage(ctx context.Context, s site.Site, image Image) error {
	var archive bytes.Buffer
	if _, err := Archive(&archive, runtime.GOARCH, image); err != nil {
		return err
	}
	var output bytes.Buffer
	ctr := exec.CommandContext(ctx, s.Bin("ctr"), //nolint:gosec // G204: our own program.
		"--address", s.ContainerdSocket(), "--namespace", "k8s.io", "images", "import", "-")
	ctr.Stdin, ctr.Stdout, ctr.Stderr = &archive, &output, &output
	if err := ctr.Run(); err != nil {
		return fmt.Errorf("import image %s: %w: %s", image.Name, err, strings.TrimSpace(output.String()))
	}
	return nil
}
