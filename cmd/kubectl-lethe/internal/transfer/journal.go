package transfer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Journal notes on the person's own disk which files have arrived. It is safe for
// concurrent use.
type Journal struct {
	mu    sync.Mutex
	file  *os.File
	noted map[string]note
}

// note is one line of a journal.
type note struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	SHA256   string    `json:"sha256"`
}

// OpenJournal opens the journal of the dataset with this UID in a folder; only its
// owner can read it, because it names files. Without resume it starts empty.
func OpenJournal(folder, uid string, resume bool) (*Journal, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the journal's folder: %w", err)
	}
	name := filepath.Join(folder, filepath.Base(uid)+".jsonl")
	flags := os.O_RDWR | os.O_CREATE | os.O_APPEND
	if !resume {
		flags |= os.O_TRUNC
	}
	file, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &Journal{file: file, noted: map[string]note{}}
	// A line that was cut off by a crash ends the reading; the file is sent again.
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var n note
		if json.Unmarshal(lines.Bytes(), &n) != nil {
			continue
		}
		j.noted[n.Path] = n
	}
	return j, nil
}

// Files counts the files that were noted before.
func (j *Journal) Files() int { return len(j.noted) }

// lookup gives the noted hash of a file that looks as it did then.
func (j *Journal) lookup(path string, stat fileStat) (sha256 string, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n, ok := j.noted[path]
	return n.SHA256, ok && n.Size == stat.size && n.Modified.Equal(stat.modified)
}

// add notes a file that has arrived.
func (j *Journal) add(path string, stat fileStat, sha256 string) error {
	line, err := json.Marshal(note{Path: path, Size: stat.size, Modified: stat.modified, SHA256: sha256})
	if err != nil {
		return fmt.Errorf("encode note: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// Close keeps the journal for another start.
func (j *Journal) Close() error { return j.file.Close() }

// Remove forgets it. What has been closed before is no error.
func (j *Journal) Remove() error {
	if err := j.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("close the journal: %w", err)
	}
	if err := os.Remove(j.file.Name()); err != nil {
		return fmt.Errorf("remove the journal: %w", err)
	}
	return nil
}
