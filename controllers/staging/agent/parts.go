package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// partsPause lies between two looks for what other nodes have stored or want.
	partsPause = 2 * time.Second
	// partsPatience is how long the first node waits for the parts of the others, at
	// least, while the trainer runs, and at most after its end.
	partsPatience = 2 * time.Minute
	// farewell is how long another node waits after its trainer's end for what the first
	// may still want.
	farewell = 30 * time.Second
	// maxWanted bounds what the first node writes, in bytes.
	maxWanted = 256
)

// wanted is what the first node asks the others for, where every node writes.
type wanted struct {
	Step int64 `json:"step"`
	// Final says that nothing will follow.
	Final bool `json:"final,omitempty"`
}

func (w wanted) encode() []byte {
	data, _ := json.Marshal(w) // Never fails: it is two plain values.
	return data
}

// gather stores the first node's part and waits for those of the others.
func (p *shipper) gather(
	ctx context.Context, place *session, id string, c candidate,
) ([]objectkey.CheckpointPartRecord, error) {
	ask := wanted{Step: c.step, Final: p.over()}
	if err := p.ask(ctx, place, ask); err != nil {
		return nil, err
	}
	own, err := p.ownPart(ctx, place, id, c)
	if err != nil {
		return nil, err
	}
	parts := make([]objectkey.CheckpointPartRecord, max(p.Node.Count, 1))
	parts[0] = own
	for started := p.Clock.Now(); ; {
		missing := lookForParts(ctx, place, id, parts)
		switch {
		case missing == 0:
			return parts, nil
		case p.Clock.Since(started) >= p.patience():
			return nil, fail(staging.ExitUnavailable, nil, "The parts of %d of %d nodes are missing.", missing, len(parts))
		case p.over() && !ask.Final:
			ask.Final, started = true, p.Clock.Now()
			err = p.ask(ctx, place, ask)
		default:
			err = sleep(ctx, p.Clock, partsPause)
		}
		if err != nil {
			return nil, err
		}
	}
}

// lookForParts fills in the parts of other nodes that are stored and gives how many are
// still missing.
func lookForParts(ctx context.Context, place *session, id string, parts []objectkey.CheckpointPartRecord) (missing int) {
	for node := 1; node < len(parts); node++ {
		if parts[node].Node == node {
			continue
		}
		part, err := stored(ctx, place, id, node)
		if err != nil {
			missing++
			continue
		}
		parts[node] = part
	}
	return missing
}

// patience is how long the parts of other nodes are waited for.
func (p *shipper) patience() time.Duration {
	if p.over() {
		return partsPatience
	}
	return max(p.Interval, partsPatience)
}

// ask tells the other nodes which step is to be stored.
func (p *shipper) ask(ctx context.Context, place *session, what wanted) error {
	return place.putSmall(ctx, objectkey.CheckpointWantedKey(place.prefix, p.Attempt), what.encode(), objectstore.PutOptions{})
}

// dismiss tells the other nodes that nothing more is wanted of them.
func (p *shipper) dismiss(ctx context.Context) {
	place, err := p.place(ctx)
	if err == nil {
		err = p.ask(ctx, place, wanted{Step: p.stored.step, Final: true})
	}
	if err != nil {
		p.Log.Warn("The other nodes can not be told that no checkpoint follows", "cause", Cause(err))
	}
}

// ownPart stores this node's part of a checkpoint, unless it is there: its name is that of
// the step, so a part that is complete is never written again.
func (p *shipper) ownPart(
	ctx context.Context, place *session, id string, c candidate,
) (objectkey.CheckpointPartRecord, error) {
	var part objectkey.CheckpointPartRecord
	err := place.peer.try(ctx, func(ctx context.Context) error {
		var err error
		part, err = stored(ctx, place, id, p.Node.Index)
		return err
	})
	if err == nil || !refusedAsAbsent(err) {
		return part, err
	}
	return p.part(ctx, place, id, c)
}

