package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// buffers are the ranges of large files that may be in memory at once, of all files
// together. They are made when they are first needed.
type buffers chan []byte

func newBuffers() buffers {
	b := make(buffers, rangeBuffers)
	for range rangeBuffers {
		b <- nil
	}
	return b
}

func (b buffers) take(ctx context.Context) ([]byte, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case buffer := <-b:
		if buffer == nil {
			buffer = aligned(rangeSize)
		}
		return buffer, nil
	}
}

// aligned makes a buffer that begins at the start of a block, as direct writes demand.
func aligned(size int) []byte {
	all := make([]byte, size+blockSize)
	start := int(-uintptr(unsafe.Pointer(unsafe.SliceData(all))) % blockSize) //nolint:gosec // G103: only looked at.
	return all[start : start+size : start+size]
}

func (b buffers) give(buffer []byte) { b <- buffer[:cap(buffer)] }

// assembly puts a large file together from ranges.
type assembly struct {
	*download
	it   item
	file *os.File
	// direct is the same file for writes past the page cache; nil if there are none.
	direct *os.File
	// kept are the ranges that an earlier try may have left.
	kept map[int64]bool
	next atomic.Int64
	// arrived has room for all buffers, so that nobody waits for the hash.
	arrived chan piece
}

// piece is a range in memory.
type piece struct {
	index  int64
	data   []byte
	hashed chan struct{} // closed then
}

// fetchLarge brings a file in ranges to a part, verifies it, and moves it to its
// place. What an earlier try has left of it is read instead, once.
func (d *download) fetchLarge(ctx context.Context, it item, _ []byte) error {
	kept := d.journal.take(it.number)
	flags := os.O_RDWR | os.O_CREATE
	if len(kept) == 0 {
		flags |= os.O_TRUNC
	}
	f, err := d.volume.root.OpenFile(part(it.number), flags, fileMode)
	if err != nil {
		return volumeFailure("write a file", err)
	}
	a := &assembly{download: d, it: it, file: f, kept: kept, arrived: make(chan piece, rangeBuffers)}
	err = a.run(ctx)
	if errClose := f.Close(); err == nil {
		err = volumeFailure("write a file", errClose)
	}
	if err != nil {
		return err
	}
	return volumeFailure("move a file to its place", d.volume.keep(it))
}

func (a *assembly) run(ctx context.Context) error {
	err := a.file.Truncate(a.it.entry.Size) // What was left may be longer.
	if err == nil {
		err = reserve(a.file, a.it.entry.Size)
	}
	if err != nil {
		return volumeFailure("reserve room for a file", err)
	}
	if a.direct = openDirect(a.volume.root, part(a.it.number)); a.direct != nil {
		defer func() { _ = a.direct.Close() }() // Nothing is buffered of direct writes.
	}
	g, ctx := errgroup.WithContext(ctx)
	workers := int(min(int64(a.Parallel.Ranges), a.count()))
	used := make(chan []byte, workers) // what is hashed perhaps until all have ended
	for range workers {
		g.Go(func() error {
			buffer, err := a.work(ctx)
			if buffer != nil {
				used <- buffer
			}
			return err
		})
	}
	g.Go(func() error { return a.follow(ctx) })
	err = g.Wait()
	close(used)
	for buffer := range used {
		a.buffers.give(buffer)
	}
	return err
}

func (a *assembly) count() int64 { return (a.it.entry.Size + rangeSize - 1) / rangeSize }

// work brings ranges until none is left: it writes each to the volume while that waits
// for its turn to be hashed. A buffer is taken before a range, so that the first of all
// ranges that are not hashed yet always has one. After an error it gives the buffer that
// is perhaps still hashed; nil for none.
func (a *assembly) work(ctx context.Context) ([]byte, error) {
	for {
		buffer, err := a.buffers.take(ctx)
		if err != nil {
			return nil, err
		}
		index := a.next.Add(1) - 1
		if index >= a.count() {
			a.buffers.give(buffer)
			return nil, nil
		}
		data := buffer[:min(rangeSize, a.it.entry.Size-index*rangeSize)]
		if err := a.bring(ctx, piece{index, data, make(chan struct{})}); err != nil {
			return buffer, err
		}
		a.buffers.give(buffer)
	}
}

// bring gets a range into memory, has it hashed, writes it to the volume, and notes
// that in the journal.
func (a *assembly) bring(ctx context.Context, p piece) error {
	offset, there := p.index*rangeSize, false
	if a.kept[p.index] {
		n, _ := a.file.ReadAt(p.data, offset)
		there = n == len(p.data) // The hash will tell whether it is what it should be.
	}
	if !there {
		if err := a.fetchRange(ctx, offset, p.data); err != nil {
			return err
		}
	}
	a.arrived <- p
	if !there {
		if err := a.write(p.data, offset); err != nil {
			return volumeFailure("write a file", err)
		}
		if err := a.journal.add(claim{number: a.it.number, index: p.index}); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.hashed:
		return nil
	}
}

// write writes whole blocks past the page cache where that can be done.
func (a *assembly) write(data []byte, offset int64) error {
	blocks := len(data) / blockSize * blockSize
	if a.direct == nil {
		blocks = 0
	}
	if blocks > 0 {
		_, err := a.direct.WriteAt(data[:blocks], offset)
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) { // Its blocks may be larger.
			blocks, err = 0, nil
		}
		if err != nil {
			return err
		}
	}
	if blocks == len(data) {
		return nil
	}
	_, err := a.file.WriteAt(data[blocks:], offset+int64(blocks))
	return err
}

// maxUnclear is how often in a row the store may answer a range with something
// that is neither data nor one of its known errors. It does so when the object
// ends before the range (InvalidRange), which objectstore does not name.
const maxUnclear = 3

// fetchRange fetches the range that starts at offset and fills data. What has arrived
// before a fault is not fetched again.
func (a *assembly) fetchRange(ctx context.Context, offset int64, data []byte) error {
	got, unclear := 0, 0
	return a.persist(ctx, func(ctx context.Context) error {
		before := got
		t := transfer{
			key: objectkey.Data(a.prefix, a.it.entry.Path), offset: offset + int64(got), length: int64(len(data) - got),
			buffer: data[got:],
		}
		err := a.receive(ctx, t, func(b []byte) error {
			if len(b) > len(data)-got {
				return errDiffers // It is longer than was asked for.
			}
			got += len(b)
			return nil
		})
		if got > before {
			a.peer.answered()
			unclear = 0
		}
		switch {
		case err == nil && got < len(data):
			return errDiffers // The object ends before the manifest says so.
		case got == len(data) && !final(err):
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
func (a *assembly) follow(ctx context.Context) error {
	h := sha256.New()
	ahead := map[int64]piece{} // arrived, but not yet hashed
	for front := int64(0); front < a.count(); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p := <-a.arrived:
			ahead[p.index] = p
		}
		for p, there := ahead[front]; there; p, there = ahead[front] {
			_, _ = h.Write(p.data) // Never fails.
			close(p.hashed)
			delete(ahead, front)
			front++
		}
	}
	return expect(h, a.it.entry)
}

func expect(h hash.Hash, e objectkey.Entry) error {
	if !matches(h, e) {
		return errDiffers
	}
	return nil
}
