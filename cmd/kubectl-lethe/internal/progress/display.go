package progress

import (
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// redraw is how often the line on a terminal is drawn.
	redraw = 200 * time.Millisecond
	// plain is how often a line is written anywhere else.
	plain = 5 * time.Second
	// erase goes to the line's start and clears it (ECMA-48).
	erase = "\r\x1b[K"
)

// Display shows a meter.
type Display struct {
	// Out is where the lines go.
	Out io.Writer
	// Width gives the terminal's columns; nil when Out is no terminal.
	Width func() int
	// Verb starts each line, for example "Uploading".
	Verb string
	// Clock tells when to draw and how fast it goes.
	Clock clock.WithTicker

	mu    sync.Mutex
	drawn bool
	speed speedometer
}

// Start shows the meter until the function that it returns is called; that shows
// the last state and waits until nothing is written any more. Nothing is shown
// before the meter knows what to expect.
func (d *Display) Start(m *Meter) (stop func()) {
	interval := plain
	if d.Width != nil {
		interval = redraw
	}
	ticker := d.Clock.NewTicker(interval)
	end, ended := make(chan struct{}), make(chan struct{})
	d.observe(m)
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C():
				d.show(m)
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		d.finish(m)
	}
}

// Notice writes a line of its own above the progress.
func (d *Display) Notice(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(text + "\n")
	d.drawn = false
}

func (d *Display) observe(m *Meter) float64 {
	return d.speed.observe(d.Clock.Now(), m.Snapshot().Bytes)
}

func (d *Display) show(m *Meter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := m.Snapshot()
	speed := d.observe(m)
	if s.TotalFiles == 0 {
		return
	}
	if d.Width == nil {
		d.write(Line(d.Verb, s, speed, 0) + "\n")
		return
	}
	d.write(Line(d.Verb, s, speed, max(d.Width()-1, 1)))
	d.drawn = true
}

func (d *Display) finish(m *Meter) {
	d.show(m)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.drawn {
		d.drawn = false
		d.write("\n")
	}
}

// write draws over the last line. What a terminal can not show is not worth
// failing a transfer for.
func (d *Display) write(text string) {
	if d.drawn {
		text = erase + text
	}
	_, _ = fmt.Fprint(d.Out, text)
}
