package progress

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// Line renders the state in at most width columns; width 0 leaves out the bar and
// everything that a log does not need. The speed is in bytes per second.
func Line(verb string, s Snapshot, speed float64, width int) string {
	text := fmt.Sprintf("%3d%%  %d/%s  %s of %s", percent(s), s.Files, words.Count(s.TotalFiles, "file"),
		words.Bytes(clamp(s.Bytes, s.TotalBytes)), words.Bytes(s.TotalBytes))
	if speed >= 1 {
		text += fmt.Sprintf("  %s/s", words.Bytes(int64(speed)))
	}
	if left, known := timeLeft(s, speed); known {
		text += fmt.Sprintf("  %s left", words.Duration(left))
	}
	if width == 0 {
		return verb + " " + strings.TrimLeft(text, " ")
	}
	return fit(verb, text, s, width)
}

// The bar takes what the text leaves, within bounds.
const (
	minBar = 8
	maxBar = 40
)

func fit(verb, text string, s Snapshot, width int) string {
	room := width - len(verb) - len(text) - len(" [] ")
	if room < minBar {
		line := verb + " " + text
		return line[:min(len(line), width)]
	}
	return fmt.Sprintf("%s [%s] %s", verb, bar(percent(s), min(room, maxBar)), text)
}

func bar(percent, length int) string {
	full := percent * length / 100
	if full == length {
		return strings.Repeat("=", length)
	}
	return strings.Repeat("=", full) + ">" + strings.Repeat(" ", length-full-1)
}

// percent is 100 only when everything is there.
func percent(s Snapshot) int {
	if s.TotalFiles > 0 && s.Files >= s.TotalFiles {
		return 100
	}
	if s.TotalBytes <= 0 {
		return 0
	}
	done := float64(clamp(s.Bytes, s.TotalBytes)) / float64(s.TotalBytes)
	return min(int(done*100), 99)
}

func clamp(n, limit int64) int64 { return min(max(n, 0), limit) }

func timeLeft(s Snapshot, speed float64) (time.Duration, bool) {
	rest := s.TotalBytes - s.Bytes
	if speed < 1 || rest <= 0 {
		return 0, false
	}
	seconds := math.Ceil(float64(rest) / speed)
	if seconds > float64(math.MaxInt64/int64(time.Second)) {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, true
}
