package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// hashLag is how many ranges may lie between the one that arrives and the one that
// is hashed: 1 GiB, so that what the hash reads back is still in memory.
const hashLag = 64

// fetchLarge brings a file in ranges to a part, verifies what lies on the volume,
// and moves it to its place. The buffer is the hash's; ranges have their own.
func (d *download) fetchLarge(ctx context.Context, it item, buffer []byte) error {
	name := part(it.number)
	f, err := d.volume.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return volumeFailure("write a file", err)
	}
	err = d.fetchRanges(ctx, it.entry, f, buffer)
	if errClose := f.Close(); err == nil {
		err = volumeFailure("write a file", errClose)
	}
	if err != nil {
		return err
	}
	return volumeFailure("move a file to its place", d.volume.keep(it))
}

func (d *download) fetchRanges(ctx context.Context, e objectkey.Entry, f *os.File, buffer []byte) error {
	if err := reserve(f, e.Size); err != nil {
		return volumeFailure("reserve room for a file", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	count := (e.Size + rangeSize - 1) / rangeSize
	arrived := make(chan int64, hashLag)
	var next atomic.Int64
	for range min(int64(d.Parallel.Ranges), count) {
		g.Go(func() error {
			own := make([]byte, bufferSize)
			for i := next.Add(1) - 1; i < count; i = next.Add(1) - 1 {
				if err := d.fetchRange(ctx, e, f, i*rangeSize, own); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case arrived <- i:
				}
			}
			return nil
		})
	}
	g.Go(func() error { return d.follow(ctx, e, f, arrived, buffer) })
	return g.Wait()
}

// maxUnclear is how often in a row the store may answer a range with something
// that is neither data nor one of its known errors. It does so when the object
// ends before the range (InvalidRange), which objectstore does not name.
const maxUnclear = 3

// fetchRange fetches the range that starts at offset. What has arrived before a
// fault is not fetched again.
func (d *download) fetchRange(ctx context.Context, e objectkey.Entry, f *os.File, offset int64, buffer []byte) error {
	end, unclear := min(offset+rangeSize, e.Size), 0
	return d.persist(ctx, func(ctx context.Context) error {
		t := transfer{key: objectkey.Data(d.prefix, e.Path), offset: offset, length: end - offset, buffer: buffer}
		err := d.receive(ctx, t, func(b []byte) error {
			if int64(len(b)) > end-offset {
				return errDiffers
			}
			n, err := f.WriteAt(b, offset)
			offset += int64(n)
			return volumeFailure("write a file", err)
		})
		if offset > t.offset {
			d.peer.answered()
			unclear = 0
		}
		switch {
		case err == nil && offset < end:
			return errDiffers // The object ends before the manifest says so.
		case offset == end && !final(err):
			return nil
		case err == nil || final(err) || errors.Is(err, errStalled) || errors.Is(err, objectstore.ErrUnavailable):
			unclear = 0
		default:
			unclear++
		}
		if unclear == maxUnclear {
			return errDiffers
		}
		return err
	})
}

// follow hashes the file in order, right behind the ranges that have arrived.
func (d *download) follow(
	ctx context.Context, e objectkey.Entry, f *os.File, arrived <-chan int64, buffer []byte,
) error {
	h := sha256.New()
	ahead := map[int64]bool{} // arrived, but not yet hashed
	for front := int64(0); front*rangeSize < e.Size; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case i := <-arrived:
			ahead[i] = true
		}
		for ; ahead[front]; front++ {
			delete(ahead, front)
			if err := readBack(h, f, front*rangeSize, min(e.Size, (front+1)*rangeSize), buffer); err != nil {
				return err
			}
		}
	}
	if !matches(h, e) {
		return errDiffers
	}
	return nil
}

func readBack(h hash.Hash, f *os.File, from, to int64, buffer []byte) error {
	n, err := io.CopyBuffer(h, readerOnly{io.NewSectionReader(f, from, to-from)}, buffer)
	if err == nil && n < to-from {
		err = io.ErrUnexpectedEOF
	}
	return volumeFailure("read a file back", err)
}
