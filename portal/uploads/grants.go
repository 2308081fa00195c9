package uploads

import (
	"context"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// grants keeps each dataset's grant for half of its life: what is signed with it is then
// good for the other half at least, and the broker is not asked for every part.
type grants struct {
	broker Broker
	now    func() time.Time
	turns  turns

	mu   sync.Mutex
	kept map[portal.DatasetID]portal.Grant
}

func newGrants(broker Broker, now func() time.Time) *grants {
	return &grants{broker: broker, now: now, kept: map[portal.DatasetID]portal.Grant{}}
}

// of gives a grant for the dataset. Many who ask at once wait for one answer.
func (g *grants) of(ctx context.Context, d portal.Dataset) (portal.Grant, error) {
	done, err := g.turns.take(ctx, string(d.ID))
	if err != nil {
		return portal.Grant{}, err
	}
	defer done()
	if kept, ok := g.fresh(d.ID); ok {
		return kept, nil
	}
	given, err := g.broker.UploadGrant(ctx, d.Namespace, d.ID.Object())
	if err != nil {
		return portal.Grant{}, err
	}
	g.keep(d.ID, given)
	return given, nil
}

// fresh gives a grant that is not yet half over.
func (g *grants) fresh(id portal.DatasetID) (portal.Grant, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	kept, ok := g.kept[id]
	return kept, ok && g.now().Before(kept.IssuedAt.Add(kept.ExpiresAt.Sub(kept.IssuedAt)/2))
}

// keep keeps it, and forgets those that are over.
func (g *grants) keep(id portal.DatasetID, given portal.Grant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for other, grant := range g.kept {
		if !g.now().Before(grant.ExpiresAt) {
			delete(g.kept, other)
		}
	}
	g.kept[id] = given
}

// drop forgets a dataset's grant.
func (g *grants) drop(id portal.DatasetID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.kept, id)
}
