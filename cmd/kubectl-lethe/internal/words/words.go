// Package words writes numbers, sizes and times the way that people say them.
// Units of 1,024 are used for sizes, as kubectl and the store's tools do.
package words

import (
	"fmt"
	"time"
)

// Bytes writes a size: "512 B", "1.5 KiB", "2.0 GiB".
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/1024, 0
	for size >= 1023.95 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", size, units[unit])
}

// Duration writes a time span with its two greatest units, cut off and not
// rounded: "3d 4h", "23h 59m", "1m 5s", "12s". What is below a second is "0s".
func Duration(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s >= 24*3600:
		return pair(s/(24*3600), "d", s/3600%24, "h")
	case s >= 3600:
		return pair(s/3600, "h", s/60%60, "m")
	case s >= 60:
		return pair(s/60, "m", s%60, "s")
	default:
		return fmt.Sprintf("%ds", s)
	}
}

func pair(great int64, greatUnit string, small int64, smallUnit string) string {
	if small == 0 {
		return fmt.Sprintf("%d%s", great, greatUnit)
	}
	return fmt.Sprintf("%d%s %d%s", great, greatUnit, small, smallUnit)
}

// Count writes a number with its noun: "1 file", "2 files".
func Count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
