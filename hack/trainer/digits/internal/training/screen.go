package training

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const barWidth = 24

// screen writes lines for a person reading `kubectl logs`: plain ASCII, one whole line at a time, no colours
// and no cursor movements. A line that can't be written is lost on purpose: training matters more.
type screen struct {
	out io.Writer
}

func (s screen) say(format string, values ...any) {
	_, _ = fmt.Fprintf(s.out, format+"\n", values...)
}

func (s screen) epoch(metrics EpochMetrics, epochs int, left time.Duration) {
	width := len(fmt.Sprint(epochs))
	line := fmt.Sprintf("epoch %*d/%d [%s] %3d %%  loss %.4f  accuracy %5.1f %%",
		width, metrics.Epoch, epochs, bar(metrics.Epoch, epochs), 100*metrics.Epoch/epochs,
		metrics.Loss, 100*metrics.Accuracy)
	if metrics.Epoch < epochs {
		line += "  " + remaining(left)
	}
	s.say("%s", line)
}

func bar(done, total int) string {
	filled := min(barWidth, barWidth*done/total)
	return strings.Repeat("#", filled) + strings.Repeat(".", barWidth-filled)
}

// remaining rounds as a person would: seconds below a minute and a half, then minutes, then hours.
func remaining(left time.Duration) string {
	switch {
	case left < time.Second:
		return "less than 1 s left"
	case left < 90*time.Second:
		return fmt.Sprintf("about %d s left", int(left.Round(time.Second).Seconds()))
	case left < 90*time.Minute:
		return fmt.Sprintf("about %d min left", int(left.Round(time.Minute).Minutes()))
	default:
		return fmt.Sprintf("about %d h left", int(left.Round(time.Hour).Hours()))
	}
}
