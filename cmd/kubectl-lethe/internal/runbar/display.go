package runbar

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
)

const (
	// redraw is how often the line on a terminal is drawn, because time passes.
	redraw = time.Second
	// plain is what lies between two lines of progress anywhere else at least.
	plain = 30 * time.Second
	// erase goes to the line's start and clears it (ECMA-48).
	erase = "\r\x1b[K"
)

// Display shows a run. It is safe for concurrent use.
type Display struct {
	// Screen is where it is shown.
	Screen terminal.Screen
	// Clock tells when to draw, and how long things take.
	Clock clock.WithTicker

	mu      sync.Mutex
	run     *v1alpha1.TrainingRun
	drawn   string    // line on the terminal that is drawn over next
	last    string    // line of progress that was written, where there is no terminal
	written time.Time // at that time
}

// Start keeps the display going until the function that it returns is called; then
// nothing is written any more, and the cursor stands on a line of its own.
func (d *Display) Start() (stop func()) {
	if d.Screen.Width == nil {
		return func() {}
	}
	ticker := d.Clock.NewTicker(redraw)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C():
				d.draw()
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		d.clear()
	}
}

// Show takes the run as it is now.
func (d *Display) Show(run *v1alpha1.TrainingRun) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range news(d.run, run) {
		d.line(l)
	}
	d.run = run
	d.progress()
}

func (d *Display) line(l line) {
	stamp := d.Clock.Now().Format(time.TimeOnly)
	d.write(fmt.Sprintf("%s  %s%s\n", stamp, d.Screen.Paint(l.style, l.head), l.text))
}

func (d *Display) draw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run != nil {
		d.progress()
	}
}

// progress draws the line on a terminal, and anywhere else writes one if it is time.
func (d *Display) progress() {
	now := d.Clock.Now()
	text := Line(d.run, now, d.Screen.Columns())
	switch {
	case d.Screen.Width != nil && text != d.drawn:
		d.write(text)
		d.drawn = text
	case d.Screen.Width != nil:
	case text != "" && text != d.last && now.Sub(d.written) >= plain:
		d.last, d.written = text, now
		d.line(line{text: text})
	}
}

func (d *Display) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write("")
}

// write draws over the last line. What a terminal can not show is no reason to fail.
func (d *Display) write(text string) {
	if d.drawn != "" {
		text = erase + text
	}
	d.drawn = ""
	_, _ = fmt.Fprint(d.Screen.Out, text)
}
