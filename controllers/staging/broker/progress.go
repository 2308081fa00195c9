package broker

import (
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Bounds of a message. What a trainer tells is hostile input: it comes from the
// user's program by way of its pod's stage-out.
const (
	maxMetrics    = 16
	maxMetricName = 64 // bytes
	// maxCount is the greatest integer that every reader of JSON has exactly.
	maxCount = 1<<53 - 1
	// maxSeconds is ten years: what is further away is not known.
	maxSeconds = 10 * 365 * 24 * 3600
)

// progress answers staging.PathProgress. Of a run with several nodes only the first
// node's message counts; the others' are taken and left.
func (s *Server) progress(ctx context.Context, r *http.Request) (any, error) {
	m, _, err := s.known(ctx, r, leaving)
	if err != nil {
		return nil, err
	}
	if !s.progressPace.allow(m.caller.podUID, s.clock.Now()) {
		return nil, tooMany()
	}
	var ask staging.ProgressRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	if ask.Sequence < 1 || ask.Sequence > maxCount {
		return nil, malformed("sequence counts the messages of a pod, from 1")
	}
	run, err := s.runOf(ctx, m)
	if err != nil {
		return nil, err
	}
	if m.node > 0 {
		return staging.ProgressAnswer{}, nil
	}
	told := toldProgress(ask, m, s.clock.Now())
	return staging.ProgressAnswer{}, s.recorder.take(ctx, run, told)
}

// toldProgress makes of a message what fits into a status, stamped with the time at
// which it came. What makes no sense is left out, so that one odd number of a trainer
// does not cost the rest.
func toldProgress(ask staging.ProgressRequest, m member, now time.Time) v1alpha1.Progress {
	at := metav1.NewTime(now).Rfc3339Copy()
	idle := time.Duration(min(max(ask.IdleSeconds, 0), maxSeconds)) * time.Second
	active := metav1.NewTime(now.Add(-idle)).Rfc3339Copy()
	told := v1alpha1.Progress{
		Attempt: m.attempt, PodUID: types.UID(m.caller.podUID), Sequence: ask.Sequence,
		Percent: percent(ask.Percent),
		Epoch:   counted(ask.Epoch), Epochs: counted(ask.Epochs),
		Step: counted(ask.Step), TotalSteps: counted(ask.TotalSteps),
		Metrics:        metricsOf(ask.Metrics),
		LastUpdateTime: &at, LastActivityTime: &active,
	}
	if left := ask.RemainingSeconds; left != nil && *left >= 0 && *left <= maxSeconds {
		end := metav1.NewTime(now.Add(time.Duration(*left) * time.Second)).Rfc3339Copy()
		told.EstimatedCompletionTime = &end
	}
	return told
}

// percent cuts to whole numbers, so that 100 means the end, and to what a status takes.
func percent(value *float64) *int32 {
	if value == nil || math.IsNaN(*value) {
		return nil
	}
	whole := int32(math.Floor(min(max(*value, 0), 100)))
	return &whole
}

// counted gives a count, or nil for what is none.
func counted(value *int64) *int64 {
	if value == nil || *value < 0 || *value > maxCount {
		return nil
	}
	count := *value
	return &count
}

// metricsOf cleans names and numbers, and keeps the first maxMetrics in the order of
// the names. Of two whose names become the same the first stays.
func metricsOf(told map[string]float64) []v1alpha1.Metric {
	var metrics []v1alpha1.Metric
	taken := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		value, clean := told[name], cleanName(name)
		if clean == "" || taken[clean] || math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		taken[clean] = true
		metrics = append(metrics, v1alpha1.Metric{Name: clean, Value: strconv.FormatFloat(value, 'g', -1, 64)})
		if len(metrics) == maxMetrics {
			break
		}
	}
	return metrics
}

// cleanName leaves of a metric's name what can be shown anywhere.
func cleanName(name string) string {
	name = strings.TrimSpace(strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, name))
	if len(name) <= maxMetricName {
		return name
	}
	cut := maxMetricName
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return strings.TrimSpace(name[:cut])
}
