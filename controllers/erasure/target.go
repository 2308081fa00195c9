package erasure

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/lethe-dev/lethe/api/objectkey"
)

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
}

// check refuses everything but the prefix of the one object. A prefix that is
// empty, short, or of another object would erase what nobody asked for.
func (t Target) check(receipts string) error {
	namespace, _, _ := strings.Cut(t.Prefix, "/")
	switch {
	case t.Bucket == "":
		return fmt.Errorf("%w: no bucket is named", ErrRefused)
	case t.Bucket == receipts:
		return fmt.Errorf("%w: the bucket holds receipts", ErrRefused)
	case !uidPattern.MatchString(t.UID):
		return fmt.Errorf("%w: %q is not an object's UID", ErrRefused, t.UID)
	case !namespacePattern.MatchString(namespace) || t.Prefix != objectkey.OwnerPrefix(namespace, t.UID):
		return fmt.Errorf("%w: the prefix is not a namespace and the object's own UID", ErrRefused)
	}
	return nil
}

// listed looks at an entry of a listing, or at the error in its place. It guards
// against a store that lists what it was not asked for.
func (t Target) listed(key string, err error) error {
	if err != nil {
		return err
	}
	if !strings.HasPrefix(key, t.Prefix) {
		return fmt.Errorf("%w: the store listed a key that is not under the prefix", ErrRefused)
	}
	return nil
}
