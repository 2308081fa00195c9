package objectkey

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// ReceiptKind names the format of an erase receipt.
const ReceiptKind = "lethe.dev/erase-receipt/v1"

// EraseReceipt is the record of one finished erase. It holds identifiers, counts
// and times, and nothing of the data itself.
type EraseReceipt struct {
	// Kind is ReceiptKind.
	Kind string `json:"kind"`
	// Namespace, Name and UID identify the object whose data was erased.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Bucket and Prefix are the place that was emptied.
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix"`
	// ManifestDigest identifies the data as it was sealed; empty if it never was.
	ManifestDigest string `json:"manifestDigest,omitempty"`
	// Objects and ObjectBytes are what the manifest listed.
	Objects     int64 `json:"objects"`
	ObjectBytes int64 `json:"objectBytes"`
	// Versions, VersionBytes and Uploads were counted in the store before the
	// first of them was removed: object versions with delete markers, their size,
	// and unfinished multipart uploads.
	Versions     int64 `json:"versions"`
	VersionBytes int64 `json:"versionBytes"`
	Uploads      int64 `json:"uploads"`
	// StartTime and EndTime bound the erase; at EndTime a full listing of all
	// versions, markers and uploads under the prefix was empty. Whole seconds, UTC.
	StartTime time.Time `json:"startTime"`
	EndTime   time.Time `json:"endTime"`
}

// Encode gives the receipt's bytes, which are the same for the same receipt, and
// their SHA-256 as "sha256:" and 64 hexadecimal digits.
func (r EraseReceipt) Encode() (data []byte, digest string, err error) {
	r.Kind = ReceiptKind
	r.StartTime = r.StartTime.UTC().Truncate(time.Second)
	r.EndTime = r.EndTime.UTC().Truncate(time.Second)
	data, err = json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, "", fmt.Errorf("encode receipt: %w", err)
	}
	data = append(data, '\n')
	return data, Digest(data), nil
}

// Digest is the SHA-256 of data as "sha256:" and 64 hexadecimal digits.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
