package objectkey

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxPathLength bounds the path of one file, in bytes. S3 allows 1,024 bytes for
// a whole key; the rest is left for the prefix.
const MaxPathLength = 768

const (
	dataFolder   = "data/"
	manifestName = "manifest.jsonl"
)

// ErrBadPath is wrapped by every error of ValidatePath.
var ErrBadPath = errors.New("path is not allowed")

// ErrBadOwner is what ValidateOwner gives.
var ErrBadOwner = errors.New("namespace and UID are not those of an object")

var (
	// uidPattern is what the API server gives as UIDs: RFC 4122, lower case.
	uidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	// namespacePattern is what the API server takes as the name of a namespace: RFC 1123.
	namespacePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

// ValidateOwner gives ErrBadOwner unless both can be an object's, so that its prefix
// is that of one object and of nothing else.
func ValidateOwner(namespace, uid string) error {
	if !namespacePattern.MatchString(namespace) || !uidPattern.MatchString(uid) {
		return ErrBadOwner
	}
	return nil
}

// OwnerPrefix is the prefix under which all data of the object with this UID
// lies, with a slash at its end.
func OwnerPrefix(namespace, uid string) string { return namespace + "/" + uid + "/" }

// Data is the key of the file with this path under an owner's prefix. The path
// must have passed ValidatePath.
func Data(prefix, path string) string { return prefix + dataFolder + path }

// DataPrefix starts the keys of all files under an owner's prefix.
func DataPrefix(prefix string) string { return prefix + dataFolder }

// Path takes the path of a file out of its key. It reports false for keys that
// are not a file of that prefix.
func Path(prefix, key string) (string, bool) {
	p, ok := strings.CutPrefix(key, DataPrefix(prefix))
	return p, ok && p != ""
}

// Manifest is the key of the manifest under an owner's prefix.
func Manifest(prefix string) string { return prefix + manifestName }

// Receipt is the key of the receipt for the erase of the object with this UID. The
// same receipt lies in the chain; this copy is there to be found.
func Receipt(namespace, uid string) string { return namespace + "/" + uid + ".json" }

// ReceiptInChain is the key of the receipt with this place in the chain. It is never
// that of Receipt for a namespace "chain", since no UID has 20 characters.
func ReceiptInChain(sequence int64) string { return fmt.Sprintf("chain/%020d.json", sequence) }

// ValidatePath says whether a path may name a file of a dataset or an artifact:
// relative, slash-separated, clean (no ".", "..", doubled or trailing slash),
// valid UTF-8 without control characters, at most MaxPathLength bytes. A path
// that passes can be joined to a folder and never leaves it. The error wraps
// ErrBadPath and does not repeat the path, which may be personal data.
func ValidatePath(p string) error {
	switch {
	case p == "":
		return fmt.Errorf("%w: it is empty", ErrBadPath)
	case len(p) > MaxPathLength:
		return fmt.Errorf("%w: it is longer than %d bytes", ErrBadPath, MaxPathLength)
	case !utf8.ValidString(p):
		return fmt.Errorf("%w: it is not valid UTF-8", ErrBadPath)
	case strings.ContainsFunc(p, unicode.IsControl):
		return fmt.Errorf("%w: it contains a control character", ErrBadPath)
	case strings.Contains(p, `\`):
		return fmt.Errorf("%w: it contains a backslash", ErrBadPath)
	case path.IsAbs(p) || path.Clean(p) != p || p == "." || p == ".." || strings.HasPrefix(p, "../"):
		return fmt.Errorf("%w: it is not a clean relative path", ErrBadPath)
	}
	return nil
}
