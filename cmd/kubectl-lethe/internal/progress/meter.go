package progress

import (
	"sync/atomic"
	"time"
)

// Meter counts what was transferred. Its zero value is ready; it is safe for
// concurrent use.
type Meter struct {
	files, bytes           atomic.Int64
	totalFiles, totalBytes atomic.Int64
}

// Expect sets what the whole transfer amounts to.
func (m *Meter) Expect(files, bytes int64) {
	m.totalFiles.Store(files)
	m.totalBytes.Store(bytes)
}

// Bytes adds bytes that were transferred; negative ones have to come again.
func (m *Meter) Bytes(n int64) { m.bytes.Add(n) }

// File adds a file that is complete.
func (m *Meter) File() { m.files.Add(1) }

// Snapshot is the state of a meter at one moment.
type Snapshot struct {
	Files, TotalFiles int64
	Bytes, TotalBytes int64
}

// Snapshot reads the meter.
func (m *Meter) Snapshot() Snapshot {
	return Snapshot{
		Files: m.files.Load(), TotalFiles: m.totalFiles.Load(),
		Bytes: m.bytes.Load(), TotalBytes: m.totalBytes.Load(),
	}
}

// speedWindow is how far back the speed is measured.
const speedWindow = 15 * time.Second

// speedometer measures the speed over the last speedWindow.
type speedometer struct{ samples []sample }

type sample struct {
	at    time.Time
	bytes int64
}

// observe takes a sample and gives the speed in bytes per second; 0 when it is
// not known yet.
func (s *speedometer) observe(at time.Time, bytes int64) float64 {
	s.samples = append(s.samples, sample{at, bytes})
	for len(s.samples) > 2 && at.Sub(s.samples[1].at) >= speedWindow {
		s.samples = s.samples[1:]
	}
	first := s.samples[0]
	elapsed := at.Sub(first.at).Seconds()
	if elapsed <= 0 {
		return 0
	}
	return max(float64(bytes-first.bytes)/elapsed, 0)
}
