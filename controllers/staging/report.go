package staging

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Exit codes of the stager, from sysexits(3) where one fits. Final codes are not
// worth another try with the same data.
const (
	ExitOK = 0
	// ExitUsage: the stager was started wrongly (EX_USAGE).
	ExitUsage = 64
	// ExitDatasetCorrupt: the data differs from the manifest (EX_DATAERR).
	ExitDatasetCorrupt = 65
	// ExitCheckpointCorrupt: the checkpoint to resume from differs from its record.
	ExitCheckpointCorrupt = 66
	// ExitDiskFull: the volume has no room (EX_CANTCREAT).
	ExitDiskFull = 73
	// ExitIOError: files could not be read or written (EX_IOERR).
	ExitIOError = 74
	// ExitUnavailable: the store or broker stayed away for too long (EX_TEMPFAIL).
	ExitUnavailable = 75
	// ExitDenied: the store or broker refused (EX_NOPERM).
	ExitDenied = 77
	// ExitTerminated: SIGTERM came first (128 + 15).
	ExitTerminated = 143
)

// MaxReport bounds a report, in bytes. The kubelet keeps 4,096 bytes of a
// termination message.
const MaxReport = 4096

// MaxLogTail bounds the end of a log in a report, in bytes.
const MaxLogTail = 2048

// Report is what a stager leaves as its termination message.
type Report struct {
	// Step that was done.
	Step Step `json:"step"`
	// Message says what went wrong and what to do; empty when all went well.
	// It names no file of the user's.
	Message string `json:"message,omitempty"`
	// Published is false when stage-out had nothing to publish because the
	// trainer failed.
	Published bool `json:"published,omitempty"`
	// Checkpoint is the one that stage-in has restored; empty if it began anew.
	Checkpoint string `json:"checkpoint,omitempty"`
	// LogTail is the end of the trainer's output when the trainer failed, at most
	// MaxLogTail bytes, without control characters but for newlines and tabs. It is the
	// user's data: it goes into the run's status and nowhere else.
	LogTail string `json:"logTail,omitempty"`
	// ManifestDigest, Objects and Bytes sum up what was staged in or published.
	ManifestDigest string `json:"manifestDigest,omitempty"`
	Objects        int64  `json:"objects,omitempty"`
	Bytes          int64  `json:"bytes,omitempty"`
}

// Encode gives the bytes for the termination message. A long message is cut
// between two characters, and further if escapes make it longer than MaxReport. Of the
// end of a log the beginning is cut off.
func (r Report) Encode() ([]byte, error) {
	r.Message, r.LogTail = strings.ToValidUTF8(r.Message, ""), strings.ToValidUTF8(r.LogTail, "")
	for limit := MaxReport / 4; ; limit /= 2 {
		if len(r.Message) > limit {
			r.Message = strings.ToValidUTF8(r.Message[:limit], "")
		}
		if room := 2 * limit; len(r.LogTail) > room {
			r.LogTail = strings.ToValidUTF8(r.LogTail[len(r.LogTail)-room:], "")
		}
		data, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("encode report: %w", err)
		}
		if len(data) <= MaxReport || limit == 0 {
			return data, nil
		}
	}
}

// digestPattern is what a status takes as a digest.
var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// ParseReport reads a termination message. It reports false for anything that is
// not a stager's report, for example the tail of a log.
func ParseReport(message string) (Report, bool) {
	var r Report
	if err := json.Unmarshal([]byte(message), &r); err != nil {
		return Report{}, false
	}
	if r.Step != StepStageIn && r.Step != StepStageOut {
		return Report{}, false
	}
	// A tenant can make a Pod that looks like a run's. What it says must at least
	// fit into a status, or the run could never end.
	if r.Objects < 0 || r.Bytes < 0 || r.ManifestDigest != "" && !digestPattern.MatchString(r.ManifestDigest) {
		return Report{}, false
	}
	return r, true
}
