package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// load is a set of files of one size, whose contents follow from their numbers.
type load struct {
	name  string
	count int
	size  int64
}

func (l load) total() int64 { return int64(l.count) * l.size }

// path of a file: 1,000 in a folder, in the order of a manifest.
func (l load) path(i int) string { return fmt.Sprintf("%05d/%08d.bin", i/1000, i) }

// patternBlock is what a pattern repeats, and marks with its place.
const patternBlock = 64 << 10

// pattern is the contents of a file. No two of its blocks, nor of other files, are the
// same, so that what is mixed up shows.
type pattern struct {
	file  int
	size  int64
	block []byte
}

func (l load) contents(i int) *pattern {
	block := make([]byte, patternBlock)
	state := uint64(i) + 1 //nolint:gosec // G115: A number of a file, not below zero.
	for at := 0; at < len(block); at += 8 {
		state = state*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(block[at:], state)
	}
	return &pattern{file: i, size: l.size, block: block}
}

// ReadAt implements io.ReaderAt.
func (p *pattern) ReadAt(into []byte, offset int64) (int, error) {
	n := 0
	var mark [8]byte
	for n < len(into) && offset < p.size {
		number, within := offset/patternBlock, offset%patternBlock
		piece := into[n : n+int(min(int64(len(into)-n), patternBlock-within, p.size-offset))]
		copy(piece, p.block[within:])
		if within < int64(len(mark)) {
			binary.LittleEndian.PutUint64(mark[:], uint64(number)<<20|uint64(p.file)) //nolint:gosec // Neither is negative.
			copy(piece, mark[within:])
		}
		n, offset = n+len(piece), offset+int64(len(piece))
	}
	if n < len(into) {
		return n, io.EOF
	}
	return n, nil
}

func (p *pattern) reader() *io.SectionReader { return io.NewSectionReader(p, 0, p.size) }

// manifest of the files, and its digest.
func (l load) manifest() (data []byte, digest string, err error) {
	var out bytes.Buffer
	w := objectkey.NewManifestWriter(&out)
	for i := range l.count {
		h := sha256.New()
		if _, err := io.Copy(h, l.contents(i).reader()); err != nil {
			return nil, "", fmt.Errorf("hash file %d: %w", i, err)
		}
		if err := w.Add(objectkey.Entry{Path: l.path(i), Size: l.size, SHA256: hex.EncodeToString(h.Sum(nil))}); err != nil {
			return nil, "", err
		}
	}
	sum, err := w.Close()
	return out.Bytes(), sum.Digest, err
}
