package transfer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// maxManifest is the longest manifest in bytes that the operator takes: a longer one
// makes the sealed dataset Invalid (reason ManifestMalformed), and sealing can not be
// taken back.
const maxManifest int64 = 1 << 30

// tooLong says what to do about a manifest of this length.
func tooLong(length int64) string {
	return fmt.Sprintf("the list of the files would have %s and may have %s: pack small files into larger ones, "+
		"or make several datasets", words.Bytes(length), words.Bytes(maxManifest))
}

// manifestLength is how long the manifest of the folder will be, in bytes. Where it
// can not come near the limit, it gives a bound that is below it.
func (f *Folder) manifestLength(limit int64) (int64, error) {
	const header, line, escaped = 64, 192, 6 // At most; the last for each byte of a path.
	bound := int64(header)
	for path := range f.stats {
		bound += line + escaped*int64(len(path))
	}
	if bound <= limit {
		return bound, nil
	}
	var written length
	w := objectkey.NewManifestWriter(&written)
	digest := strings.Repeat("0", 64)
	for _, path := range slices.Sorted(maps.Keys(f.stats)) {
		if err := w.Add(objectkey.Entry{Path: path, Size: f.stats[path].size, SHA256: digest}); err != nil {
			return 0, err
		}
	}
	_, err := w.Close()
	return int64(written), err
}

// length counts what is written to it.
type length int64

// Write counts.
func (n *length) Write(p []byte) (int, error) {
	*n += length(len(p))
	return len(p), nil
}