// stored sums up the part of a node that is complete in the store.
func stored(ctx context.Context, place *session, id string, node int) (objectkey.CheckpointPartRecord, error) {
	part := objectkey.CheckpointPartRecord{Node: node}
	ctx, watch := place.watch(ctx)
	defer watch.stop()
	key := objectkey.Manifest(objectkey.CheckpointPart(place.prefix, id, node))
	body, err := place.store.Get(ctx, place.bucket, key, 0, -1)
	if err != nil {
		return part, watch.explain(ctx, err)
	}
	defer func() { _ = body.Close() }() // An early end was reported by Read.
	sum, err := objectkey.ReadManifest(watched{body, watch}, func(objectkey.Entry) error { return nil })
	if err != nil {
		return part, watch.explain(ctx, err)
	}
	part.ManifestDigest, part.Objects, part.Bytes = sum.Digest, sum.Objects, sum.Bytes
	return part, nil
}

// watched is a body whose reads show that the transfer moves.
type watched struct {
	io.Reader
	watch *watchdog
}

// Read reads and notes that something moved.
func (w watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.watch.alive()
	return n, err
}

// follow stores this node's part of each checkpoint that the first node wants, until the
// trainer has ended.
func (p *shipper) follow(ctx context.Context) {
	for !p.over() {
		if want, ok := p.read(ctx); ok && want.Step != p.stored.step {
			p.supply(ctx, want.Step, true)
		}
		pause := lookPause
		if p.hurried() {
			if found, err := lookAround(p.ArtifactsDir); err == nil {
				p.depart(found)
			}
			pause = p.hurry().Sub(p.Clock.Now())
		}
		if !p.rest(ctx, pause) {
			return
		}
	}
}

// read asks what the first node wants.
func (p *shipper) read(ctx context.Context) (wanted, bool) {
	var want wanted
	place, err := p.place(ctx)
	if err != nil {
		return want, false
	}
	data, err := place.getSmall(ctx, objectkey.CheckpointWantedKey(place.prefix, p.Attempt), maxWanted)
	if err != nil || json.Unmarshal(data, &want) != nil {
		return wanted{}, false
	}
	return want, want.Final || want.Step > 0 && want.Step <= maxShipment
}

// supply stores this node's part of the checkpoint at a step, if it is there.
func (p *shipper) supply(ctx context.Context, step int64, running bool) {
	if step < 1 || step > maxShipment {
		return // The first node has stored none, and says only that nothing follows.
	}
	c, err := p.pick(ctx, running, func(c candidate) bool { return c.step == step })
	if err == nil {
		err = p.put(ctx, c)
	}
	switch {
	case err == nil:
		p.keep(c)
	case errors.Is(err, errNothing), errors.Is(err, errContentChanged), ctx.Err() != nil:
	case p.remember(c, err):
	default:
		p.Log.Warn("The part of a checkpoint was not stored", "cause", Cause(err))
	}
}

func (p *shipper) put(ctx context.Context, c candidate) error {
	place, err := p.place(ctx)
	if err != nil {
		return err
	}
	id := objectkey.CheckpointID(p.Attempt, int(c.step))
	part, err := p.ownPart(ctx, place, id, c)
	if err == nil {
		p.Log.Info("The part of a checkpoint is stored", "checkpoint", id, "files", part.Objects, "bytes", part.Bytes)
	}
	return err
}

// finishPart stores this node's part of its last checkpoint, which the first node wants
// next if it comes as far, and then waits a while for what else it may want.
func (p *shipper) finishPart(ctx context.Context) {
	if c, err := p.pick(ctx, false, p.newer); err == nil {
		p.supply(ctx, c.step, false)
	}
	until := p.Clock.Now().Add(farewell)
	for p.Clock.Now().Before(until) {
		want, ok := p.read(ctx)
		if ok && want.Step != p.stored.step {
			p.supply(ctx, want.Step, false)
		}
		if ok && want.Final || sleep(ctx, p.Clock, partsPause) != nil {
			return
		}
	}
}
