package live

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// nothingKept is what there is to say of a run that has left nothing, or nothing more.
var nothingKept = &portal.Error{Kind: portal.KindNotFound, Message: "This run has left no files, or they are gone."}

// grant gives credentials for what a run has left. They are kept for half of their life.
func (s *Service) grant(ctx context.Context, run portal.Run) (portal.Grant, error) {
	if run.UID == "" || !run.GoneAt.IsZero() || run.Wish == portal.WishDeleted {
		return portal.Grant{}, nothingKept
	}
	now := s.now()
	s.mutex.Lock()
	g, ok := s.granted[run.ID]
	s.mutex.Unlock()
	if ok && fresh(g, now) {
		return g, nil
	}
	g, err := s.grants.ArtifactsGrant(ctx, run.Namespace, run.ID.Object())
	if err != nil {
		return portal.Grant{}, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for id, old := range s.granted {
		if !fresh(old, now) {
			delete(s.granted, id)
		}
	}
	s.granted[run.ID] = g
	return g, nil
}

func fresh(g portal.Grant, now time.Time) bool {
	return now.Before(g.IssuedAt.Add(g.ExpiresAt.Sub(g.IssuedAt) / 2))
}

// maxFiles is the most that Files gives at once.
const maxFiles = 1000

// Files gives files of a run, of one kind, after a path ("" for the first). Only
// artifacts come in pages.
func (s *Service) Files(ctx context.Context, p portal.Principal, id portal.RunID, kind portal.FileKind, after string, limit int) (portal.RunFiles, error) {
	run, _, err := s.run(ctx, p, id)
	if err != nil {
		return portal.RunFiles{}, err
	}
	if kind == portal.FileArtifact && run.Seen.ArtifactManifest == "" || kind == portal.FileCheckpoint && run.Seen.Checkpoint == "" || len(run.Seen.Attempts) == 0 && kind == portal.FileLog {
		return portal.RunFiles{}, nil
	}
	var files []portal.RunFile
	if kind == portal.FileLog {
		files, err = s.allLogs(ctx, run)
		return portal.RunFiles{Files: files}, err
	}
	g, err := s.grant(ctx, run)
	if err != nil {
		return portal.RunFiles{}, err
	}
	switch kind {
	case portal.FileArtifact:
		return s.objects.Artifacts(ctx, g, run.Seen.ArtifactManifest, after, min(max(limit, 1), maxFiles))
	case portal.FileCheckpoint:
		files, err = s.objects.Checkpoint(ctx, g, run.Seen.Checkpoint)
	default:
		return portal.RunFiles{}, portal.ErrNotFound
	}
	if portal.KindOf(err) == portal.KindNotFound {
		return portal.RunFiles{}, nil
	}
	return portal.RunFiles{Files: files}, err
}

// Download gives one file of a run: mostly by a link.
func (s *Service) Download(ctx context.Context, p portal.Principal, id portal.RunID, kind portal.FileKind, path string) (portal.FileContent, error) {
	run, _, err := s.run(ctx, p, id)
	if err != nil {
		return portal.FileContent{}, err
	}
	g, err := s.grant(ctx, run)
	if err != nil {
		return portal.FileContent{}, err
	}
	return s.objects.Link(ctx, g, kind, path, s.options.LinkLife)
}

// Open reads one file of a run, for who packs several.
func (s *Service) Open(ctx context.Context, p portal.Principal, id portal.RunID, kind portal.FileKind, path string) (portal.FileContent, error) {
	run, _, err := s.run(ctx, p, id)
	if err != nil {
		return portal.FileContent{}, err
	}
	g, err := s.grant(ctx, run)
	if err != nil {
		return portal.FileContent{}, err
	}
	return s.objects.Open(ctx, g, kind, path)
}

func lastAttempt(run portal.Run) int {
	last := 0
	for _, a := range run.Seen.Attempts {
		last = max(last, a.Number)
	}
	return last
}

// seriesName is the file of a trainer's progress beside its logs.
const seriesName = "progress.jsonl"

// Bounds of a series.
const (
	maxSeries     = 32 << 20
	maxSeriesLine = 64 << 10
	// chartPoints is how many points a chart gets.
	chartPoints = 1500
)

// Series gives a run's curves: what its trainer's own file in the store has, and after
// that what was seen since. The store is not asked for more than is needed: a run whose
// series is not there yet has what was seen.
func (s *Service) Series(ctx context.Context, p portal.Principal, id portal.RunID) ([]portal.RunPoint, error) {
	run, _, err := s.run(ctx, p, id)
	if err != nil {
		return nil, err
	}
	seen := s.history.of(id)
	points, err := s.stored(ctx, run)
	if err != nil && len(seen) == 0 {
		return nil, err
	}
	for _, point := range seen {
		if n := len(points); n == 0 || point.Step > points[n-1].Step || point.Step == 0 && point.At.After(points[n-1].At) {
			points = append(points, point)
		}
	}
	return thin(points, chartPoints), nil
}

// stored gives the series of all attempts. One that began again at a checkpoint takes back
// what the one before told after it.
func (s *Service) stored(ctx context.Context, run portal.Run) ([]portal.RunPoint, error) {
	if len(run.Seen.Attempts) == 0 {
		return nil, nil
	}
	g, err := s.grant(ctx, run)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	leave, err := s.queue(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	k := shelfKey{run: run.ID}
	if points, ok := s.series.get(k, s.now()); ok && ended(run) {
		return slices.Clone(points), nil
	}
	points, err := s.readAttempts(ctx, g, run)
	if err == nil && ended(run) {
		points = slices.Clip(thin(points, 2*chartPoints))
		s.series.put(k, points, sizeOf(points), s.now())
		points = slices.Clone(points)
	}
	return points, err
}

// readAttempts reads the series of all attempts from the store.
func (s *Service) readAttempts(ctx context.Context, g portal.Grant, run portal.Run) ([]portal.RunPoint, error) {
	var points []portal.RunPoint
	for attempt := run.Seen.Attempts[0].Number; attempt <= lastAttempt(run); attempt++ {
		file, err := s.objects.Open(ctx, g, portal.FileLog, fmt.Sprintf("logs/attempt-%04d/node-0/%s", attempt, seriesName))
		if portal.KindOf(err) == portal.KindNotFound && err != nil {
			continue
		}
		if err != nil {
			return points, err
		}
		more := readSeries(io.LimitReader(file.Body, maxSeries))
		_ = file.Body.Close() // It was only read.
		points = append(takenBack(points, more), more...)
	}
	return points, nil
}

func ignoreMissing(err error) error {
	if portal.KindOf(err) == portal.KindNotFound {
		return nil
	}
	return err
}

func takenBack(points, more []portal.RunPoint) []portal.RunPoint {
	if len(more) == 0 {
		return points
	}
	for len(points) > 0 && points[len(points)-1].Step >= more[0].Step {
		points = points[:len(points)-1]
	}
	return points
}

// readSeries reads a trainer's progress, which may hold anything: what is no point is
// left out, and so is the rest of a file that can't be read to its end. Of a long one
// every second point goes, again and again, so that what is held is bounded.
func readSeries(in io.Reader) []portal.RunPoint {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4096), maxSeriesLine)
	var points []portal.RunPoint
	every, n := 1, 0
	for lines.Scan() {
		point, ok := readPoint(lines.Bytes())
		if !ok {
			continue
		}
		if n++; n%every != 0 {
			continue
		}
		points = append(points, point)
		if len(points) >= 4*chartPoints {
			points = thin(points, 2*chartPoints)
			every *= 2
		}
	}
	return points
}

