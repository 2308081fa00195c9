package agent

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
)

// The journal is a header and then claims, each with a CRC-32C of its own at its end
// and appended by one write, so that what a crash cuts off shows:
//
//	header   "lethe journal 1\n", rangeSize (8 bytes), SHA-256 of the manifest, CRC
//	claim    number of the file (8), index of the range (8), CRC
//
// Numbers are little-endian. A claim says only that the range needs not be fetched again:
// it is read from the volume, and the file must have the manifest's SHA-256 like any. If
// it has not, because a machine's crash took what was not on its disk yet or because
// somebody else wrote the claim, the file is fetched again whole. So nothing needs to be
// synced either.
const (
	journalMagic = "lethe journal 1\n"
	headerLength = len(journalMagic) + 8 + 32 + crc32.Size
	claimLength  = 8 + 8 + crc32.Size
	// maxClaims bounds what is read back, of a journal that may not be ours: 8 TiB of
	// ranges.
	maxClaims = 1 << 20
)

// claim says that a range of a file has been written.
type claim struct {
	number, index int64
}

// castagnoli is the CRC-32C that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journal remembers across crashes which ranges of large files have been written.
type journal struct {
	mu   sync.Mutex
	file *os.File
	// kept are the ranges that an earlier try has left, by file and range.
	kept map[int64]map[int64]bool
}

// openJournal reads what an earlier try with the same manifest has left, and goes on
// from there. Parts that no claim is about are removed.
func openJournal(v *volume, m manifest) (*journal, error) {
	j := &journal{kept: map[int64]map[int64]bool{}}
	header, err := journalHeader(m.digest)
	if err != nil {
		return nil, err
	}
	end := j.load(v.root, header)
	if err := j.prune(v.root); err != nil {
		return nil, err
	}
	if err := j.create(v.root, header, end); err != nil {
		return nil, err
	}
	return j, nil
}

func journalHeader(digest string) ([]byte, error) {
	sum, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil {
		return nil, err
	}
	header := append([]byte(journalMagic), binary.LittleEndian.AppendUint64(nil, rangeSize)...)
	return sealed(append(header, sum...)), nil
}

// sealed appends the CRC of a record.
func sealed(record []byte) []byte {
	return binary.LittleEndian.AppendUint32(record, crc32.Checksum(record, castagnoli))
}

// load reads claims for as long as they are whole and gives where the last one ends; 0
// if there is no journal, or another manifest's.
func (j *journal) load(root *os.Root, header []byte) (end int64) {
	info, err := root.Lstat(journalFile)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	f, err := root.Open(journalFile)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }() // It was only read.
	data, err := io.ReadAll(io.LimitReader(f, int64(headerLength+maxClaims*claimLength)))
	if err != nil || !strings.HasPrefix(string(data), string(header)) {
		return 0
	}
	at := headerLength
	for ; at+claimLength <= len(data); at += claimLength {
		c, ok := parseClaim(data[at : at+claimLength])
		if !ok {
			break
		}
		if j.kept[c.number] == nil {
			j.kept[c.number] = map[int64]bool{}
		}
		j.kept[c.number][c.index] = true
	}
	return int64(at)
}

func (c claim) record() []byte {
	record := make([]byte, 0, claimLength)
	record = binary.LittleEndian.AppendUint64(record, uint64(c.number))      //nolint:gosec // Neither is negative.
	return sealed(binary.LittleEndian.AppendUint64(record, uint64(c.index))) //nolint:gosec // As above.
}

func parseClaim(record []byte) (claim, bool) {
	body, sum := record[:claimLength-crc32.Size], record[claimLength-crc32.Size:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return claim{}, false
	}
	return claim{
		number: int64(binary.LittleEndian.Uint64(body)),     //nolint:gosec // What is negative matches no file.
		index:  int64(binary.LittleEndian.Uint64(body[8:])), //nolint:gosec // Nor any range.
	}, true
}

// prune removes parts without claims and anything else, and forgets claims without a
// part.
func (j *journal) prune(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), partsDir)
	if err != nil {
		return err
	}
	there := map[int64]bool{}
	for _, entry := range entries {
		number, err := strconv.ParseInt(entry.Name(), 10, 64)
		if err == nil && entry.Type().IsRegular() && j.kept[number] != nil && part(number) == path.Join(partsDir, entry.Name()) {
			there[number] = true
			continue
		}
		if err := root.RemoveAll(path.Join(partsDir, entry.Name())); err != nil {
			return err
		}
	}
	for number := range j.kept {
		if !there[number] {
			delete(j.kept, number)
		}
	}
	return nil
}

// create opens the journal to append to what is good of it.
func (j *journal) create(root *os.Root, header []byte, end int64) error {
	if end == 0 {
		if err := root.RemoveAll(journalFile); err != nil {
			return err
		}
	}
	f, err := root.OpenFile(journalFile, os.O_WRONLY|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	j.file = f
	if err := f.Truncate(end); err != nil {
		return errors.Join(err, f.Close())
	}
	if end == 0 {
		_, err = f.Write(header)
	} else {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// take gives the ranges that an earlier try has left of a file, once: if that comes
// to nothing, the next try begins anew.
func (j *journal) take(number int64) map[int64]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	kept := j.kept[number]
	delete(j.kept, number)
	return kept
}

// add notes a range that has been written.
func (j *journal) add(c claim) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err := j.file.Write(c.record())
	return volumeFailure("write the journal", err)
}

func (j *journal) close() { _ = j.file.Close() } // What is lost of it costs time only.
