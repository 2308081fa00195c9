package objectstore

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParts(t *testing.T) {
	t.Parallel()
	const mib, tib = 1 << 20, 1 << 40
	type parts struct {
		MiB    uint64
		AtOnce uint
	}
	for name, c := range map[string]struct {
		size int64
		want parts
	}{
		"just too large for one request":    {singlePut + 1, parts{8, 3}},
		"as many as there can be at once":   {4 << 30, parts{8, 4}},
		"the last with the least part":      {8*mib*maxParts - 1, parts{8, 4}},
		"larger ones, and less at once":     {8 * mib * maxParts, parts{9, 3}},
		"one at once takes all the memory":  {tib / 4, parts{27, 1}},
		"one at once takes more than there": {5 * tib, parts{525, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part, atOnce := partsOf(c.size)
			if diff := cmp.Diff(c.want, parts{part / mib, atOnce}); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
			if count := (uint64(c.size) + part - 1) / part; count > maxParts {
				t.Errorf("%d parts are more than there may be", count)
			}
		})
	}
}
