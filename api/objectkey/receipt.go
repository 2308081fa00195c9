package objectkey

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ReceiptKind names the format of an erase receipt.
const ReceiptKind = "lethe.dev/erase-receipt/v1"

// Resources whose data is erased, as a receipt and the ledger name them.
const (
	ResourceDataset = "datasetretentions"
	ResourceRun     = "trainingruns"
)

// Triggers of an erase.
const (
	// TriggerDeleted: somebody deleted the object before its time was over.
	TriggerDeleted = "Deleted"
	// TriggerExpired: its time was over.
	TriggerExpired = "Expired"
	// TriggerOrphaned: the object had gone behind the operator's back, and the
	// sweeper found its data.
	TriggerOrphaned = "Orphaned"
)

// Methods of an erase.
const (
	// MethodKeyDestroyed: the only key of the data was destroyed.
	MethodKeyDestroyed = "KeyDestroyed"
	// MethodObjectsRemoved: every version, delete marker and unfinished upload was
	// removed, and a listing with other credentials and by other code was empty.
	MethodObjectsRemoved = "ObjectsRemoved"
)

// EraseReceipt is the record of one finished erase. It holds identifiers, counts
// and times, and nothing of the data itself, not even the name of its object.
type EraseReceipt struct {
	// Kind is ReceiptKind.
	Kind string `json:"kind"`
	// Resource, Namespace and UID identify the object whose data was erased.
	Resource  string `json:"resource"`
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
	// Store, Bucket and Prefix are the place that was emptied; see Identity.
	Store  string `json:"store"`
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix"`
	// Trigger is why; see the Trigger constants.
	Trigger string `json:"trigger"`
	// Methods by which the data was erased, in their order.
	Methods []string `json:"methods"`
	// KeyID and KeyDestroyedTime tell which key was destroyed, and when it was gone;
	// empty if the data was not under a key of its own.
	KeyID            string     `json:"keyID,omitempty"`
	KeyDestroyedTime *time.Time `json:"keyDestroyedTime,omitempty"`
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
	// NotCovered says in sentences what this receipt does not speak about.
	NotCovered []string `json:"notCovered"`
	// Previous is the digest of the signed receipt before this one in the chain;
	// empty for the first.
	Previous string `json:"previous,omitempty"`
	// Sequence is the place in the chain, from 1.
	Sequence int64 `json:"sequence"`
}

// Bounds of what NotCovered says; they keep a signed receipt below MaxReceiptSize.
const (
	maxSentences = 16
	maxSentence  = 512
)

var (
	digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	// idPattern is that of stores and of keys: 16 bytes.
	idPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)
	// bucketPattern is S3's, as far as characters and length go.
	bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
)

// Validate says whether the receipt makes sense: that it is about the whole place of
// one object, has an end that is not before its start, and says only what the
// constants here have words for. It looks at the form in which Sign writes it: with
// times cut off to seconds, and with its Kind. Errors wrap ErrBadReceipt and name the
// field.
func (r EraseReceipt) Validate() error {
	r = r.normal()
	for _, check := range []func() string{r.wrongPlace, r.wrongMethod, r.wrongTime, r.wrongCount, r.wrongLink} {
		if wrong := check(); wrong != "" {
			return fmt.Errorf("%w: %s", ErrBadReceipt, wrong)
		}
	}
	return nil
}

func (r EraseReceipt) wrongPlace() string {
	switch {
	case r.Kind != ReceiptKind:
		return "kind is another format's"
	case !knownResource(r.Resource):
		return "resource is not known"
	case ValidateOwner(r.Namespace, r.UID) != nil:
		return "namespace and uid are not an object's"
	case !idPattern.MatchString(r.Store):
		return "store is not the identity of a store"
	case !bucketPattern.MatchString(r.Bucket):
		return "bucket is not a bucket's name"
	case r.Prefix != OwnerPrefix(r.Namespace, r.UID):
		return "prefix is not the whole place of the object"
	}
	return ""
}

// wrongMethod knows the two ways: a receipt is written when a listing was empty, so
// removing is always the last of its methods.
func (r EraseReceipt) wrongMethod() string {
	removed := slices.Equal(r.Methods, []string{MethodObjectsRemoved})
	destroyed := slices.Equal(r.Methods, []string{MethodKeyDestroyed, MethodObjectsRemoved})
	switch {
	case r.Trigger != TriggerDeleted && r.Trigger != TriggerExpired && r.Trigger != TriggerOrphaned:
		return "trigger is not known"
	case !removed && !destroyed:
		return "methods are not known, or not in their order"
	case destroyed != (r.KeyDestroyedTime != nil), destroyed != (r.KeyID != ""):
		return "methods, keyID and keyDestroyedTime do not agree"
	case destroyed && !idPattern.MatchString(r.KeyID):
		return "keyID is not that of a key"
	}
	return ""
}

// wrongTime lets a key be destroyed before the start: an erase that was broken off
// behind the operator's back is begun again by the sweeper.
func (r EraseReceipt) wrongTime() string {
	switch {
	case r.StartTime.IsZero() || r.EndTime.IsZero():
		return "startTime and endTime are not both there"
	case r.EndTime.Before(r.StartTime):
		return "endTime is before startTime"
	case r.KeyDestroyedTime != nil && (r.KeyDestroyedTime.IsZero() || r.KeyDestroyedTime.After(r.EndTime)):
		return "keyDestroyedTime is not before endTime"
	}
	return ""
}

func (r EraseReceipt) wrongCount() string {
	for _, n := range []int64{r.Objects, r.ObjectBytes, r.Versions, r.VersionBytes, r.Uploads} {
		if n < 0 || n > maxInteger {
			return "a count is not between 0 and 2^53"
		}
	}
	if r.ManifestDigest != "" && !digestPattern.MatchString(r.ManifestDigest) {
		return "manifestDigest is not a SHA-256"
	}
	if len(r.NotCovered) > maxSentences || slices.ContainsFunc(r.NotCovered, badSentence) {
		return "notCovered is not a few printable sentences"
	}
	return ""
}

func (r EraseReceipt) wrongLink() string {
	switch {
	case r.Sequence < 1 || r.Sequence > maxInteger:
		return "sequence is not a place in the chain"
	case r.Sequence == 1 && r.Previous != "":
		return "previous is set for the first of the chain"
	case r.Sequence > 1 && !digestPattern.MatchString(r.Previous):
		return "previous is not the digest of a receipt"
	}
	return ""
}

// badSentence refuses what would not come out of a terminal as it went in.
func badSentence(s string) bool {
	return s == "" || len(s) > maxSentence || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

func knownResource(resource string) bool {
	return resource == ResourceDataset || resource == ResourceRun
}

func (r EraseReceipt) normal() EraseReceipt {
	if r.Kind == "" {
		r.Kind = ReceiptKind
	}
	r.StartTime, r.EndTime = wholeSecond(r.StartTime), wholeSecond(r.EndTime)
	if r.KeyDestroyedTime != nil {
		destroyed := wholeSecond(*r.KeyDestroyedTime)
		r.KeyDestroyedTime = &destroyed
	}
	if r.NotCovered == nil {
		r.NotCovered = []string{}
	}
	return r
}

// Digest is the SHA-256 of data as "sha256:" and 64 hexadecimal digits.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
