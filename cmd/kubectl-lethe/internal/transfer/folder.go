package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// ErrFolder is wrapped by errors that say why a folder can not be uploaded, or
// not be downloaded to.
var ErrFolder = errors.New("this folder can not be used")

// maxProblems bounds how many files an error names.
const maxProblems = 5

// Folder is what is to be uploaded.
type Folder struct {
	// Dir is its path.
	Dir string
	// Files and Bytes sum it up.
	Files, Bytes int64

	stats map[string]fileStat // by path
}

type fileStat struct {
	size     int64
	modified time.Time
}

// Survey lists a folder and refuses what can not be uploaded as it is: anything
// but regular files and folders, names that the store can not hold, nothing at
// all, and more files than a manifest can list. The error wraps ErrFolder and names
// the first few files.
func Survey(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	defer func() { _ = root.Close() }() // Nothing is buffered in a folder's handle.
	s := surveyor{folder: &Folder{Dir: dir, stats: map[string]fileStat{}}, limit: maxManifest}
	if err := fs.WalkDir(root.FS(), ".", s.visit); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if err := s.verdict(); err != nil {
		return nil, err
	}
	return s.folder, nil
}

type surveyor struct {
	folder   *Folder
	problems []string
	more     int64
	// limit of the manifest in bytes.
	limit int64
}

func (s *surveyor) visit(path string, entry fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case entry.IsDir():
		return nil
	case entry.Type()&fs.ModeSymlink != 0:
		s.refuse(path, "is a symbolic link: put a copy of what it points to in its place")
		return nil
	case !entry.Type().IsRegular():
		s.refuse(path, "is not a regular file")
		return nil
	}
	if err := objectkey.ValidatePath(path); err != nil {
		s.refuse(path, err.Error())
		return nil
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	s.folder.stats[path] = fileStat{size: info.Size(), modified: info.ModTime()}
	s.folder.Files++
	s.folder.Bytes += info.Size()
	return nil
}

func (s *surveyor) refuse(path, why string) {
	if len(s.problems) == maxProblems {
		s.more++
		return
	}
	s.problems = append(s.problems, fmt.Sprintf("%q %s", path, why))
}

func (s *surveyor) verdict() error {
	dir := s.folder.Dir
	if len(s.problems) > 0 {
		text := strings.Join(s.problems, "; ")
		if s.more > 0 {
			text += "; and " + words.Count(s.more, "file") + " more"
		}
		return fmt.Errorf("%w: in %s, %s", ErrFolder, dir, text)
	}
	if s.folder.Files == 0 {
		return fmt.Errorf("%w: there is no file in %s, and no run could use an empty dataset", ErrFolder, dir)
	}
	length, err := s.folder.manifestLength(s.limit)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if length > s.limit {
		return fmt.Errorf("%w: in %s, %s", ErrFolder, dir, tooLong(length))
	}
	return nil
}
