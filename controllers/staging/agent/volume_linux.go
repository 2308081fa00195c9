package agent

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"
)

// FreeSpace asks the file system that holds a folder.
func FreeSpace(folder string) (Space, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(folder, &st); err != nil {
		return Space{}, fmt.Errorf("ask for the volume's room: %w", err)
	}
	space := Space{Bytes: math.MaxInt64, Files: -1}
	if block := uint64(max(st.Bsize, 1)); st.Bavail < math.MaxInt64/block {
		space.Bytes = int64(st.Bavail * block) //nolint:gosec // Compared with the limit above.
	}
	if st.Files > 0 && st.Ffree < math.MaxInt64 { // btrfs and others count no inodes.
		space.Files = int64(st.Ffree)
	}
	return space, nil
}

// openDirect opens a file again for writes that go past the page cache; nil where the
// file system has none such. A stager's memory limit would not let the cache keep a
// dataset for the trainer anyway, and to copy it there costs as much as to receive it.
func openDirect(root *os.Root, name string) *os.File {
	f, err := root.OpenFile(name, os.O_WRONLY|syscall.O_DIRECT, fileMode)
	if err != nil {
		return nil
	}
	return f
}

// reserve sets aside the room for a file, so that a full volume shows at once and
// ranges that arrive out of order do not scatter it.
func reserve(f *os.File, size int64) error {
	err := syscall.EINTR
	for errors.Is(err, syscall.EINTR) { // tmpfs gives way to signals.
		err = fallocate(f, size)
	}
	if err == 0 || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	return err
}

func fallocate(f *os.File, size int64) syscall.Errno {
	var number syscall.Errno
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, size); errors.As(err, &number) {
		return number
	}
	return 0
}
