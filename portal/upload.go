package portal

import (
	"fmt"
	"time"
)

// DatasetView is a dataset with what belongs to it.
type DatasetView struct {
	Dataset
	// Count is of the files that were told of; only while they are uploaded.
	Count FileCount
	// Runs that use it and have not ended; only where one dataset is asked for.
	Runs []Run
}

// Files is how many there are.
func (v DatasetView) Files() int64 { return max(v.Seen.Files, v.Count.Files) }

// Bytes is how large they are.
func (v DatasetView) Bytes() int64 { return max(v.Seen.Bytes, v.Count.Bytes) }

// Windows are how long the data may stay after training and in all: what the cluster has
// where that is known, for it may have been changed there.
func (d Dataset) Windows() (afterTraining, maxAge time.Duration) {
	if d.Seen.Version > 0 {
		return d.Seen.AfterTraining, d.Seen.MaxAge
	}
	return d.AfterTraining, d.MaxAge
}

// ErasedBy is when the data goes at the latest, as far as is known now; zero when it has
// gone.
func (d Dataset) ErasedBy() time.Time {
	switch _, maxAge := d.Windows(); {
	case !d.ErasedAt.IsZero():
		return time.Time{}
	case !d.Seen.ExpiresAt.IsZero():
		return d.Seen.EndsAt()
	default:
		return d.CreatedAt.Add(maxAge)
	}
}

// NewDataset is what a person chooses.
type NewDataset struct {
	// ID makes it happen once however often it is asked; "" for a new one.
	ID                    DatasetID
	Name                  string
	AfterTraining, MaxAge time.Duration
}

// DatasetInUse is the cause where runs would have to be cancelled before an erase.
type DatasetInUse struct{ Runs []Run }

// Error names none of them: names are the person's.
func (e *DatasetInUse) Error() string { return fmt.Sprintf("%d runs use the dataset", len(e.Runs)) }

// Bounds of one request about files.
const (
	// MaxFileBatch is how many files are told of, finished or removed at once.
	MaxFileBatch = 1000
	// MaxSignedParts is how many requests are signed at once. They are good for half a
	// minute at least, so nobody needs more.
	MaxSignedParts = 256
)

// FileClaim is a file that somebody wants to send.
type FileClaim struct {
	Path string `json:"path"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Fingerprint is equal for a file that has not changed since.
	Fingerprint string `json:"fingerprint"`
}

// FileStatus is how far a file is.
type FileStatus string

// Values of FileStatus.
const (
	// FileComplete: nothing has to be sent.
	FileComplete FileStatus = "complete"
	// FileWhole: it goes by one request.
	FileWhole FileStatus = "whole"
	// FileInParts: it goes in parts.
	FileInParts FileStatus = "parts"
)

// FilePlan is how a file is to be sent. Plans come in the order of the claims.
type FilePlan struct {
	// Path is the claim's, cleaned.
	Path   string     `json:"path"`
	Status FileStatus `json:"status"`
	// PartSize is in bytes, Parts how many there are, and Have the numbers of those that
	// the store has.
	PartSize int64 `json:"partSize,omitempty"`
	Parts    int   `json:"parts"`
	Have     []int `json:"have,omitempty"`
}

// WantedParts are those of a file that somebody is about to send; a file that goes by one
// request has the part 1.
type WantedParts struct {
	Path  string `json:"path"`
	Parts []int  `json:"parts"`
}

// SignedPart is a request for one part.
type SignedPart struct {
	Path string `json:"path"`
	Part int    `json:"part"`
	SignedRequest
}

// FileDone is a file of which all was sent.
type FileDone struct {
	Path string `json:"path"`
	// SHA256 is of the whole file: 64 lower-case hexadecimal digits.
	SHA256 string `json:"sha256"`
}

// FileResult says what became of it.
type FileResult struct {
	Path     string `json:"path"`
	Complete bool   `json:"complete"`
	// Missing are the parts that the store lacks; they have to be sent again.
	Missing []int `json:"missing,omitempty"`
}

// ByteSize writes a number of bytes for people, in powers of 1,024.
func ByteSize(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	value, unit := float64(bytes)/1024, 0
	for value >= 1023.5 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if value >= 100 {
		return fmt.Sprintf("%.0f %s", value, units[unit])
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
