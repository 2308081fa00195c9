package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// trainer is an upstream: what a container has put out, which may grow, end and begin
// again.
type trainer struct {
	mutex   sync.Mutex
	lines   []string // with times
	more    chan struct{}
	ended   bool
	missing bool
	err     error
	opened  int
	open    int
	peak    int
	sinces  []time.Time
	// cut ends the streams that are open.
	cut chan struct{}
}

func newTrainer() *trainer { return &trainer{more: make(chan struct{}), cut: make(chan struct{})} }

func stamped(n int, text string) string {
	return portaltest.Start.Add(time.Duration(n)*time.Millisecond).Format(time.RFC3339Nano) + " " + text
}

func (tr *trainer) say(lines ...string) {
	tr.mutex.Lock()
	defer tr.mutex.Unlock()
	tr.lines = append(tr.lines, lines...)
	close(tr.more)
	tr.more = make(chan struct{})
}

func (tr *trainer) set(f func()) {
	tr.mutex.Lock()
	defer tr.mutex.Unlock()
	f()
	close(tr.more)
	tr.more = make(chan struct{})
}

// breakOff cuts all streams.
func (tr *trainer) breakOff() {
	tr.mutex.Lock()
	defer tr.mutex.Unlock()
	close(tr.cut)
	tr.cut = make(chan struct{})
}

func (tr *trainer) counts() (opened, open, peak int) {
	tr.mutex.Lock()
	defer tr.mutex.Unlock()
	return tr.opened, tr.open, tr.peak
}

// Logs implements Upstream: like the kubelet it knows whole seconds only.
func (tr *trainer) Logs(ctx context.Context, _, _ string, since time.Time) (io.ReadCloser, error) {
	tr.mutex.Lock()
	defer tr.mutex.Unlock()
	tr.opened++
	tr.sinces = append(tr.sinces, since)
	if tr.err != nil {
		return nil, tr.err
	}
	if tr.missing {
		return nil, portal.ErrNotFound
	}
	tr.open++
	tr.peak = max(tr.peak, tr.open)
	out, in := io.Pipe()
	go tr.copy(ctx, in, since.Truncate(time.Second), tr.cut)
	return out, nil
}

func (tr *trainer) copy(ctx context.Context, in *io.PipeWriter, since time.Time, cut <-chan struct{}) {
	defer func() { tr.set(func() { tr.open-- }) }()
	at := 0
	for {
		tr.mutex.Lock()
		lines, more, ended := tr.lines[at:], tr.more, tr.ended
		at = len(tr.lines)
		tr.mutex.Unlock()
		var out bytes.Buffer
		for _, line := range lines {
			moment, _, _ := strings.Cut(line, " ")
			if when, err := time.Parse(time.RFC3339Nano, moment); err != nil || !when.Before(since) {
				out.WriteString(line + "\n")
			}
		}
		if _, err := in.Write(out.Bytes()); err != nil {
			return
		}
		if ended {
			_ = in.Close()
			return
		}
		select {
		case <-more:
		case <-cut:
			_ = in.CloseWithError(errors.New("connection reset"))
			return
		case <-ctx.Done():
			_ = in.CloseWithError(ctx.Err())
			return
		}
	}
}

// fakes are the other things that the service needs.
type fakes struct {
	events    []portal.RunEvent
	eventsErr error
	asked     int
	granted   int
	listed    int
	opened    int
	grantErr  error
	objects   map[string]string // by path
	files     portal.RunFiles
}

func (f *fakes) RunEvents(context.Context, string, string) ([]portal.RunEvent, error) {
	f.asked++
	return f.events, f.eventsErr
}

func (f *fakes) ArtifactsGrant(context.Context, string, string) (portal.Grant, error) {
	f.granted++
	return portal.Grant{Bucket: "artifacts", IssuedAt: portaltest.Start, ExpiresAt: portaltest.Start.Add(time.Hour)}, f.grantErr
}

func (f *fakes) Artifacts(context.Context, portal.Grant, string, string, int) (portal.RunFiles, error) {
	return f.files, nil
}

func (f *fakes) Logs(_ context.Context, _ portal.Grant, attempt, nodes int) ([]portal.RunFile, error) {
	var found []portal.RunFile
	f.listed++
	for node := range nodes {
		for _, name := range []string{"trainer-000001.log", "trainer-000002.log", "progress.jsonl"} {
			path := fmt.Sprintf("logs/attempt-%04d/node-%d/%s", attempt, node, name)
			if text, ok := f.objects[path]; ok {
				found = append(found, portal.RunFile{Kind: portal.FileLog, Path: path, Size: int64(len(text))})
			}
		}
	}
	return found, nil
}

func (f *fakes) Checkpoint(context.Context, portal.Grant, string) ([]portal.RunFile, error) {
	return nil, portal.ErrNotFound
}

func (f *fakes) Open(_ context.Context, _ portal.Grant, _ portal.FileKind, path string) (portal.FileContent, error) {
	f.opened++
	text, ok := f.objects[path]
	if !ok {
		return portal.FileContent{}, portal.ErrNotFound
	}
	return portal.FileContent{Body: io.NopCloser(strings.NewReader(text)), Size: int64(len(text)), Name: path}, nil
}

func (f *fakes) Link(_ context.Context, _ portal.Grant, _ portal.FileKind, path string, life time.Duration) (portal.FileContent, error) {
	return portal.FileContent{Link: "https://store.example.org/" + path + "?for=" + life.String(), Name: path}, nil
}

// world has one person's run and the service.
type world struct {
	clock   *portaltest.Clock
	store   portal.Store
	trainer *trainer
	fakes   *fakes
	service *Service
	who     portal.Principal
	run     portal.Run
}

func newWorld(t *testing.T, o Options, mods ...func(*portal.Run)) *world {
	t.Helper()
	w := &world{clock: &portaltest.Clock{}, store: portaltest.Store(t), trainer: newTrainer(), fakes: &fakes{objects: map[string]string{}}}
	account, tenant := portaltest.AddTenant(t, w.store)
	dataset := portaltest.AddDataset(t, w.store, tenant)
	w.run = portaltest.AddRun(t, w.store, dataset, mods...)
	w.who = portal.Principal{Account: account}
	var err error
	w.service, err = New(Dependencies{
		Store: w.store, Logs: w.trainer, Events: w.fakes, Grants: w.fakes, Objects: w.fakes, Log: discard(), Now: w.clock.Now,
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// becomes writes what was seen of the run, and tells the service as the follower would.
func (w *world) becomes(t *testing.T, s portal.RunSeen) {
	t.Helper()
	err := w.store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		run, err := tx.Run(ctx, w.who.Account.ID, w.run.ID)
		if err != nil {
			return err
		}
		run.Seen = s
		if err := tx.UpdateRun(ctx, run); err != nil {
			return err
		}
		w.run, err = tx.Run(ctx, w.who.Account.ID, w.run.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.service.RunChanged(w.run)
}

// texts reads a log until it has so many lines, or ends.
func texts(t *testing.T, tail portal.LogTail, most int) (lines []string, skipped int64, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for len(lines) < most {
		part, err := tail.Next(ctx)
		if err != nil {
			return lines, skipped, err
		}
		skipped += part.Skipped
		for _, line := range part.Lines {
			lines = append(lines, line.Text)
		}
	}
	return lines, skipped, nil
}
