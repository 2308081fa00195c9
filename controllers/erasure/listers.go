package erasure

import (
	"context"
	"sort"
	"sync"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const (
	// maxListers list at once. Each holds a page of the listing and a batch.
	maxListers = 4
	// minPages are listed of a part before it is worth the requests to divide it.
	minPages = 4
)

// listers go through all versions under a prefix, each through a part of the keys.
// It begins with one for all; when whoever takes the batches is hungry, the keys that
// are left to a lister are divided. How they are divided is a guess from the keys
// that were listed: it decides how even the parts are, never what belongs to them.
type listers struct {
	store  Remover
	target Target
	scope  scope
	// take gets each batch, from several listers at once, and says whether it would
	// rather not wait for the next.
	take func([]objectstore.Version) (hungry bool)
	// fail gets what keeps a part from being listed to its end.
	fail  func(error)
	slots chan struct{}
	group sync.WaitGroup
}

// run ends when all is listed or has failed.
func (l *listers) run(ctx context.Context) {
	l.slots <- struct{}{}
	l.start(ctx, l.scope.within)
	l.group.Wait()
}

// start lists a span by a lister whose slot is taken already.
func (l *listers) start(ctx context.Context, s span) {
	l.group.Go(func() {
		defer func() { <-l.slots }()
		l.walk(ctx, s)
	})
}

func (l *listers) walk(ctx context.Context, s span) {
	var cut cutter
	patience := patience{wait: minPages}
	for v, err := range l.store.ListVersionsFrom(ctx, l.target.Bucket, l.scope.prefix, s.after) {
		if err := l.target.listed(v.Key, err); err != nil {
			l.fail(err)
			return
		}
		if !s.holds(v.Key) {
			break
		}
		if !l.scope.has(v.Key) {
			continue
		}
		batch := cut.add(v)
		if batch == nil || !l.take(batch) || !patience.over() {
			continue
		}
		patience.learn(l.share(ctx, &s, batch[0].Key, v.Key))
	}
	if len(cut.batch) > 0 {
		l.take(cut.batch)
	}
}

// share gives the upper part of a span, of which the keys from first to last were
// listed, to another lister if one is free. It reports whether to ask again soon.
func (l *listers) share(ctx context.Context, s *span, first, last string) bool {
	select {
	case l.slots <- struct{}{}:
	default:
		return true // All are at work.
	}
	key, ok := l.divide(ctx, s, first, last)
	if !ok {
		<-l.slots
		return false
	}
	l.start(ctx, span{after: key, through: s.through, end: s.end})
	s.through, s.end = key, key
	return true
}

// divide looks for the key after which about half of what is left may lie. The
// guesses are in descending order, so the first after which there is something is
// the one, and those before it tell where the keys end.
func (l *listers) divide(ctx context.Context, s *span, first, last string) (string, bool) {
	guesses := s.guesses(l.scope.prefix, first, last)
	i := sort.Search(len(guesses), func(i int) bool {
		return l.any(ctx, span{after: guesses[i], through: s.through})
	})
	if i > 0 {
		s.end = guesses[i-1]
	}
	if i == len(guesses) {
		return "", false
	}
	return guesses[i], true
}

// any reports whether there is something in a span. An error says no: then the
// span is listed by whoever has it now, who finds out.
func (l *listers) any(ctx context.Context, s span) bool {
	for v, err := range l.store.ListVersionsFrom(ctx, l.target.Bucket, l.scope.prefix, s.after) {
		return err == nil && s.holds(v.Key)
	}
	return false
}

// patience is how long a lister waits after a search that found nothing: twice as
// many batches each time.
type patience struct{ wait, next int }

func (p *patience) over() bool {
	if p.wait > 0 {
		p.wait--
		return false
	}
	return true
}

func (p *patience) learn(found bool) {
	if found {
		p.next = 0
		return
	}
	p.next = max(minPages, 2*p.next)
	p.wait = p.next
}

// cutter cuts a listing into requests. All versions of a key go into one batch where
// they fit, because the store then rewrites the key once.
type cutter struct {
	batch []objectstore.Version
	start int // of the last key's versions
}

// add takes the next version, and gives a batch if there is one that is complete.
func (c *cutter) add(v objectstore.Version) (full []objectstore.Version) {
	sameKey := len(c.batch) > 0 && c.batch[len(c.batch)-1].Key == v.Key
	if len(c.batch) == batchSize {
		cut := batchSize
		if sameKey && c.start > 0 {
			cut = c.start
		}
		full = c.batch[:cut]
		c.batch = append(make([]objectstore.Version, 0, batchSize), c.batch[cut:]...)
		c.start = 0
	}
	if !sameKey {
		c.start = len(c.batch)
	}
	c.batch = append(c.batch, v)
	return full
}
