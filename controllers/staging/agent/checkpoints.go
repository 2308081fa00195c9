package agent

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Bounds of what is looked at in a folder that the trainer writes to as it likes.
const (
	maxCheckpoints     = 10_000
	maxCheckpointFiles = 100_000
	maxDepth           = 128
	maxStep            = 999_999_999_999_999
	// folderPiece is how many entries of a folder are read at once.
	folderPiece = 256
)

// reserved starts the names in the folder of checkpoints that are ours.
const reserved = ".lethe-"

var errTooMany = errors.New("too many files or folders")

// fingerprint tells two states of files apart by their names, sizes and times.
type fingerprint [sha256.Size]byte

func (p *fingerprint) add(name string, info fs.FileInfo) {
	h := sha256.New()
	_, _ = io.WriteString(h, name) // A hash never fails.
	var numbers [17]byte
	binary.BigEndian.PutUint64(numbers[1:], uint64(info.Size()))               // #nosec G115 -- only compared
	binary.BigEndian.PutUint64(numbers[9:], uint64(info.ModTime().UnixNano())) // #nosec G115 -- only compared
	_, _ = h.Write(numbers[:])
	for i, b := range h.Sum(nil) {
		p[i] ^= b // The order in which a folder is read is not fixed.
	}
}

// candidate is one of the trainer's checkpoints: a file or a folder.
type candidate struct {
	name string
	// step is the last number in the name without its extension; 0 if there is none.
	step  int64
	files int64
	// modified is when a file of it was changed last.
	modified time.Time
	print    fingerprint
}

// findings are what lies in the folder of checkpoints.
type findings struct {
	// candidates, the newest first.
	candidates []candidate
	// unusable counts those that can not be read, or have more files than we look at.
	unusable int
	// all is of everything in the folder that is not ours, also of what is being written.
	all fingerprint
}

// openCheckpoints opens the trainer's folder for checkpoints in the artifacts' one. The
// trainer can not make it lead anywhere else.
func openCheckpoints(artifactsDir string) (*os.Root, error) {
	artifacts, err := os.OpenRoot(artifactsDir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = artifacts.Close() }() // Nothing is buffered in a folder's handle.
	return artifacts.OpenRoot(staging.CheckpointFolder)
}

// lookAround surveys the folder of checkpoints; there is nothing in one that is missing.
func lookAround(artifactsDir string) (findings, error) {
	var found findings
	root, err := openCheckpoints(artifactsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return found, volumeFailure("look for checkpoints", err)
	}
	defer func() { _ = root.Close() }()
	if err := found.take(root); err != nil {
		return found, volumeFailure("look for checkpoints", err)
	}
	slices.SortFunc(found.candidates, newestFirst)
	return found, nil
}

func newestFirst(a, b candidate) int {
	return cmp.Or(b.modified.Compare(a.modified), cmp.Compare(b.step, a.step), cmp.Compare(b.name, a.name))
}

func (s *findings) take(root *os.Root) error {
	w := walker{root: root, left: maxCheckpoints}
	err := w.entries(".", func(name string, info fs.FileInfo) error {
		if strings.HasPrefix(name, reserved) {
			return nil
		}
		c, err := examine(root, name, info)
		for i, b := range c.print {
			s.all[i] ^= b
		}
		switch {
		case err != nil:
			s.unusable++
		case c.files > 0 && !unfinished(name):
			s.candidates = append(s.candidates, c)
		}
		return nil
	})
	if errors.Is(err, errTooMany) {
		return nil // Those that were seen have to do.
	}
	return err
}

// examine sums up one entry of the folder.
func examine(root *os.Root, name string, info fs.FileInfo) (candidate, error) {
	c := candidate{name: name, step: stepOf(name)}
	w := walker{root: root, left: maxCheckpointFiles, file: func(path string, info fs.FileInfo) error {
		c.files++
		c.print.add(path, info)
		if info.ModTime().After(c.modified) {
			c.modified = info.ModTime()
		}
		return nil
	}}
	err := w.visit(name, info)
	return c, err
}

// unfinished says whether a name is one that the contract keeps for what is being
// written.
func unfinished(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "tmp-") ||
		strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".partial")
}

var (
	numbers   = regexp.MustCompile(`[0-9]+`)
	extension = regexp.MustCompile(`\.[A-Za-z][A-Za-z0-9]*$`)
)

// stepOf gives the last number in a name without its extension, so that the 5 of ".h5"
// is none; 0 if there is none or it is out of all proportion.
func stepOf(name string) int64 {
	found := numbers.FindAllString(extension.ReplaceAllString(name, ""), -1)
	if len(found) == 0 {
		return 0
	}
	step, err := strconv.ParseInt(found[len(found)-1], 10, 64)
	if err != nil || step > maxStep {
		return 0
	}
	return step
}

// walker visits what lies below a folder while a program writes to it: it reads folders
// in pieces, follows no link, and gives up after so many entries.
type walker struct {
	root *os.Root
	left int
	file func(path string, info fs.FileInfo) error
	// other, unless it is nil, is told of what is neither file nor folder.
	other func()
	// depth of the folder that is read.
	depth int
}

// visit passes a file on, or those below a folder; anything else is left out.
func (w *walker) visit(path string, info fs.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return w.file(path, info)
	case !info.IsDir():
		if w.other != nil {
			w.other()
		}
		return nil
	case w.depth == maxDepth:
		return errTooMany
	}
	w.depth++
	defer func() { w.depth-- }()
	return w.entries(path, w.visit)
}

// entries passes on what lies directly in a folder. What vanishes meanwhile was not there.
func (w *walker) entries(folder string, each func(path string, info fs.FileInfo) error) error {
	f, err := w.root.OpenFile(folder, openGently, 0)
	if err != nil {
		return vanished(err)
	}
	defer func() { _ = f.Close() }() // It was only read.
	for {
		piece, err := f.ReadDir(folderPiece)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return vanished(err)
		}
		for _, entry := range piece {
			if err := w.entry(path.Join(folder, entry.Name()), each); err != nil {
				return err
			}
		}
	}
}

func (w *walker) entry(name string, each func(path string, info fs.FileInfo) error) error {
	if w.left--; w.left < 0 {
		return errTooMany
	}
	info, err := w.root.Lstat(name)
	if err == nil {
		err = each(name, info)
	}
	return vanished(err)
}

func vanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// collectCheckpoint lists the files of one checkpoint under their names in the folder of
// checkpoints.
func collectCheckpoint(artifactsDir, name string) (*collection, error) {
	root, err := openCheckpoints(artifactsDir)
	if err != nil {
		return nil, artifactsFailure(err)
	}
	c := &collection{root: root}
	w := walker{root: root, left: maxCheckpointFiles, file: func(path string, info fs.FileInfo) error {
		if err := objectkey.ValidatePath(path); err != nil {
			return fail(staging.ExitIOError, err, "A checkpoint can not be stored because of the name of a file in it: "+
				"%s. Let the trainer choose another name.", err)
		}
		c.artifacts = append(c.artifacts, artifact{path: path, size: info.Size(), modified: info.ModTime()})
		return nil
	}}
	info, err := root.Lstat(name)
	if err == nil {
		err = w.visit(name, info)
	}
	if err == nil && len(c.artifacts) == 0 || errors.Is(err, fs.ErrNotExist) {
		err = errContentChanged
	}
	if err != nil {
		c.close()
		return nil, err
	}
	slices.SortFunc(c.artifacts, func(a, b artifact) int { return strings.Compare(a.path, b.path) })
	return c, nil
}
