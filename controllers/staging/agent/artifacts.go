package agent

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// openGently opens what a program that still runs may have put in a file's place: a
// pipe without a writer would else hold us for ever.
const openGently = os.O_RDONLY | syscall.O_NONBLOCK

// errContentChanged marks content that is not what was listed.
var errContentChanged = errors.New("content changed")

// artifact is one file to publish.
type artifact struct {
	path     string
	size     int64
	modified time.Time
	// sum is valid once it was uploaded.
	sum [sha256.Size]byte
}

// collection is what the trainer left, in manifest order.
type collection struct {
	root      *os.Root
	artifacts []artifact
	// skipped counts what is neither file nor folder. A link may point to the
	// dataset or out of the volume, and a device or pipe has no contents.
	skipped int64
}

func (c *collection) close() { _ = c.root.Close() } // Nothing is buffered in a folder's handle.

// maxArtifacts bounds the files and folders that are published: the list of them has to
// fit into the stager's memory, and one that runs out of it is only started again.
const maxArtifacts = 500_000

// collect lists the regular files of a folder, following no link, and leaves out one
// folder in it. It fails if there are more files and folders than most. All names are
// checked before the first file is uploaded.
func collect(folder, without string, most int) (*collection, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, artifactsFailure(err)
	}
	c := &collection{root: root}
	w := walker{root: root, left: most, file: c.add, other: func() { c.skipped++ }}
	err = w.entries(".", func(path string, info fs.FileInfo) error {
		if path == without && info.IsDir() {
			return nil
		}
		return w.visit(path, info)
	})
	if err != nil {
		c.close()
		return nil, artifactsFailure(err)
	}
	slices.SortFunc(c.artifacts, func(a, b artifact) int { return strings.Compare(a.path, b.path) })
	return c, nil
}

func (c *collection) add(path string, info fs.FileInfo) error {
	if err := objectkey.ValidatePath(path); err != nil {
		return fail(staging.ExitIOError, err, "The artifacts can not be published because of the name of one of them: "+
			"%s. Let the trainer choose another name.", err)
	}
	c.artifacts = append(c.artifacts, artifact{path: path, size: info.Size(), modified: info.ModTime()})
	return nil
}

// artifactsFailure explains an error of reading what the trainer left.
func artifactsFailure(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fail(staging.ExitIOError, err, "An artifact can not be read: permission denied. "+
			"Let the trainer write files and folders that its group can read.")
	}
	if errors.Is(err, errTooMany) {
		return fail(staging.ExitIOError, err, "The trainer left more than %d files and folders, or folders in more than "+
			"%d others. Let it pack them into archives.", maxArtifacts, maxDepth)
	}
	return volumeFailure("read the artifacts", err)
}

// open opens an artifact, which must be as it was when it was listed.
func (c *collection) open(a *artifact) (*os.File, error) {
	f, err := c.root.OpenFile(a.path, openGently, 0)
	if err != nil {
		return nil, artifactsFailure(err)
	}
	if err := unchanged(f, a); err != nil {
		_ = f.Close() // It was only read.
		return nil, err
	}
	return f, nil
}

func unchanged(f *os.File, a *artifact) error {
	info, err := f.Stat()
	if err != nil {
		return artifactsFailure(err)
	}
	if !info.Mode().IsRegular() || info.Size() != a.size || !info.ModTime().Equal(a.modified) {
		return errChanged()
	}
	return nil
}

func errChanged() error {
	return fail(staging.ExitIOError, errContentChanged, "An artifact changed while it was uploaded. "+
		"Nothing may write to the artifacts folder after the trainer's end.")
}
