package teardown

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/lethe-dev/lethe/hack/lab/site"
)

// unmountAll detaches every mount of the lab, the innermost first.
func unmountAll(s site.Site) (string, error) {
	mounts, err := labMounts(s)
	if err != nil {
		return "", err
	}
	for _, mount := range mounts {
		err := syscall.Unmount(mount, syscall.MNT_DETACH)
		// Gone already, with the mount it was in.
		if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
			return "", fmt.Errorf("unmount %s: %w", mount, err)
		}
	}
	return number(len(mounts)), nil
}

func labMounts(s site.Site) ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return mountsBelow(string(info), s.State), nil
}

// mountsBelow returns the mount points at or below dir in a mountinfo (see
// proc(5)), the newest first, which unmounts what lies on top first.
func mountsBelow(mountinfo, dir string) []string {
	var mounts []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		const mountPoint = 4
		if len(fields) <= mountPoint {
			continue
		}
		point := unescape.Replace(fields[mountPoint])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			mounts = append(mounts, point)
		}
	}
	slices.Reverse(mounts)
	return mounts
}

// unescape undoes how the kernel writes blanks in mount points.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
