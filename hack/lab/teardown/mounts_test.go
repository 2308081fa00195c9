package teardown

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMountsBelowFindsOursInnermostFirst(t *testing.T) {
	t.Parallel()
	const info = `22 1 254:0 / / rw - ext4 /dev/vda rw
60 22 0:50 / /var/lib/lethe-lab rw - tmpfs tmpfs rw
61 60 0:51 / /var/lib/lethe-lab/kubelet/pods/a\040b rw shared:1 - tmpfs tmpfs rw
62 61 0:52 / /var/lib/lethe-lab/kubelet/pods/a\040b/deep rw - tmpfs tmpfs rw
63 22 0:53 / /var/lib/lethe-lab-of-another rw - tmpfs tmpfs rw
64 22 0:54 / /var/lib rw - tmpfs tmpfs rw
`
	want := []string{
		"/var/lib/lethe-lab/kubelet/pods/a b/deep",
		"/var/lib/lethe-lab/kubelet/pods/a b",
		"/var/lib/lethe-lab",
	}
	if diff := cmp.Diff(want, mountsBelow(info, "/var/lib/lethe-lab")); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}
