package live

import (
	"context"

	"github.com/lethe-dev/lethe/portal"
)

// Bounds of what is asked of the store for pages.
const (
	// reads is how many lists of logs and series are made at once, for all.
	reads = 8
	// keptLists is how many files' names are kept of runs that have ended.
	keptLists = 50_000
	// keptSeries is how much of their curves is kept, in bytes.
	keptSeries = 32 << 20
)

// Logs gives the files of the logs of one attempt of a run, on all of its nodes; of the
// last attempt when it is 0. portal.ErrNotFound is for an attempt that never was.
func (s *Service) Logs(ctx context.Context, p portal.Principal, id portal.RunID, attempt int) (portal.RunFiles, error) {
	run, _, err := s.run(ctx, p, id)
	if err != nil {
		return portal.RunFiles{}, err
	}
	last := lastAttempt(run)
	switch {
	case attempt < 0 || attempt > last:
		return portal.RunFiles{}, portal.ErrNotFound
	case last == 0:
		return portal.RunFiles{}, nil
	case attempt == 0:
		attempt = last
	}
	files, err := s.logs(ctx, run, attempt, max(run.Spec.Nodes, 1))
	return portal.RunFiles{Files: files}, err
}

// allLogs are those of all attempts.
func (s *Service) allLogs(ctx context.Context, run portal.Run) ([]portal.RunFile, error) {
	var files []portal.RunFile
	for attempt := 1; attempt <= lastAttempt(run); attempt++ {
		some, err := s.logs(ctx, run, attempt, max(run.Spec.Nodes, 1))
		if err != nil {
			return nil, err
		}
		files = append(files, some...)
	}
	return files, nil
}

// logs asks the store which files there are: several questions for each node, because
// nothing may be listed. Those of a run that has ended are kept for a while.
func (s *Service) logs(ctx context.Context, run portal.Run, attempt, nodes int) ([]portal.RunFile, error) {
	g, err := s.grant(ctx, run)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	leave, err := s.queue(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	k := shelfKey{run.ID, attempt, nodes}
	if files, ok := s.lists.get(k, s.now()); ok && ended(run) {
		return files, nil
	}
	files, err := s.objects.Logs(ctx, g, attempt, nodes)
	if portal.KindOf(err) == portal.KindNotFound && err != nil {
		return nil, nil
	}
	if err == nil && ended(run) {
		s.lists.put(k, files, len(files)+1, s.now())
	}
	return files, err
}

// queue waits for a turn to ask the store.
func (s *Service) queue(ctx context.Context) (leave func(), err error) {
	select {
	case s.reads <- struct{}{}:
		return func() { <-s.reads }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sizeOf is about what points take in memory, in bytes.
func sizeOf(points []portal.RunPoint) int {
	size := 0
	for _, point := range points {
		size += 128
		for name := range point.Metrics {
			size += 48 + len(name)
		}
	}
	return size
}
