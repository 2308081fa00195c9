package receipts

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// maxSequence bounds the search in a store that says yes to everything.
const maxSequence = 1 << 50

// findLast makes b.last the end of the chain, unless it is as far as anybody knows.
func (b *Book) findLast(ctx context.Context) error {
	if b.last.current {
		return nil
	}
	sequence, err := b.search(ctx, b.last.sequence)
	if err != nil {
		return fmt.Errorf("find the end of the receipts' chain: %w", err)
	}
	if sequence == b.last.sequence {
		b.last.current = true
		return nil
	}
	r, data, err := b.read(ctx, objectkey.ReceiptInChain(sequence))
	if err != nil {
		return fmt.Errorf("read receipt %d of the chain: %w", sequence, err)
	}
	if r.Sequence != sequence {
		return fmt.Errorf("read receipt %d of the chain: %w: it is another one's", sequence, erasure.ErrRefused)
	}
	b.last = link{sequence: sequence, digest: objectkey.Digest(data), current: true, receipt: r, data: data}
	return nil
}

// search gives the last place that is taken. The place low is, or is 0; the chain has
// no gaps, so it ends between a place that is taken and one that is free.
func (b *Book) search(ctx context.Context, low int64) (int64, error) {
	high := low + 1
	for {
		taken, err := b.taken(ctx, high)
		if err != nil {
			return 0, err
		}
		if !taken {
			break
		}
		if high > maxSequence {
			return 0, fmt.Errorf("%w: it has none", erasure.ErrRefused)
		}
		low, high = high, high+2*(high-low)
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		taken, err := b.taken(ctx, middle)
		if err != nil {
			return 0, err
		}
		if taken {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

func (b *Book) taken(ctx context.Context, sequence int64) (bool, error) {
	body, err := b.opts.Store.Get(ctx, b.opts.Bucket, objectkey.ReceiptInChain(sequence), 0, 0)
	switch {
	case err == nil:
		return true, body.Close()
	case errors.Is(err, objectstore.ErrNotFound):
		return false, nil
	}
	return false, err
}
