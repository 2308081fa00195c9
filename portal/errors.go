package portal

import (
	"errors"
	"time"
)

// Kind says whose move it is after an error. It becomes the HTTP status.
type Kind int

// Kinds of errors. An error that is none of ours is KindInternal.
const (
	// KindInternal is ours to mend. Its text is for the log, never for a person.
	KindInternal Kind = iota
	// KindInvalid: what was sent can't be accepted; Field says which part.
	KindInvalid
	// KindUnauthenticated: who asks has to sign in.
	KindUnauthenticated
	// KindStepUp: who asks has to authenticate again before this (ASVS 7.5).
	KindStepUp
	// KindForbidden: who asks may not do this.
	KindForbidden
	// KindNotFound: there is no such thing, or it is not theirs.
	KindNotFound
	// KindConflict: the thing is not in the state that was assumed.
	KindConflict
	// KindTooMany: too many attempts; RetryAfter says when to come back.
	KindTooMany
	// KindUnavailable: something that we need does not answer; it is worth trying later.
	KindUnavailable
)

// String is the kind's word, for the log.
func (k Kind) String() string {
	words := [...]string{
		KindInternal: "internal", KindInvalid: "invalid", KindUnauthenticated: "unauthenticated", KindStepUp: "step-up",
		KindForbidden: "forbidden", KindNotFound: "not-found", KindConflict: "conflict", KindTooMany: "too-many",
		KindUnavailable: "unavailable",
	}
	if k < 0 || int(k) >= len(words) {
		return "unknown"
	}
	return words[k]
}

// Error is an error with words for the person who caused or meets it.
type Error struct {
	Kind Kind
	// Message is one or two sentences for that person: what happened and what to do.
	// It never holds an address, a secret or text of another program.
	Message string
	// Field is the name of the form field at fault; "" for none.
	Field string
	// RetryAfter is how long to wait; 0 when that is not known.
	RetryAfter time.Duration
	// Err is the cause, for the log; may be nil.
	Err error
}

// Error is for the log: it holds the cause too.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf gives the kind of an error, KindInternal for those that are not ours.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// Invalid says that one field can't be accepted, and why.
func Invalid(field, message string) error {
	return &Error{Kind: KindInvalid, Field: field, Message: message}
}

// ErrNotFound is what stores give for what is not there.
var ErrNotFound = &Error{Kind: KindNotFound, Message: "There is no such thing, or it is not yours."}

// ErrConflict is what stores give when a compare-and-set did not find what it compared
// with, and when a unique value is taken.
var ErrConflict = &Error{Kind: KindConflict, Message: "This has changed in the meantime. Reload the page and try again."}
