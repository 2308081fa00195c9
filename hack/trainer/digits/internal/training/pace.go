package training

import "time"

// pace spreads the batches of one epoch evenly over its least duration.
type pace struct {
	start    time.Time
	perBatch time.Duration
	first    int
}

// newPace starts at the given finished batch: a resumed epoch only takes what is left of it.
func newPace(now time.Time, minEpoch time.Duration, batches, first int) pace {
	return pace{start: now, perBatch: minEpoch / time.Duration(batches), first: first}
}

// wait is how long to wait after a finished batch; 0 or less when training is slower than the pace.
func (p pace) wait(now time.Time, finished int) time.Duration {
	return p.start.Add(time.Duration(finished-p.first) * p.perBatch).Sub(now)
}

// reportInterval is how often progress is reported within an epoch.
const reportInterval = time.Second

// meter measures the speed of this process, and says when a report is due.
type meter struct {
	start, reported  time.Time
	first, totalStep int
}

func newMeter(now time.Time, step, totalSteps int) *meter {
	return &meter{start: now, reported: now, first: step, totalStep: totalSteps}
}

// isDue says whether a report is due, and if so counts it as made.
func (m *meter) isDue(now time.Time) bool {
	if now.Sub(m.reported) < reportInterval {
		return false
	}
	m.reported = now
	return true
}

// left estimates the time to the last step from the speed so far; 0 before the first step.
func (m *meter) left(now time.Time, step int) time.Duration {
	if step <= m.first {
		return 0
	}
	perStep := float64(now.Sub(m.start)) / float64(step-m.first)
	return time.Duration(perStep * float64(m.totalStep-step))
}
