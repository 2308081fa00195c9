package erasure

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrRefused: a guard found the target not safe to erase. Trying again does not
// help; a person has to look.
var ErrRefused = errors.New("refused to erase")

// uidPattern is what the API server gives as UIDs: RFC 4122, lower case.
var uidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Target is the place of one object's data.
type Target struct {
	Bucket string
	// Prefix is "<namespace>/<uid>/".
	Prefix string
	// UID of the object that owns the data.
	UID string
}

// check refuses everything but the prefix of the one object. A prefix that is
// empty, short, or of another object would erase what nobody asked for.
func (t Target) check(receipts string) error {
	namespace, rest, ok := strings.Cut(t.Prefix, "/")
	switch {
	case t.Bucket == "":
		return fmt.Errorf("%w: no bucket is named", ErrRefused)
	case t.Bucket == receipts:
		return fmt.Errorf("%w: the bucket holds receipts", ErrRefused)
	case !uidPattern.MatchString(t.UID):
		return fmt.Errorf("%w: %q is not an object's UID", ErrRefused, t.UID)
	case !ok || namespace == "" || rest != t.UID+"/":
		return fmt.Errorf("%w: the prefix is not a namespace and the object's own UID", ErrRefused)
	}
	return nil
}
