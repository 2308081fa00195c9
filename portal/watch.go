package portal

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"
)

// RunView is a run with what its page shows beside it.
type RunView struct {
	Run     Run
	Dataset Dataset
	// Cost is what the run has cost so far; nil where GPUs have no price.
	Cost *RunCost
	// Points are the newest that the trainer has told while we looked, oldest first.
	Points []RunPoint
}

// RunCost is what a run has cost so far, at today's prices.
type RunCost struct {
	// Spent is in all, Lost the part of it since a checkpoint that an attempt had to go back
	// to.
	Spent, Lost Money
	// Cap is what the run may cost at most; nothing for no bound.
	Cap Money
	// PerHour is for all of its GPUs.
	PerHour Money
}

// RunPoint is one point of a run's curves.
type RunPoint struct {
	At      time.Time          `json:"at,omitzero"`
	Step    int64              `json:"step,omitempty"`
	Epoch   int64              `json:"epoch,omitempty"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
}

// LogPosition is a place in a run's log: after the Same-th line (from 1) of a moment. The
// zero value is the beginning.
type LogPosition struct {
	At   time.Time
	Same int
}

// String writes the position as the id of a server-sent event: nanoseconds since 1970, a
// dot, and Same.
func (p LogPosition) String() string {
	return strconv.FormatInt(p.At.UnixNano(), 10) + "." + strconv.Itoa(p.Same)
}

// Before reports whether p is an earlier place than q.
func (p LogPosition) Before(q LogPosition) bool {
	if p.At.Equal(q.At) {
		return p.Same < q.Same
	}
	return p.At.Before(q.At)
}

// ParseLogPosition reads what String has written; everything else is the beginning.
func ParseLogPosition(text string) LogPosition {
	nanos, same, _ := strings.Cut(text, ".")
	at, err := strconv.ParseInt(nanos, 10, 64)
	n, errSame := strconv.Atoi(same)
	if err != nil || errSame != nil || at <= 0 || n <= 0 {
		return LogPosition{}
	}
	return LogPosition{At: time.Unix(0, at).UTC(), Same: n}
}

// LogLine is one line of a run's log.
type LogLine struct {
	Position LogPosition
	Text     string
}

// LogPart is what came next in a log.
type LogPart struct {
	// Skipped counts lines that were lost before Lines: the reader was too slow, or they
	// are not kept any more. -1 is some, nobody knows how many.
	Skipped int64
	Lines   []LogLine
}

// LogTail gives a run's log as it grows.
type LogTail interface {
	// Next waits for more and gives io.EOF after the last. It is not for two at once.
	Next(ctx context.Context) (LogPart, error)
	// Close ends it; a Next that waits may go on waiting until its context ends.
	Close()
}

// FileKind is what a file of a run is.
type FileKind string

// Kinds of files of a run.
const (
	FileArtifact   FileKind = "artifact"
	FileLog        FileKind = "log"
	FileCheckpoint FileKind = "checkpoint"
)

// RunFile is a file that a run has left in the store.
type RunFile struct {
	Kind FileKind
	// Path is the trainer's for an artifact, and the place below the run's for others.
	Path string
	Size int64
	// SHA256 is "" where none is kept: logs and the files of checkpoints.
	SHA256 string
}

// RunFiles are a run's files, a page of them.
type RunFiles struct {
	Files []RunFile
	// More says that there are files after the last of these.
	More bool
	// Manifest is the digest of the artifacts' manifest; "" before they are published.
	Manifest string
}

// FileContent is a file to hand out: by a link to the store, or as it is read.
type FileContent struct {
	// Link is valid for a short time and for this one file; "" when Body is to be copied.
	Link string
	// Body is to be closed; nil when there is a Link.
	Body io.ReadCloser
	// Name is the file's own, without folders. Size is in bytes; -1 when not known.
	Name string
	Size int64
}
