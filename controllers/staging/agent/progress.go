package agent

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// Bounds of what is taken from a trainer's progress file, which may hold anything.
const (
	maxProgressLine = 64 << 10
	maxMetrics      = 16
	maxMetricName   = 64
	maxCount        = 1<<53 - 1
	maxRemaining    = 10 * 365 * 24 * time.Hour
)

// told is what a trainer has told of itself so far; nil for what it has not.
type told struct {
	percent                         *float64
	epoch, epochs, step, totalSteps *int64
	metrics                         map[string]float64
}

// parseProgress reads one line. It reports false for one that tells nothing: what is
// unknown, no number or out of range is left out.
func parseProgress(line []byte) (told, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(finite(line), &fields) != nil {
		return told{}, false
	}
	t := told{
		epoch:      count(fields["epoch"]),
		epochs:     count(fields["epochs"]),
		step:       count(fields["step"]),
		totalSteps: count(fields["totalSteps"]),
		metrics:    metrics(fields["metrics"]),
	}
	if percent, ok := number(fields["percent"]); ok && percent >= 0 && percent <= 100 {
		t.percent = &percent
	}
	return t, t.percent != nil || t.epoch != nil || t.epochs != nil || t.step != nil ||
		t.totalSteps != nil || len(t.metrics) > 0
}

// finite puts null in the place of the NaN and Infinity that Python writes, which JSON
// does not have.
func finite(line []byte) []byte {
	out := make([]byte, 0, len(line))
	for i := 0; i < len(line); {
		switch rest := line[i:]; {
		case rest[0] == '"':
			n := quoted(rest)
			out = append(out, rest[:n]...)
			i += n
		case has(rest, "NaN"):
			out = append(out, "null"...)
			i += len("NaN")
		case has(rest, "-Infinity"):
			out = append(out, "null"...)
			i += len("-Infinity")
		case has(rest, "Infinity"):
			out = append(out, "null"...)
			i += len("Infinity")
		default:
			out = append(out, rest[0])
			i++
		}
	}
	return out
}

func has(data []byte, word string) bool {
	return len(data) >= len(word) && string(data[:len(word)]) == word
}

// quoted gives the length of the string at the beginning of data, with its quotes.
func quoted(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

func number(raw json.RawMessage) (float64, bool) {
	var value *float64
	if len(raw) == 0 || json.Unmarshal(raw, &value) != nil || value == nil {
		return 0, false
	}
	return *value, !math.IsNaN(*value) && !math.IsInf(*value, 0)
}

// count reads a whole number from 0; of a fraction, as some trainers count epochs, the
// whole part.
func count(raw json.RawMessage) *int64 {
	value, ok := number(raw)
	if !ok || value < 0 || value > maxCount {
		return nil
	}
	whole := int64(value)
	return &whole
}

func metrics(raw json.RawMessage) map[string]float64 {
	var fields map[string]json.RawMessage
	if len(raw) == 0 || json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	taken := map[string]float64{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if value, ok := number(fields[name]); ok && metricName(name) && len(taken) < maxMetrics {
			taken[name] = value
		}
	}
	return taken
}

func metricName(name string) bool {
	return name != "" && len(name) <= maxMetricName && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// merge takes over what a later line tells.
func (t *told) merge(later told) {
	if later.percent != nil {
		t.percent = later.percent
	}
	for into, value := range map[**int64]*int64{
		&t.epoch: later.epoch, &t.epochs: later.epochs, &t.step: later.step, &t.totalSteps: later.totalSteps,
	} {
		if value != nil {
			*into = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(later.metrics)) {
		if _, known := t.metrics[name]; !known && len(t.metrics) >= maxMetrics {
			continue
		}
		if t.metrics == nil {
			t.metrics = map[string]float64{}
		}
		t.metrics[name] = later.metrics[name]
	}
}

// done is the part of the training that is done, from 0 to 1: as the trainer told it, or
// by steps, or by epochs.
func (t told) done() (float64, bool) {
	part := func(n, of *int64) (float64, bool) {
		if n == nil || of == nil || *of <= 0 {
			return 0, false
		}
		return min(float64(*n)/float64(*of), 1), true
	}
	if t.percent != nil {
		return *t.percent / 100, true
	}
	if done, ok := part(t.step, t.totalSteps); ok {
		return done, true
	}
	return part(t.epoch, t.epochs)
}

// request is what is sent of it, but for what is not the trainer's to tell.
func (t told) request() staging.ProgressRequest {
	r := staging.ProgressRequest{
		Percent: t.percent, Epoch: t.epoch, Epochs: t.epochs, Step: t.step, TotalSteps: t.totalSteps,
		Metrics: maps.Clone(t.metrics),
	}
	if done, ok := t.done(); ok && r.Percent == nil {
		percent := done * 100
		r.Percent = &percent
	}
	return r
}

// pace reckons the end from how far the training came since this attempt was first heard
// of, so that what an earlier attempt did counts for nothing.
type pace struct {
	from, to   float64
	since, now time.Time
}

// observe notes how much is done. Less than before is another beginning.
func (p *pace) observe(done float64, now time.Time) {
	if p.since.IsZero() || done < p.to {
		*p = pace{from: done, to: done, since: now, now: now}
		return
	}
	if done > p.to {
		p.to, p.now = done, now
	}
}

// remaining gives the seconds until the end; nil while there is no pace.
func (p *pace) remaining(now time.Time) *int64 {
	if p.to <= p.from || !p.now.After(p.since) {
		return nil
	}
	left := (1 - p.to) / (p.to - p.from) * p.now.Sub(p.since).Seconds()
	left = math.Round(min(max(left-now.Sub(p.now).Seconds(), 0), maxRemaining.Seconds()))
	seconds := int64(left)
	return &seconds
}
