package objectkey

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
)

// ManifestVersion is the version of the manifest format that this code writes.
const ManifestVersion = 1

// maxManifestLine bounds one line of a manifest: the longest path with every byte
// escaped, and room for the rest.
const maxManifestLine = 6*MaxPathLength + 1024

// ErrBadManifest is wrapped by every error about the contents of a manifest.
var ErrBadManifest = errors.New("manifest is malformed")

// Entry is one file of a manifest.
type Entry struct {
	// Path of the file; passes ValidatePath.
	Path string `json:"path"`
	// Size in bytes.
	Size int64 `json:"size"`
	// SHA256 of the contents, 64 lower-case hexadecimal digits.
	SHA256 string `json:"sha256"`
}

type manifestHeader struct {
	LetheManifest int `json:"letheManifest"`
}

// ManifestSummary is what is known of a manifest once it was read or written whole.
type ManifestSummary struct {
	// Digest of the manifest's bytes, "sha256:" and 64 hexadecimal digits.
	Digest string
	// Objects counts the entries.
	Objects int64
	// Bytes is the sum of their sizes.
	Bytes int64
}

// ManifestWriter writes a manifest: JSON Lines, a header line and then one line
// for each file in ascending byte order of the paths. The same files give the
// same bytes. It holds one line in memory, however long the manifest is.
type ManifestWriter struct {
	out     io.Writer
	hash    hash.Hash
	last    string
	started bool
	failed  error
	sum     ManifestSummary
}

// NewManifestWriter writes to out.
func NewManifestWriter(out io.Writer) *ManifestWriter {
	h := sha256.New()
	return &ManifestWriter{out: io.MultiWriter(out, h), hash: h}
}

// Add writes one entry. Entries come in ascending order of their paths; anything
// else is an error that wraps ErrBadManifest. After any error the manifest can not
// be finished.
func (w *ManifestWriter) Add(e Entry) error {
	if err := w.start(); err != nil {
		return err
	}
	if err := w.sum.take(e, w.last); err != nil {
		w.failed = err
		return err
	}
	w.last = e.Path
	return w.line(e)
}

// Close ends the manifest and sums it up. It does not close the writer below. It
// gives the error of any write before.
func (w *ManifestWriter) Close() (ManifestSummary, error) {
	if err := w.start(); err != nil {
		return ManifestSummary{}, err
	}
	w.sum.Digest = digest(w.hash)
	return w.sum, nil
}

func (w *ManifestWriter) start() error {
	if w.started || w.failed != nil {
		return w.failed
	}
	w.started = true
	return w.line(manifestHeader{LetheManifest: ManifestVersion})
}

func (w *ManifestWriter) line(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		w.failed = fmt.Errorf("encode manifest line: %w", err)
	} else if _, err := w.out.Write(b.Bytes()); err != nil {
		w.failed = fmt.Errorf("write manifest: %w", err)
	}
	return w.failed
}

// ReadManifest reads a manifest and calls visit for each entry in order, having
// checked it; an error of visit ends the reading and is returned as it is. The
// summary is valid only when the error is nil, so that whoever pinned a digest
// compares it before he trusts what visit was given.
func ReadManifest(in io.Reader, visit func(Entry) error) (ManifestSummary, error) {
	h := sha256.New()
	lines := bufio.NewScanner(io.TeeReader(in, h))
	lines.Buffer(make([]byte, 0, 4096), maxManifestLine)
	lines.Split(wholeLines)
	var sum ManifestSummary
	if err := readHeader(lines); err != nil {
		return sum, err
	}
	last := ""
	for lines.Scan() {
		var e Entry
		if err := strictJSON(lines.Bytes(), &e); err != nil {
			return sum, fmt.Errorf("%w: entry %d is not a valid JSON object", ErrBadManifest, sum.Objects+1)
		}
		if err := sum.take(e, last); err != nil {
			return sum, fmt.Errorf("entry %d: %w", sum.Objects+1, err)
		}
		last = e.Path
		if err := visit(e); err != nil {
			return sum, err
		}
	}
	if err := scanError(lines.Err()); err != nil {
		return sum, err
	}
	sum.Digest = digest(h)
	return sum, nil
}

func readHeader(lines *bufio.Scanner) error {
	if !lines.Scan() {
		if err := scanError(lines.Err()); err != nil {
			return err
		}
		return fmt.Errorf("%w: it is empty", ErrBadManifest)
	}
	var head manifestHeader
	if err := strictJSON(lines.Bytes(), &head); err != nil {
		return fmt.Errorf("%w: the first line is not a header", ErrBadManifest)
	}
	if head.LetheManifest != ManifestVersion {
		return fmt.Errorf("%w: version %d is not known", ErrBadManifest, head.LetheManifest)
	}
	return nil
}

var errCutOff = errors.New("the last line does not end")

// wholeLines splits into lines that end. bufio.ScanLines would give what came
// before a failed read as a line, and the failure would pass for a bad manifest.
func wholeLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errCutOff
	}
	return 0, nil, nil
}

func scanError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%w: a line is too long", ErrBadManifest)
	case errors.Is(err, errCutOff):
		return fmt.Errorf("%w: %w", ErrBadManifest, errCutOff)
	default:
		return fmt.Errorf("read manifest: %w", err)
	}
}

// take checks an entry that follows the path last, and counts it.
func (s *ManifestSummary) take(e Entry, last string) error {
	if err := checkEntry(e, last); err != nil {
		return err
	}
	if e.Size > math.MaxInt64-s.Bytes {
		return fmt.Errorf("%w: the sum of the sizes is too large", ErrBadManifest)
	}
	s.Objects++
	s.Bytes += e.Size
	return nil
}

// checkEntry keeps paths and digests out of its errors: a path may be personal data.
func checkEntry(e Entry, last string) error {
	if err := ValidatePath(e.Path); err != nil {
		return fmt.Errorf("%w: %w", ErrBadManifest, err)
	}
	if e.Path <= last {
		return fmt.Errorf("%w: paths are not in ascending order", ErrBadManifest)
	}
	if e.Size < 0 {
		return fmt.Errorf("%w: a size is negative", ErrBadManifest)
	}
	if b, err := hex.DecodeString(e.SHA256); err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != e.SHA256 {
		return fmt.Errorf("%w: a digest is not 64 lower-case hexadecimal digits", ErrBadManifest)
	}
	return nil
}

func strictJSON(line []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

func digest(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }
