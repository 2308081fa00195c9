package follow

import (
	"context"
)

// fetchers is how many receipts are asked for at once. A broker that hangs holds up these,
// and nothing else.
const fetchers = 4

// answer is what came of asking for a receipt.
type answer struct {
	envelope []byte
	err      error
}

// wanting is the error of a sight that can't be written before a receipt was asked for.
type wanting struct{ namespace, uid string }

// Error implements error.
func (wanting) Error() string { return "the receipt was not asked for yet" }

// job is a sight that waits for the answer.
type job struct {
	key  key
	want wanting
	task task
}

// fetch has a receipt asked for, after which the sight is written.
func (f *Follower) fetch(ctx context.Context, j job) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if under, ok := f.fetching[j.key]; ok && under.want == j.want {
		// It is being asked for already: what was seen since is written with it.
		if max(j.task.sight.dataset.Version, j.task.sight.run.Version) > max(under.task.sight.dataset.Version, under.task.sight.run.Version) {
			under.task.sight = j.task.sight
		}
		return
	}
	f.fetching[j.key] = &j
	f.jobs = append(f.jobs, &j)
	if f.busy < fetchers {
		f.busy++
		f.workers.Go(func() { f.fetchAll(ctx) })
	}
}

// fetchAll asks until nothing is left to ask.
func (f *Follower) fetchAll(ctx context.Context) {
	for {
		j, ok := f.nextJob(ctx)
		if !ok {
			return
		}
		envelope, err := f.receipts.Receipt(ctx, j.want.namespace, j.want.uid)
		f.answered(j, answer{envelope, err})
	}
}

func (f *Follower) nextJob(ctx context.Context) (*job, bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for ctx.Err() == nil && len(f.jobs) > 0 {
		j := f.jobs[0]
		f.jobs = f.jobs[1:]
		if f.fetching[j.key] == j {
			return j, true
		}
	}
	f.busy--
	return nil, false
}

// answered has the sight written, unless the object has turned up again meanwhile.
func (f *Follower) answered(j *job, a answer) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.fetching[j.key] != j {
		return
	}
	delete(f.fetching, j.key)
	if _, newer := f.tasks[j.key]; newer {
		return // It asks again.
	}
	j.task.sight.answer, j.task.due = &a, f.now()
	f.tasks[j.key] = &j.task
	f.kickLocked()
}