func readPoint(line []byte) (portal.RunPoint, bool) {
	// Python writes NaN, which JSON doesn't have.
	line = bytes.ReplaceAll(bytes.ReplaceAll(line, []byte("-Infinity"), []byte("null")), []byte("Infinity"), []byte("null"))
	line = bytes.ReplaceAll(line, []byte("NaN"), []byte("null"))
	var told struct {
		Time    string              `json:"time"`
		Step    *float64            `json:"step"`
		Epoch   *float64            `json:"epoch"`
		Metrics map[string]*float64 `json:"metrics"`
	}
	if json.Unmarshal(line, &told) != nil {
		return portal.RunPoint{}, false
	}
	point := portal.RunPoint{Metrics: map[string]float64{}}
	for name, value := range told.Metrics {
		if value != nil && len(point.Metrics) < 16 && len(name) <= 64 {
			point.Metrics[name] = *value
		}
	}
	if told.Step != nil {
		point.Step = int64(*told.Step)
	}
	if told.Epoch != nil {
		point.Epoch = int64(*told.Epoch)
	}
	point.At, _ = time.Parse(time.RFC3339Nano, told.Time) // It need not be there.
	return point, len(point.Metrics) > 0
}

// keptTail is how much of a stored log the page shows, in bytes.
const keptTail = 256 << 10

// kept gives the end of the log that the store keeps of a run's last attempt.
func (s *Service) kept(ctx context.Context, run portal.Run, after portal.LogPosition) (portal.LogTail, error) {
	tail := &storedLog{}
	if len(run.Seen.Attempts) == 0 {
		return tail, nil
	}
	g, err := s.grant(ctx, run)
	if err == nil {
		err = s.lastPiece(ctx, g, run, tail, after)
	}
	if portal.KindOf(err) == portal.KindNotFound {
		err = nil
	}
	return tail, err
}

// lastPiece reads the last file of the first node's log.
func (s *Service) lastPiece(ctx context.Context, g portal.Grant, run portal.Run, tail *storedLog, after portal.LogPosition) error {
	attempt := lastAttempt(run)
	files, err := s.logs(ctx, run, attempt, 1)
	if err != nil {
		return err
	}
	want, more := portal.RunFile{}, false
	for _, file := range files {
		if strings.HasPrefix(file.Path, fmt.Sprintf("logs/attempt-%04d/node-0/trainer-", attempt)) {
			want, more = file, want.Path != ""
		}
	}
	if want.Path == "" {
		return nothingKept
	}
	content, err := s.objects.Open(ctx, g, portal.FileLog, want.Path)
	if err != nil {
		return err
	}
	defer func() { _ = content.Body.Close() }() // It was only read.
	kept := ring{limit: keptTail}
	err = eachLine(content.Body, after, func(lines []portal.LogLine) {
		for _, line := range lines {
			kept.add(line)
		}
	})
	if err != nil {
		return fmt.Errorf("read the stored log: %w", err)
	}
	if tail.part.Skipped = kept.first; more && after == (portal.LogPosition{}) {
		tail.part.Skipped = -1
	}
	tail.part.Lines = kept.lines[kept.head:]
	return nil
}

// storedLog is a log that doesn't grow. It implements portal.LogTail.
type storedLog struct{ part portal.LogPart }

// Next implements portal.LogTail.
func (l *storedLog) Next(context.Context) (portal.LogPart, error) {
	part := l.part
	l.part = portal.LogPart{}
	if len(part.Lines) == 0 {
		return part, io.EOF
	}
	return part, nil
}

// Close implements portal.LogTail.
func (l *storedLog) Close() {}
