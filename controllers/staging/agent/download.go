package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

var (
	errStalled = fmt.Errorf("no data for %s", stallTimeout)
	errShort   = errors.New("the transfer ended early")
)

// item is one entry of the manifest with its number, from 1.
type item struct {
	number int64
	entry  objectkey.Entry
}

// download brings the files of one verified manifest to the volume.
type download struct {
	*session
	volume   *volume
	manifest manifest
	journal  *journal
	buffers  buffers
	progress atomic.Int64 // bytes of files that are complete
}

func newDownload(s *session, v *volume, m manifest) *download {
	return &download{session: s, volume: v, manifest: m, buffers: newBuffers()}
}

// run fetches all files. Small and large ones have pools and readers of the
// manifest of their own, so that neither waits for the other.
func (d *download) run(ctx context.Context) error {
	var err error
	if d.journal, err = openJournal(d.volume, d.manifest); err != nil {
		return volumeFailure("open the journal", err)
	}
	defer d.journal.close()
	g, ctx := errgroup.WithContext(ctx)
	small, large := make(chan item), make(chan item)
	g.Go(func() error { return d.dispatch(ctx, small, func(n int64) bool { return n <= largeFile }) })
	g.Go(func() error { return d.dispatch(ctx, large, func(n int64) bool { return n > largeFile }) })
	for range d.Parallel.Small {
		g.Go(func() error { return d.work(ctx, small, d.fetchSmall) })
	}
	for range d.Parallel.Large {
		g.Go(func() error { return d.work(ctx, large, d.fetchLarge) })
	}
	return g.Wait()
}

// dispatch hands out the entries whose size is wanted, having made their folders.
func (d *download) dispatch(ctx context.Context, out chan<- item, wanted func(size int64) bool) error {
	defer close(out)
	var number int64
	folder := "."
	m, err := readManifest(d.volume, func(e objectkey.Entry) error {
		number++
		if !wanted(e.Size) {
			return nil
		}
		if dir := path.Dir(e.Path); dir != folder {
			if err := d.volume.files.MkdirAll(dir, folderMode); err != nil {
				return volumeFailure("make a folder", err)
			}
			folder = dir
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out <- item{number, e}:
			return nil
		}
	})
	if err == nil && m.digest != d.manifest.digest {
		return fail(staging.ExitIOError, nil, "The manifest on the volume changed: something else writes to it.")
	}
	return err
}

func (d *download) work(
	ctx context.Context, in <-chan item, fetch func(context.Context, item, []byte) error,
) error {
	var buffer []byte
	for it := range in {
		if buffer == nil {
			buffer = make([]byte, bufferSize)
		}
		if err := d.fetch(ctx, it, buffer, fetch); err != nil {
			return err
		}
		d.advance(it.entry.Size)
	}
	return nil
}

// fetch brings one file to the volume unless it is there, and explains failures.
func (d *download) fetch(
	ctx context.Context, it item, buffer []byte, how func(context.Context, item, []byte) error,
) error {
	if d.volume.resumed && d.intact(it, buffer) {
		return nil
	}
	err := twice(func() error { return how(ctx, it, buffer) })
	switch {
	case errors.Is(err, errDiffers):
		return fail(staging.ExitDatasetCorrupt, err, "The dataset is damaged: file %d of %d in manifest order "+
			"is not what was sealed. %s", d.volume.share.position(it.number), d.manifest.entries, uploadAgain)
	case errors.Is(err, objectstore.ErrNotFound):
		return fail(staging.ExitDatasetCorrupt, err, "The dataset is damaged: file %d of %d in manifest order "+
			"is missing in the store. %s", d.volume.share.position(it.number), d.manifest.entries, uploadAgain)
	}
	return err
}

// intact says whether an earlier try left this file complete.
func (d *download) intact(it item, buffer []byte) bool {
	info, err := d.volume.files.Lstat(it.entry.Path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != it.entry.Size {
		return false
	}
	f, err := d.volume.files.Open(it.entry.Path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // It was only read.
	h := sha256.New()
	_, err = io.CopyBuffer(h, readerOnly{f}, buffer)
	return err == nil && matches(h, it.entry)
}

// readerOnly hides the methods by which io.CopyBuffer would go round its buffer.
type readerOnly struct{ io.Reader }

func matches(h hash.Hash, e objectkey.Entry) bool { return hex.EncodeToString(h.Sum(nil)) == e.SHA256 }

// fetchSmall brings a file in one piece, hashed on its way.
func (d *download) fetchSmall(ctx context.Context, it item, buffer []byte) error {
	return d.persist(ctx, func(ctx context.Context) error {
		f, err := d.volume.files.OpenFile(it.entry.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
		if err != nil {
			return volumeFailure("write a file", err)
		}
		err = d.copySmall(ctx, it.entry, f, buffer)
		if errClose := f.Close(); err == nil {
			err = volumeFailure("write a file", errClose)
		}
		return err
	})
}

func (d *download) copySmall(ctx context.Context, e objectkey.Entry, f *os.File, buffer []byte) error {
	h, left := sha256.New(), e.Size
	err := d.receive(ctx, transfer{key: objectkey.Data(d.prefix, e.Path), length: -1, buffer: buffer},
		func(b []byte) error {
			if left -= int64(len(b)); left < 0 {
				return errDiffers
			}
			_, _ = h.Write(b) // Never fails.
			_, err := f.Write(b)
			return volumeFailure("write a file", err)
		})
	if err == nil && (left != 0 || !matches(h, e)) {
		return errDiffers
	}
	return err
}

// transfer is a part of an object to receive and the buffer to do it with.
type transfer struct {
	key    string
	offset int64
	length int64 // negative: to the end
	buffer []byte
}

// receive passes a part of an object to consume, in pieces that fill the buffer, and
// the last one as it is. What has come before a fault is passed on, too. It gives up
// when nothing comes for stallTimeout.
func (s *session) receive(ctx context.Context, t transfer, consume func([]byte) error) error {
	ctx, watch := s.watch(ctx)
	defer watch.stop()
	body, err := s.store.Get(ctx, s.bucket, t.key, t.offset, t.length)
	if err != nil {
		return watch.explain(ctx, err)
	}
	defer func() { _ = body.Close() }() // An early end was reported by Read.
	for {
		n, err := fill(body, t.buffer, watch)
		if n > 0 {
			if err := consume(t.buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return watch.explain(ctx, err)
		}
	}
}

// fill reads until the buffer is full or the body ends. Writing or hashing large
// pieces costs much less than the same in the small ones that TLS gives.
func fill(body io.Reader, buffer []byte, watch *watchdog) (n int, err error) {
	for n < len(buffer) && err == nil {
		var more int
		more, err = body.Read(buffer[n:])
		n += more
		watch.alive()
	}
	return n, err
}

// advance logs each tenth of the bytes.
func (d *download) advance(n int64) {
	total := max(d.manifest.bytes, 1)
	now := d.progress.Add(n)
	if before, after := (now-n)*10/total, now*10/total; after > before && after < 10 {
		d.Log.Info("Staging the dataset in", "percent", after*10)
	}
}
