package erasure

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

var (
	// ErrRefused says that a guard found the target not safe to erase. Trying again
	// does not help; a person has to look.
	ErrRefused = errors.New("refused to erase")
	// ErrUnknownStore says that the store does not identify itself as the one where
	// the data was put. It wraps ErrRefused.
	ErrUnknownStore = fmt.Errorf("%w: the store is not the one where the data was put", ErrRefused)
	// ErrIncomplete says that data was still found after the last pass, because
	// somebody keeps writing. Worth another try once the writers are gone.
	ErrIncomplete = errors.New("the store still holds data after the erase")
)

// LockedError says that the bucket has an object lock, so that not everything can be
// removed. It is an ErrRefused.
type LockedError struct {
	// Until is the latest date up to which one of the first versions under the prefix
	// is retained: all can be removed then, if they were uploaded together and nobody
	// has set a legal hold. Zero if none of them is retained.
	Until time.Time
}

func (e *LockedError) Error() string {
	text := ErrRefused.Error() + ": the bucket has an object lock"
	if e.Until.IsZero() {
		return text
	}
	return text + ", and what is stored can be removed from " + e.Until.UTC().Format(time.RFC3339) + " on"
}

// Is makes the error an ErrRefused.
func (e *LockedError) Is(target error) bool { return target == ErrRefused }

var (
	// uidPattern is what the API server gives as UIDs: RFC 4122, lower case.
	uidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	// namespacePattern is what the API server takes as the name of a namespace: RFC 1123.
	namespacePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

// Target is the place of one object's data.
type Target struct {
	Bucket string
	// Prefix is objectkey.OwnerPrefix: "<namespace>/<uid>/".
	Prefix string
	// UID of the object that owns the data.
	UID string
	// Store is the identity of the store where the data was put; see
	// Engine.Identity.
	Store string
}

// check refuses everything but the prefix of the one object. A prefix that is
// empty, short, or of another object would erase what nobody asked for.
func (t Target) check(reserved []string) error {
	namespace, _, _ := strings.Cut(t.Prefix, "/")
	switch {
	case t.Bucket == "":
		return fmt.Errorf("%w: no bucket is named", ErrRefused)
	case slices.Contains(reserved, t.Bucket):
		return fmt.Errorf("%w: the bucket holds receipts or the ledger", ErrRefused)
	case !uidPattern.MatchString(t.UID):
		return fmt.Errorf("%w: %q is not an object's UID", ErrRefused, t.UID)
	case !namespacePattern.MatchString(namespace) || t.Prefix != objectkey.OwnerPrefix(namespace, t.UID):
		return fmt.Errorf("%w: the prefix is not a namespace and the object's own UID", ErrRefused)
	case !storePattern.MatchString(t.Store):
		return fmt.Errorf("%w: it is not known where the data was put", ErrUnknownStore)
	}
	return nil
}

// sameStore looks at the identity that a store has given, or at the error in its
// place.
func (t Target) sameStore(identity string, err error) error {
	switch {
	case err != nil && missing(err):
		return fmt.Errorf("%w: %w", ErrUnknownStore, err)
	case err != nil:
		return err
	case identity != t.Store:
		return fmt.Errorf("%w: it says to be %q, not %q", ErrUnknownStore, identity, t.Store)
	}
	return nil
}

// listed looks at an entry of a listing, or at the error in its place. It guards
// against a store that lists what it was not asked for.
func (t Target) listed(key string, err error) error {
	if err != nil {
		return refuseHidden(err)
	}
	if !strings.HasPrefix(key, t.Prefix) {
		return fmt.Errorf("%w: the store listed a key that is not under the prefix", ErrRefused)
	}
	return nil
}

// refuseHidden refuses what the store does not show because of an object that has
// the prefix's own name, and is nobody's: a person has to take that away.
func refuseHidden(err error) error {
	if errors.Is(err, objectstore.ErrHidden) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}
