package objectkey

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// IdentityKey is the key of the object that says which store this is. It lies in
// each bucket that holds data, beside the owners' prefixes.
const IdentityKey = "lethe-identity.json"

// IdentityKind names the format of that object.
const IdentityKind = "lethe.dev/store-identity/v1"

// Identity tells one store from another, also when both have the same buckets.
type Identity struct {
	// Kind is IdentityKind.
	Kind string `json:"kind"`
	// Store is random: 32 hexadecimal digits.
	Store string `json:"store"`
	// Cluster is the UID of the namespace kube-system of the cluster whose data lies
	// here. Another cluster's operator would take all of it for data without an
	// object, so it refuses to work here. A cluster that takes the place of a lost one
	// is let in by an administrator who writes its UID here.
	Cluster string `json:"cluster,omitempty"`
}

// LedgerKind names the format of the ledger's records.
const LedgerKind = "lethe.dev/ledger/v1"

// MaxLedgerEntry bounds a record or an event, in bytes.
const MaxLedgerEntry = 16 << 10

// maxReason bounds the reason of a hold, in characters, as the API does.
const maxReason = 256

// ErrBadLedger is wrapped by every error about the contents of a record or an event.
var ErrBadLedger = errors.New("not a valid entry of the ledger")

// LedgerRecord says that data of one object may be in the store. It is written
// before the first byte may enter and never changed.
type LedgerRecord struct {
	// Kind is LedgerKind.
	Kind string `json:"kind"`
	// Resource, Namespace and UID identify the object; see the Resource constants.
	Resource  string `json:"resource"`
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
	// Store, Bucket and Prefix are the data's place.
	Store  string `json:"store"`
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix"`
	// KeyID names the data's own key; empty if it has none.
	KeyID string `json:"keyID,omitempty"`
	// CreatedTime is when the record was written. EraseBy is the latest time at which
	// the data is due to go unless it is in use or held then; zero for artifacts,
	// which have no end of their own. Whole seconds, UTC.
	CreatedTime time.Time `json:"createdTime"`
	EraseBy     time.Time `json:"eraseBy,omitzero"`
}

// LedgerEvent is something that happened to the data of a record; see the
// Ledger constants.
type LedgerEvent struct {
	// Kind is LedgerKind.
	Kind string `json:"kind"`
	// Event says what happened.
	Event string `json:"event"`
	// Time of it. Whole seconds, UTC.
	Time time.Time `json:"time"`
	// Reason and Until are those of a hold.
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	// ReceiptDigest is that of an erase.
	ReceiptDigest string `json:"receiptDigest,omitempty"`
}

// Events of the ledger.
const (
	// LedgerHeld: a hold was set or changed. LedgerReleased: it ended or was removed.
	LedgerHeld     = "held"
	LedgerReleased = "released"
	// LedgerRetained: the object went, and its data stays by its owner's will, until
	// its namespace goes too.
	LedgerRetained = "retained"
	// LedgerOrphaned: the sweeper found the data without its object, for the first
	// time at that time.
	LedgerOrphaned = "orphaned"
	// LedgerErased: the data is erased. Whatever is found there later is removed.
	LedgerErased = "erased"
)

// LedgerRecordKey is the key of a record in the ledger's bucket.
func LedgerRecordKey(namespace, uid string) string {
	return OwnerPrefix(namespace, uid) + "record.json"
}

// LedgerEventKey is the key of an event that can happen once. Of those that can
// happen more often, the holds, the time makes keys that differ.
func LedgerEventKey(namespace, uid string, e LedgerEvent) string {
	name := e.Event
	if e.Event == LedgerHeld || e.Event == LedgerReleased {
		name += "-" + e.Time.UTC().Format("20060102T150405Z")
	}
	return OwnerPrefix(namespace, uid) + name + ".json"
}

// Encode gives the record in canonical form (RFC 8785), with its Kind if it has none.
// Errors wrap ErrBadLedger.
func (r LedgerRecord) Encode() ([]byte, error) { return encodeCanonical(r) }

