package live

import (
	"maps"
	"slices"
	"sync"

	"github.com/lethe-dev/lethe/portal"
)

// Bounds of what is remembered of curves.
const (
	// maxPoints of one run; when there are more, every second one goes.
	maxPoints = 1000
	// maxHistories is how many runs' curves are remembered: of more, those that were told
	// of longest ago go.
	maxHistories = 500
)

// histories are the points of runs that are under way.
type histories struct {
	mutex sync.Mutex
	runs  map[portal.RunID]*history
	turn  uint64
}

type history struct {
	points []portal.RunPoint
	turn   uint64
}

func newHistories() *histories { return &histories{runs: map[portal.RunID]*history{}} }

// of gives a copy.
func (h *histories) of(id portal.RunID) []portal.RunPoint {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if one, ok := h.runs[id]; ok {
		return slices.Clone(one.points)
	}
	return nil
}

// add notes what a run has told last. Of a run that has ended nothing is kept: its series
// is in the store then.
func (h *histories) add(run portal.Run) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if !run.GoneAt.IsZero() {
		delete(h.runs, run.ID)
		return
	}
	told := run.Seen.Progress
	if told.At.IsZero() || len(told.Metrics) == 0 {
		return
	}
	one, ok := h.runs[run.ID]
	if !ok {
		h.makeRoom()
		one = &history{}
		h.runs[run.ID] = one
	}
	h.turn++
	one.turn = h.turn
	if n := len(one.points); n > 0 {
		if !told.At.After(one.points[n-1].At) {
			return
		}
		// An attempt that begins again at a checkpoint takes back what came after it.
		for n > 0 && told.Step > 0 && one.points[n-1].Step > told.Step {
			n--
		}
		one.points = one.points[:n]
	}
	one.points = append(one.points, portal.RunPoint{At: told.At, Step: told.Step, Epoch: told.Epoch, Metrics: maps.Clone(told.Metrics)})
	if len(one.points) > maxPoints {
		one.points = thin(one.points, maxPoints/2)
	}
}

func (h *histories) makeRoom() {
	for len(h.runs) >= maxHistories {
		var oldest portal.RunID
		turn := h.turn + 1
		for id, one := range h.runs {
			if one.turn < turn {
				oldest, turn = id, one.turn
			}
		}
		delete(h.runs, oldest)
	}
}

// thin keeps at most so many points, evenly, and always the last one.
func thin(points []portal.RunPoint, most int) []portal.RunPoint {
	if len(points) <= most {
		return points
	}
	step := (len(points) + most - 1) / most
	out := make([]portal.RunPoint, 0, most+1)
	for i := 0; i < len(points); i += step {
		out = append(out, points[i])
	}
	if last := points[len(points)-1]; !out[len(out)-1].At.Equal(last.At) || out[len(out)-1].Step != last.Step {
		out = append(out, last)
	}
	return out
}
