package agent

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// settling is how long a checkpoint must not have changed while the trainer runs.
	settling = 2 * time.Second
	// quietAfter is how long a trainer that was asked to stop, and has written a
	// checkpoint since, must have done nothing to count as ended.
	quietAfter = time.Minute
	// maxShipment is the greatest number in the name of a checkpoint.
	maxShipment = 999_999
	// changes is how often a checkpoint may change at the end.
	changes = 3
	// refusals is how many checkpoints are remembered that can not be stored.
	refusals = 64
)

// errNothing says that there is no checkpoint to store.
var errNothing = errors.New("no new checkpoint")

// shipper stores the trainer's checkpoints. Nothing that goes wrong with it is a failure
// of the run.
type shipper struct {
	*work
	// stored is the newest checkpoint that is in the store as it is in the folder;
	// restored, if it is the one that the run began with.
	stored   candidate
	restored bool
	// unusable are those that can never be stored as they are.
	unusable map[fingerprint]bool
	// number of the last one that was stored by this node alone.
	number int
	// pending is in the store, but the broker has not taken note yet.
	pending  *staging.CheckpointRequest
	awaiting fingerprint
	// before are the checkpoints that were there when the pod was told to stop; nil until
	// then. parted says that a later one is in the store.
	before map[fingerprint]bool
	parted bool
	warned bool
}

func newShipper(w *work) *shipper {
	p := &shipper{work: w, unusable: map[fingerprint]bool{}}
	if root, err := openCheckpoints(w.ArtifactsDir); err == nil {
		if note, ok := readRestored(root); ok {
			p.stored, p.restored = candidate{name: note.Name, print: note.Print}, true
		}
		_ = root.Close() // Nothing is buffered in a folder's handle.
	}
	return p
}

// idle says that this node stores no checkpoints.
func (p *shipper) idle() bool { return p.Node.Index > 0 && !p.EveryNode }

// run stores a checkpoint at each interval, and as soon as the pod is told to stop, until
// the trainer has ended.
func (p *shipper) run(ctx context.Context) {
	switch {
	case p.idle():
		return
	case p.Node.Index > 0:
		p.follow(ctx)
		return
	}
	due := p.after(p.Clock.Now())
	for p.until(ctx, due) {
		started := p.Clock.Now()
		err := p.ship(ctx, true)
		switch {
		case err == nil:
			due = p.after(started)
		case errors.Is(err, errNothing), errors.Is(err, errContentChanged):
			due = started.Add(lookPause)
		case ctx.Err() != nil:
			return
		default:
			p.Log.Warn("A checkpoint was not stored; the next try is after the interval", "cause", Cause(err))
			due = p.after(started)
		}
		if p.hurried() {
			due = p.hurry()
		}
	}
}

// after gives the time of the next checkpoint after one.
func (p *shipper) after(started time.Time) time.Time {
	if p.Interval <= 0 {
		return started.Add(stageOutPatience)
	}
	return started.Add(p.Interval)
}

// until waits for a time, or that the pod is told to stop. It reports false when the
// trainer has ended.
func (p *shipper) until(ctx context.Context, due time.Time) bool {
	hurried := p.hurried()
	for !p.over() {
		wait := due.Sub(p.Clock.Now())
		if wait <= 0 || p.hurried() && !hurried {
			return ctx.Err() == nil
		}
		if !p.rest(ctx, wait) {
			return false
		}
	}
	return false
}

// hurry gives the time of the next try while the pod is being stopped, and ends the wait
// for the trainer if it has written a last checkpoint and does nothing more.
func (p *shipper) hurry() time.Time {
	now := p.Clock.Now()
	if p.parted && p.activity.idle(now) >= quietAfter {
		p.leave()
	}
	return now.Add(hurriedPause)
}

// depart notes what is there when the pod is told to stop.
func (p *shipper) depart(found findings) {
	if p.before != nil || !p.hurried() {
		return
	}
	p.before = map[fingerprint]bool{}
	for _, c := range found.candidates {
		p.before[c.print] = true
	}
}

// keep notes that a checkpoint is in the store.
func (p *shipper) keep(c candidate) {
	p.stored, p.restored = c, false
	if p.before != nil && !p.before[c.print] {
		p.parted = true
		p.activity.seen(p.Clock.Now())
	}
}

// finish stores the last checkpoint after the trainer's end.
func (p *shipper) finish(ctx context.Context) {
	if p.idle() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lastCheckpoint)
	defer cancel()
	if p.Node.Index > 0 {
		p.finishPart(ctx)
		return
	}
	var err error
	for try := 0; try < changes; try++ {
		if err = p.ship(ctx, false); !errors.Is(err, errContentChanged) {
			break
		}
	}
	if err != nil && !errors.Is(err, errNothing) {
		p.Log.Warn("The last checkpoint was not stored; what came after the one before it is lost", "cause", Cause(err))
	}
	if p.EveryNode && errors.Is(err, errNothing) {
		p.dismiss(ctx)
	}
}

