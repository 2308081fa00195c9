//go:build unix

package keyring

import (
	"io/fs"
	"syscall"
)

// ownerOf gives the number of the user who owns a file.
func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}
