package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The magic numbers of IDX: two zero bytes, the element type (8: unsigned byte), the number of dimensions.
const (
	labelsMagic = 0x00000801
	imagesMagic = 0x00000803
)

// Bounds that a header must keep, so that a damaged file is refused before memory is asked for.
const (
	maxShardRows = 1 << 20
	maxSide      = 512
)

// ErrFormat says that a file is not what its name promises; the text around it says where it went wrong.
var ErrFormat = errors.New("not a valid IDX file")

// ReadImages reads one images file (unpacked): images of equal size, one byte per pixel, row by row,
// 0 is background and 255 is ink. Errors wrap ErrFormat or the reader's error.
func ReadImages(r io.Reader) (images [][]byte, rows, cols int, err error) {
	header, err := readHeader(r, imagesMagic, 3)
	if err != nil {
		return nil, 0, 0, err
	}
	count, rows, cols := header[0], header[1], header[2]
	if rows < 1 || rows > maxSide || cols < 1 || cols > maxSide {
		return nil, 0, 0, fmt.Errorf("%w: images of %d by %d pixels", ErrFormat, rows, cols)
	}
	images = make([][]byte, 0, min(count, 4096))
	for i := range count {
		image := make([]byte, rows*cols)
		if _, err := io.ReadFull(r, image); err != nil {
			return nil, 0, 0, fmt.Errorf("%w: read image %d of %d: %w", ErrFormat, i+1, count, err)
		}
		images = append(images, image)
	}
	return images, rows, cols, expectEnd(r)
}

// ReadLabels reads one labels file (unpacked), one byte per image. Errors wrap ErrFormat or the reader's error.
func ReadLabels(r io.Reader) ([]byte, error) {
	header, err := readHeader(r, labelsMagic, 1)
	if err != nil {
		return nil, err
	}
	labels := make([]byte, header[0])
	if _, err := io.ReadFull(r, labels); err != nil {
		return nil, fmt.Errorf("%w: read %d labels: %w", ErrFormat, len(labels), err)
	}
	return labels, expectEnd(r)
}

// WriteImages writes what ReadImages reads. Every image must hold rows*cols bytes.
func WriteImages(w io.Writer, images [][]byte, rows, cols int) error {
	if err := writeHeader(w, imagesMagic, len(images), rows, cols); err != nil {
		return err
	}
	for i, image := range images {
		if len(image) != rows*cols {
			return fmt.Errorf("write image %d: it has %d pixels, not %d", i+1, len(image), rows*cols)
		}
		if _, err := w.Write(image); err != nil {
			return fmt.Errorf("write image %d: %w", i+1, err)
		}
	}
	return nil
}

// WriteLabels writes what ReadLabels reads.
func WriteLabels(w io.Writer, labels []byte) error {
	if err := writeHeader(w, labelsMagic, len(labels)); err != nil {
		return err
	}
	if _, err := w.Write(labels); err != nil {
		return fmt.Errorf("write labels: %w", err)
	}
	return nil
}

// readHeader returns the dimensions after the magic number.
func readHeader(r io.Reader, magic uint32, dimensions int) ([]int, error) {
	words := make([]uint32, 1+dimensions)
	if err := binary.Read(r, binary.BigEndian, words); err != nil {
		return nil, fmt.Errorf("%w: read header: %w", ErrFormat, err)
	}
	if words[0] != magic {
		return nil, fmt.Errorf("%w: it starts with %#08x, not %#08x", ErrFormat, words[0], magic)
	}
	sizes := make([]int, dimensions)
	for i, word := range words[1:] {
		if word > maxShardRows {
			return nil, fmt.Errorf("%w: dimension %d is %d, more than %d", ErrFormat, i+1, word, maxShardRows)
		}
		sizes[i] = int(word)
	}
	return sizes, nil
}

func writeHeader(w io.Writer, magic uint32, sizes ...int) error {
	words := []uint32{magic}
	for _, size := range sizes {
		if size < 0 || size > maxShardRows {
			return fmt.Errorf("write header: size %d is outside 0..%d", size, maxShardRows)
		}
		words = append(words, uint32(size)) // #nosec G115 -- checked above.
	}
	if err := binary.Write(w, binary.BigEndian, words); err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	return nil
}

// expectEnd fails when bytes are left: a header that promises fewer rows than the file has is damage too.
// Reading to the end also makes gzip check its sum.
func expectEnd(r io.Reader) error {
	switch n, err := io.Copy(io.Discard, r); {
	case err != nil:
		return fmt.Errorf("%w: read to the end: %w", ErrFormat, err)
	case n > 0:
		return fmt.Errorf("%w: %d bytes after the last row", ErrFormat, n)
	}
	return nil
}
