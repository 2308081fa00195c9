package agent

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// pick gives the checkpoint to store: the first that is wanted, in their order. The order
// is by age, or by step if every node writes. While the trainer runs, it must be settled.
func (p *shipper) pick(ctx context.Context, running bool, wanted func(candidate) bool) (candidate, error) {
	found, err := lookAround(p.ArtifactsDir)
	if err != nil {
		return candidate{}, err
	}
	p.caution(found)
	p.depart(found)
	if running {
		if found.candidates, err = p.settled(ctx, found.candidates); err != nil {
			return candidate{}, err
		}
	}
	var best candidate
	for _, c := range found.candidates {
		if p.unusable[c.print] || !wanted(c) {
			continue
		}
		if best.name == "" || p.EveryNode && c.step > best.step {
			best = c
		}
	}
	if best.name == "" {
		return best, errNothing
	}
	return best, nil
}

// settled gives those that are a moment later as they were.
func (p *shipper) settled(ctx context.Context, before []candidate) ([]candidate, error) {
	if len(before) == 0 {
		return nil, nil
	}
	known := map[fingerprint]bool{}
	for _, c := range before {
		known[c.print] = true
	}
	if err := sleep(ctx, p.Clock, settling); err != nil {
		return nil, err
	}
	found, err := lookAround(p.ArtifactsDir)
	return slices.DeleteFunc(found.candidates, func(c candidate) bool { return !known[c.print] }), err
}

// newer says whether a checkpoint is newer than the one in the store.
func (p *shipper) newer(c candidate) bool {
	switch {
	case c.name == p.stored.name && c.print == p.stored.print:
		return false
	case p.EveryNode:
		return c.step > 0 && c.step <= maxShipment && (p.restored || c.step > p.stored.step)
	case c.name == p.stored.name: // It was written again.
		return !c.modified.Before(p.stored.modified)
	}
	// Copies may have the same time: after the first of them none is newer.
	return newestFirst(c, p.stored) < 0
}

// caution says once that there are checkpoints which are not stored.
func (p *shipper) caution(found findings) {
	if p.warned {
		return
	}
	stepless := 0
	for _, c := range found.candidates {
		if p.EveryNode && (c.step == 0 || c.step > maxShipment) {
			stepless++
		}
	}
	if found.unusable > 0 {
		p.warned = true
		p.Log.Warn("Checkpoints that can not be read, or have more than "+strconv.Itoa(maxCheckpointFiles)+
			" files, are not stored", "count", found.unusable)
	}
	if stepless > 0 {
		p.warned = true
		p.Log.Warn("Where every node writes checkpoints, their names must end with the step, from 1 to 999999; "+
			"others are not stored", "count", stepless)
	}
}

// claim takes a name that nobody has taken before, also no stager that was killed.
func (p *shipper) claim(ctx context.Context, place *session) (string, error) {
	p.number = max(p.number, lastNumber(p.newest, p.Attempt))
	for p.number < maxShipment {
		p.number++
		id := objectkey.CheckpointID(p.Attempt, p.number)
		err := place.putSmall(ctx, objectkey.CheckpointClaimKey(place.prefix, id), nil, objectstore.PutOptions{IfAbsent: true})
		if !errors.Is(err, objectstore.ErrPrecondition) {
			return id, err
		}
	}
	return "", fail(staging.ExitIOError, nil, "There are too many checkpoints.")
}

// lastNumber gives the number in the name of a checkpoint of this attempt; 0 for others.
func lastNumber(id string, attempt int) int {
	const digits = len("0000-")
	if !objectkey.ValidCheckpointID(id) {
		return 0
	}
	n, err := strconv.Atoi(id[digits:])
	if err != nil || objectkey.CheckpointID(attempt, n) != id {
		return 0
	}
	return n
}