// DecodeLedgerRecord takes what Encode gives and nothing else. Errors wrap
// ErrBadLedger and repeat nothing of the contents.
func DecodeLedgerRecord(data []byte) (LedgerRecord, error) {
	r, err := decodeCanonical[LedgerRecord](data)
	return r, badLedger(err)
}

// Validate says whether the record makes sense. Errors wrap ErrBadLedger.
func (r LedgerRecord) Validate() error {
	switch {
	case r.Kind != LedgerKind:
		return wrongEntry("kind is another format's")
	case !knownResource(r.Resource):
		return wrongEntry("resource is not known")
	case ValidateOwner(r.Namespace, r.UID) != nil:
		return wrongEntry("namespace and uid are not an object's")
	case !idPattern.MatchString(r.Store):
		return wrongEntry("store is not the identity of a store")
	case !bucketPattern.MatchString(r.Bucket):
		return wrongEntry("bucket is not a bucket's name")
	case r.Prefix != OwnerPrefix(r.Namespace, r.UID):
		return wrongEntry("prefix is not the whole place of the object")
	case r.KeyID != "" && !idPattern.MatchString(r.KeyID):
		return wrongEntry("keyID is not that of a key")
	case r.CreatedTime.IsZero():
		return wrongEntry("createdTime is missing")
	}
	return nil
}

func (r LedgerRecord) normal() LedgerRecord {
	if r.Kind == "" {
		r.Kind = LedgerKind
	}
	r.CreatedTime, r.EraseBy = wholeSecond(r.CreatedTime), wholeSecond(r.EraseBy)
	return r
}

// Encode gives the event in canonical form (RFC 8785), with its Kind if it has none.
// Errors wrap ErrBadLedger.
func (e LedgerEvent) Encode() ([]byte, error) { return encodeCanonical(e) }

// DecodeLedgerEvent takes what Encode gives and nothing else. Errors wrap
// ErrBadLedger and repeat nothing of the contents.
func DecodeLedgerEvent(data []byte) (LedgerEvent, error) {
	e, err := decodeCanonical[LedgerEvent](data)
	return e, badLedger(err)
}

// Validate says whether the event makes sense: that it is known, has a time, and has
// the fields that are its own and no others. Errors wrap ErrBadLedger.
func (e LedgerEvent) Validate() error {
	switch {
	case e.Kind != LedgerKind:
		return wrongEntry("kind is another format's")
	case !knownEvent(e.Event):
		return wrongEntry("event is not known")
	case e.Time.IsZero():
		return wrongEntry("time is missing")
	case utf8.RuneCountInString(e.Reason) > maxReason || !utf8.ValidString(e.Reason):
		return wrongEntry("reason is too long, or not text")
	case e.Event == LedgerHeld && (e.Reason == "" || e.Until.IsZero()):
		return wrongEntry("a hold has no reason or no end")
	case e.Event != LedgerHeld && e.Event != LedgerReleased && (e.Reason != "" || !e.Until.IsZero()):
		return wrongEntry("reason and until are those of a hold")
	case e.Event == LedgerErased && !digestPattern.MatchString(e.ReceiptDigest):
		return wrongEntry("an erase has no digest of its receipt")
	case e.Event != LedgerErased && e.ReceiptDigest != "":
		return wrongEntry("receiptDigest is that of an erase")
	}
	return nil
}

func (e LedgerEvent) normal() LedgerEvent {
	if e.Kind == "" {
		e.Kind = LedgerKind
	}
	e.Time, e.Until = wholeSecond(e.Time), wholeSecond(e.Until)
	return e
}

func knownEvent(event string) bool {
	switch event {
	case LedgerHeld, LedgerReleased, LedgerRetained, LedgerOrphaned, LedgerErased:
		return true
	}
	return false
}

func wrongEntry(what string) error { return fmt.Errorf("%w: %s", ErrBadLedger, what) }

// badLedger marks an error as ErrBadLedger, once.
func badLedger(err error) error {
	if err == nil || errors.Is(err, ErrBadLedger) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBadLedger, err)
}
