package objectkey

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// CheckpointKind names the format of a checkpoint's record.
const CheckpointKind = "lethe.dev/checkpoint/v1"

// MaxCheckpointRecord bounds a record, in bytes: 64 nodes have room in it.
const MaxCheckpointRecord = 16 << 10

// MaxNodes is how many nodes a run, and so a checkpoint, can have.
const MaxNodes = 64

const (
	checkpointsFolder = "checkpoints/"
	logsFolder        = "logs/"
	recordName        = "complete.json"
	claimName         = "claim"
	wantedName        = "wanted-%04d.json"
)

// ErrBadCheckpoint is wrapped by every error about the contents of a record.
var ErrBadCheckpoint = errors.New("the checkpoint's record does not make sense")

var checkpointPattern = regexp.MustCompile(`^[0-9]{4}-[0-9]{6}$`)

// CheckpointID names the n-th checkpoint, from 1, that an attempt, from 1, has stored.
// Of two in the order of strings, the greater is the newer.
func CheckpointID(attempt, n int) string { return fmt.Sprintf("%04d-%06d", attempt, n) }

// ValidCheckpointID says whether this can be the name of a checkpoint.
func ValidCheckpointID(id string) bool { return checkpointPattern.MatchString(id) }

// CheckpointsPrefix starts the keys of all checkpoints under a run's prefix.
func CheckpointsPrefix(prefix string) string { return prefix + checkpointsFolder }

// CheckpointPrefix starts the keys of one checkpoint under a run's prefix.
func CheckpointPrefix(prefix, id string) string { return CheckpointsPrefix(prefix) + id + "/" }

// CheckpointPart is the prefix under which one node's part of a checkpoint lies, as the
// files of a run lie under the run's: with Data and Manifest.
func CheckpointPart(prefix, id string, node int) string {
	return CheckpointPrefix(prefix, id) + "node-" + strconv.Itoa(node) + "/"
}

// CheckpointRecordKey is the key of a checkpoint's record. It is written last: a
// checkpoint without one is not complete.
func CheckpointRecordKey(prefix, id string) string { return CheckpointPrefix(prefix, id) + recordName }

// CheckpointClaimKey is the key of an empty object that is made, if it is not there, before
// anything else of a checkpoint that one node writes, so that its name is used once only.
func CheckpointClaimKey(prefix, id string) string { return CheckpointPrefix(prefix, id) + claimName }

// CheckpointWantedKey is the key at which the first node of an attempt says, if every node
// writes, which step is to be stored next. It belongs to no checkpoint.
func CheckpointWantedKey(prefix string, attempt int) string {
	return CheckpointsPrefix(prefix) + fmt.Sprintf(wantedName, attempt)
}

// CheckpointOf takes the name of a checkpoint out of a key under a run's prefix. It
// reports false for keys that are not a checkpoint's.
func CheckpointOf(prefix, key string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(key, CheckpointsPrefix(prefix))
	if !ok {
		return "", false
	}
	id, _, ok = strings.Cut(rest, "/")
	return id, ok && ValidCheckpointID(id)
}

// LogPrefix starts the keys of what one node has logged in an attempt, under a run's
// prefix.
func LogPrefix(prefix string, attempt, node int) string {
	return fmt.Sprintf("%s%sattempt-%04d/node-%d/", prefix, logsFolder, attempt, node)
}

// LogsPrefix starts the keys of all logs under a run's prefix.
func LogsPrefix(prefix string) string { return prefix + logsFolder }

// CheckpointRecord says that a checkpoint is complete, and what it must be.
type CheckpointRecord struct {
	// Kind is CheckpointKind.
	Kind string `json:"kind"`
	// ID of the checkpoint.
	ID string `json:"id"`
	// Step of the training at which it was taken; 0 if the trainer did not tell.
	Step int64 `json:"step"`
	// Time at which it was complete, by the clock of the first node.
	Time time.Time `json:"time"`
	// Parts are one for each node that has written, in their order.
	Parts []CheckpointPartRecord `json:"parts"`
}

// CheckpointPartRecord is one node's part of a checkpoint.
type CheckpointPartRecord struct {
	// Node is the node's index.
	Node int `json:"node"`
	// ManifestDigest of the part's manifest.
	ManifestDigest string `json:"manifestDigest"`
	// Objects and Bytes of the part.
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Encode gives the record in canonical form (RFC 8785), with its Kind if it has none,
// and its digest. Errors wrap ErrBadCheckpoint.
func (r CheckpointRecord) Encode() (data []byte, digest string, err error) {
	data, err = encodeCanonical(r)
	if err != nil {
		return nil, "", err
	}
	return data, Digest(data), nil
}

// DecodeCheckpointRecord takes what Encode gives, if it has this digest, and nothing
// else. Errors wrap ErrBadCheckpoint and repeat nothing of the contents.
func DecodeCheckpointRecord(data []byte, digest string) (CheckpointRecord, error) {
	if Digest(data) != digest {
		return CheckpointRecord{}, wrongCheckpoint("it has another digest")
	}
	r, err := decodeCanonical[CheckpointRecord](data)
	if err != nil && !errors.Is(err, ErrBadCheckpoint) {
		return r, fmt.Errorf("%w: %w", ErrBadCheckpoint, err)
	}
	return r, err
}

// Validate says whether the record makes sense. Errors wrap ErrBadCheckpoint.
func (r CheckpointRecord) Validate() error {
	switch {
	case r.Kind != CheckpointKind:
		return wrongCheckpoint("its kind is another one")
	case !ValidCheckpointID(r.ID):
		return wrongCheckpoint("it has no name")
	case r.Step < 0 || r.Step > maxInteger:
		return wrongCheckpoint("its step is no count")
	case r.Time.IsZero():
		return wrongCheckpoint("it has no time")
	case len(r.Parts) == 0 || len(r.Parts) > MaxNodes:
		return wrongCheckpoint("it has no parts, or more than there can be nodes")
	}
	last := -1
	for _, p := range r.Parts {
		switch {
		case p.Node <= last || p.Node >= MaxNodes:
			return wrongCheckpoint("its parts are not in the order of nodes")
		case !digestPattern.MatchString(p.ManifestDigest):
			return wrongCheckpoint("a part has no digest")
		case p.Objects < 0 || p.Objects > maxInteger || p.Bytes < 0 || p.Bytes > maxInteger:
			return wrongCheckpoint("the size of a part is no count")
		}
		last = p.Node
	}
	return nil
}

func (r CheckpointRecord) normal() CheckpointRecord {
	if r.Kind == "" {
		r.Kind = CheckpointKind
	}
	if r.Parts == nil {
		r.Parts = []CheckpointPartRecord{}
	}
	r.Time = wholeSecond(r.Time)
	return r
}

// Size sums its parts up.
func (r CheckpointRecord) Size() (objects, bytes int64) {
	for _, p := range r.Parts {
		objects += p.Objects
		bytes += p.Bytes
	}
	return objects, bytes
}

func wrongCheckpoint(what string) error { return fmt.Errorf("%w: %s", ErrBadCheckpoint, what) }
