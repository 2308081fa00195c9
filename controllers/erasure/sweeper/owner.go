package sweeper

import (
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// owner is an object of which there is or was data. It is small and comparable,
// because a sweep keeps one for each object with data in the store.
type owner struct {
	namespace string
	id        [16]byte
}

// parseOwner reads "<namespace>/<uid>/". It reports false for everything else: no
// other key comes from the operator, so none is ever touched.
func parseOwner(key string) (owner, bool) {
	namespace, rest, _ := strings.Cut(key, "/")
	uid, whole := strings.CutSuffix(rest, "/")
	if !whole {
		return owner{}, false
	}
	return newOwner(namespace, uid)
}

func newOwner(namespace, uid string) (owner, bool) {
	if objectkey.ValidateOwner(namespace, uid) != nil {
		return owner{}, false
	}
	o := owner{namespace: namespace}
	_, err := hex.Decode(o.id[:], []byte(strings.ReplaceAll(uid, "-", "")))
	return o, err == nil
}

func (o owner) uid() types.UID {
	digits := hex.EncodeToString(o.id[:])
	return types.UID(digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:])
}

func (o owner) prefix() string { return objectkey.OwnerPrefix(o.namespace, string(o.uid())) }

// place is where an owner's data lies.
type place struct {
	bucket string
	owner
}
