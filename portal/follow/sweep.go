package follow

import (
	"context"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// page is how many rows are read at once.
const page = 200

// sweep looks for what the store holds and the cluster has no more, once after Synced.
func (f *Follower) sweep(ctx context.Context) {
	f.mutex.Lock()
	due := !f.sweepAt.IsZero() && !f.now().Before(f.sweepAt)
	f.mutex.Unlock()
	if !due {
		return
	}
	err := f.missDatasets(ctx)
	if err == nil {
		err = f.missRuns(ctx)
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if err == nil {
		f.sweepAt = time.Time{}
		return
	}
	if ctx.Err() == nil {
		f.log.WarnContext(ctx, "What is gone from the cluster could not be looked for; it is tried again", "cause", err.Error())
	}
	f.sweepAt = f.now().Add(f.options.Retry)
}

func (f *Follower) missDatasets(ctx context.Context) error {
	var after portal.DatasetID
	for {
		var rows []portal.Dataset
		err := f.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
			var err error
			rows, err = tx.LiveDatasets(ctx, after, page)
			return err
		})
		if err != nil {
			return fmt.Errorf("list the datasets: %w", err)
		}
		for _, d := range rows {
			if d.UID != "" {
				f.miss(key{aDataset, d.Namespace, d.ID.Object()}, d.UID)
			}
			after = d.ID
		}
		if len(rows) < page {
			return nil
		}
	}
}

func (f *Follower) missRuns(ctx context.Context) error {
	var after portal.RunID
	for {
		var rows []portal.Run
		err := f.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
			var err error
			rows, err = tx.LiveRuns(ctx, after, page)
			return err
		})
		if err != nil {
			return fmt.Errorf("list the runs: %w", err)
		}
		for _, r := range rows {
			if r.UID != "" {
				f.miss(key{aRun, r.Namespace, r.ID.Object()}, r.UID)
			}
			after = r.ID
		}
		if len(rows) < page {
			return nil
		}
	}
}

// miss takes something that is not in the cluster as gone.
func (f *Follower) miss(k key, uid string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.alive[k] == uid {
		return
	}
	if waiting, ok := f.tasks[k]; ok && waiting.sight.seen {
		return
	}
	if _, ok := f.fetching[k]; ok {
		return
	}
	f.tasks[k] = &task{sight: sight{seen: true, uid: uid, gone: true, missed: true}, due: f.now()}
}