// ship stores the newest checkpoint, if there is one. While the trainer runs, it must not
// have changed for a while.
func (p *shipper) ship(ctx context.Context, running bool) error {
	c, err := p.pick(ctx, running, p.newer)
	if err != nil {
		return err
	}
	if p.pending == nil || p.awaiting != c.print {
		if p.pending, err = p.store(ctx, c); err != nil {
			p.pending = nil
			if p.remember(c, err) {
				return errContentChanged // Another one may do.
			}
			return err
		}
		p.awaiting = c.print
	}
	if err := p.tell(ctx, *p.pending); err != nil {
		return err
	}
	p.pending = nil
	p.keep(c)
	return nil
}

// remember keeps a checkpoint that can not be stored as it is from being tried again. It
// reports whether it is one.
func (p *shipper) remember(c candidate, err error) bool {
	var failure *Failure
	if !errors.As(err, &failure) || failure.Exit != staging.ExitIOError || errors.Is(err, errContentChanged) {
		return false
	}
	if len(p.unusable) >= refusals {
		clear(p.unusable)
	}
	p.unusable[c.print] = true
	p.Log.Warn("A checkpoint can not be stored as it is", "cause", Cause(err))
	return true
}

// store puts a checkpoint into the store and gives what the broker is to know of it.
func (p *shipper) store(ctx context.Context, c candidate) (*staging.CheckpointRequest, error) {
	started := p.Clock.Now()
	place, err := p.place(ctx)
	if err != nil {
		return nil, err
	}
	record := objectkey.CheckpointRecord{Step: c.step}
	if p.EveryNode {
		record.ID = objectkey.CheckpointID(p.Attempt, int(c.step))
		record.Parts, err = p.gather(ctx, place, record.ID, c)
	} else if record.ID, err = p.claim(ctx, place); err == nil {
		record.Parts = make([]objectkey.CheckpointPartRecord, 1)
		record.Parts[0], err = p.part(ctx, place, record.ID, c)
	}
	if err != nil {
		return nil, err
	}
	record.Time = p.Clock.Now()
	request, err := p.complete(ctx, place, record)
	if err != nil {
		return nil, err
	}
	p.Log.Info("A checkpoint is stored", "checkpoint", request.ID, "stepOfTraining", c.step, "files", request.Objects,
		"bytes", request.Bytes, "seconds", p.Clock.Since(started).Seconds())
	return request, nil
}

// part uploads this node's part, if it stays as it is meanwhile.
func (p *shipper) part(
	ctx context.Context, place *session, id string, c candidate,
) (objectkey.CheckpointPartRecord, error) {
	part := objectkey.CheckpointPartRecord{Node: p.Node.Index}
	files, err := collectCheckpoint(p.ArtifactsDir, c.name)
	if err != nil {
		return part, err
	}
	defer files.close()
	same := func() error {
		if now, err := printOf(files.root, c.name); err != nil || now != c.print {
			return errContentChanged
		}
		return nil
	}
	u := &upload{session: place.at(objectkey.CheckpointPart(place.prefix, id, p.Node.Index)), files: files, verify: same}
	sum, err := u.run(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		err = errContentChanged // The trainer has removed it.
	}
	part.ManifestDigest, part.Objects, part.Bytes = sum.Digest, sum.Objects, sum.Bytes
	return part, err
}

// complete writes the record, which makes the checkpoint one. Where every node writes,
// there may be one already, from before this stager was started again; that one holds.
func (p *shipper) complete(
	ctx context.Context, place *session, record objectkey.CheckpointRecord,
) (*staging.CheckpointRequest, error) {
	data, digest, err := record.Encode()
	if err != nil {
		return nil, err
	}
	key := objectkey.CheckpointRecordKey(place.prefix, record.ID)
	err = place.putSmall(ctx, key, data, objectstore.PutOptions{IfAbsent: p.EveryNode, ContentType: "application/json"})
	if errors.Is(err, objectstore.ErrPrecondition) {
		err = place.persist(ctx, func(ctx context.Context) error {
			var err error
			data, err = place.getSmall(ctx, key, objectkey.MaxCheckpointRecord)
			return err
		})
		digest = objectkey.Digest(data)
	}
	if err != nil {
		return nil, err
	}
	objects, bytes := record.Size()
	return &staging.CheckpointRequest{ID: record.ID, Digest: digest, Step: record.Step, Objects: objects, Bytes: bytes}, nil
}

// tell lets the broker take note.
func (p *shipper) tell(ctx context.Context, request staging.CheckpointRequest) error {
	return p.session.grants.peer.try(ctx, func(ctx context.Context) error {
		if err := p.Broker.Checkpoint(ctx, request); err != nil {
			return brokerFailure(ctx, err)
		}
		return nil
	})
}
