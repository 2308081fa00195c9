package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// What lies in the working folder on the volume, see the package's comment.
const (
	workDir      = ".stage-in"
	filesDir     = workDir + "/files"
	partsDir     = workDir + "/parts"
	manifestFile = workDir + "/manifest.jsonl"
	journalFile  = workDir + "/journal"
)

const (
	fileMode   = 0o644
	folderMode = 0o755
	// blockSize is what a file's size is rounded up to when room is reckoned.
	blockSize = 4096
)

// Space is the room on a volume.
type Space struct {
	// Bytes that can still be written.
	Bytes int64
	// Files that can still be made; negative if the file system does not limit them.
	Files int64
}

// volume is the dataset's volume. All access goes through os.Root, so no path and
// no symbolic link leads out of it.
type volume struct {
	root *os.Root
	// files is the root of the dataset's files while they are collected.
	files *os.Root
	// target is the name of the dataset's folder in root.
	target string
	// share is what of the manifest belongs on this volume.
	share share
	// resumed is true if an earlier try left files; held sums up their sizes in blocks.
	resumed bool
	held    int64
}

// openVolume opens the volume that holds the dataset's folder and makes it ready
// to collect files. A dataset that was complete before is taken back for another
// check.
func openVolume(datasetDir string) (*volume, error) {
	root, err := os.OpenRoot(filepath.Dir(datasetDir))
	if err != nil {
		return nil, notMounted(err)
	}
	v := &volume{root: root, target: filepath.Base(datasetDir)}
	if err := v.prepare(); err != nil {
		v.close()
		return nil, volumeFailure("prepare the dataset's volume", err)
	}
	return v, nil
}

func notMounted(err error) error {
	return fail(staging.ExitUsage, err, "The dataset's volume can not be used (%s). "+
		"It must be mounted, writable, at the parent of the dataset's folder.", Cause(err))
}

func (v *volume) close() {
	if v.files != nil {
		_ = v.files.Close() // Nothing is buffered in a folder's handle.
	}
	_ = v.root.Close()
}

func (v *volume) prepare() error {
	if err := v.folder(workDir); err != nil {
		return notMounted(err)
	}
	if err := v.folder(partsDir); err != nil {
		return err
	}
	if err := v.takeBack(); err != nil {
		return err
	}
	return v.openFiles()
}

// folder makes a folder unless there is one; anything else of that name is removed.
func (v *volume) folder(name string) error {
	switch info, err := v.root.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return nil
	default:
		if err := v.root.Remove(name); err != nil {
			return err
		}
	}
	return v.root.Mkdir(name, folderMode)
}

// takeBack moves the dataset's folder to where files are collected. Where files
// are collected already only an empty one can be in the way.
func (v *volume) takeBack() error {
	info, err := v.root.Lstat(v.target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, errFiles := v.root.Lstat(filesDir)
	if info.IsDir() && errors.Is(errFiles, fs.ErrNotExist) {
		if err := v.root.Rename(v.target, filesDir); err != nil {
			return notMounted(err)
		}
		return nil
	}
	return v.root.Remove(v.target)
}

// openFiles opens the folder of collected files. If it holds anything that we
// would not have put there, all of it is discarded.
func (v *volume) openFiles() error {
	if err := v.folder(filesDir); err != nil {
		return err
	}
	files, err := v.root.OpenRoot(filesDir)
	if err != nil {
		return err
	}
	v.files = files
	found, err := survey(files)
	if err != nil {
		return err
	}
	v.resumed, v.held = found.files > 0, found.blocks
	if found.others == 0 {
		return v.countParts()
	}
	if err := errors.Join(files.Close(), v.root.RemoveAll(filesDir), v.root.Mkdir(filesDir, folderMode)); err != nil {
		return err
	}
	v.resumed, v.held = false, 0
	if v.files, err = v.root.OpenRoot(filesDir); err != nil {
		return err
	}
	return v.countParts()
}

// countParts adds the room that large files have taken while they arrived.
func (v *volume) countParts() error {
	parts, err := v.root.OpenRoot(partsDir)
	if err != nil {
		return err
	}
	defer func() { _ = parts.Close() }() // Nothing is buffered in a folder's handle.
	found, err := survey(parts)
	v.resumed, v.held = v.resumed || found.files > 0, v.held+found.blocks
	return err
}

// found sums up a folder tree: regular files, the bytes of their blocks, and what
// is neither file nor folder.
type found struct{ files, blocks, others int64 }

func survey(root *os.Root) (found, error) {
	var f found
	err := fs.WalkDir(root.FS(), ".", func(_ string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || entry.IsDir():
			return err
		case !entry.Type().IsRegular():
			f.others++
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		f.files++
		f.blocks += blocks(info.Size())
		return nil
	})
	return f, err
}

// blocks rounds a size up to whole blocks.
func blocks(size int64) int64 { return (size + blockSize - 1) / blockSize * blockSize }

// part is the name under which a large file is collected.
func part(number int64) string { return path.Join(partsDir, strconv.FormatInt(number, 10)) }

// keep moves a complete part to its place.
func (v *volume) keep(it item) error {
	return v.root.Rename(part(it.number), path.Join(filesDir, it.entry.Path))
}

// publish makes the dataset appear: one rename, then the working folder goes. The
// count makes sure that nothing but the dataset's files is in it.
func (v *volume) publish(objects int64) error {
	f, err := survey(v.files)
	if err != nil {
		return volumeFailure("count the dataset's files", err)
	}
	if f.files != objects || f.others != 0 {
		return fail(staging.ExitIOError, nil, "The volume holds %d files where the dataset has %d: "+
			"something else writes to it. Start the run again.", f.files+f.others, objects)
	}
	if err := v.root.Rename(filesDir, v.target); err != nil {
		return volumeFailure("move the dataset to its folder", err)
	}
	if err := v.root.RemoveAll(workDir); err != nil {
		return volumeFailure("remove the working folder", err)
	}
	return nil
}

// room fails when the volume is too small for the dataset.
func (v *volume) room(m manifest, free Space) error {
	need := m.blocks - min(v.held, m.blocks)
	if need > free.Bytes {
		return fail(staging.ExitDiskFull, nil, "The dataset needs %s more on its volume, which has %s left. "+
			"Give the run a node or volume with more room.", size(need), size(free.Bytes))
	}
	if free.Files >= 0 && !v.resumed && m.objects > free.Files {
		return fail(staging.ExitDiskFull, nil, "The dataset has %d files and its volume has room for %d. "+
			"Give the run a volume with more inodes or pack the files into archives.", m.objects, free.Files)
	}
	return nil
}

// size words a number of bytes.
func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, prefix := float64(bytes)/unit, 0
	for value >= unit && prefix < 4 {
		value /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[prefix])
}
