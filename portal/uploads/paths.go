package uploads

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

// maxDepth bounds the parts of a path: each folder is looked for when a file is added.
const maxDepth = 32

// cleanPath makes a name that a browser gives into a path: slashes as the only ones that
// separate, none at the ends or doubled, no ".", and letters in the form that most systems
// write (NFC; macOS gives NFD). What could lead elsewhere is refused and not mended.
func cleanPath(name string) (string, error) {
	name = norm.NFC.String(strings.ReplaceAll(name, `\`, "/"))
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		if part = strings.TrimSpace(part); part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	if len(parts) > maxDepth {
		return "", portal.Invalid("files", fmt.Sprintf("The file “%s” lies in more than %d folders. Move it up and add it again.", shown(name), maxDepth-1))
	}
	path := strings.Join(parts, "/")
	if err := objectkey.ValidatePath(path); err != nil {
		words := strings.TrimPrefix(err.Error(), objectkey.ErrBadPath.Error()+": ")
		if !errors.Is(err, objectkey.ErrBadPath) {
			words = "it can't be used"
		}
		return "", portal.Invalid("files", "The name of the file “"+shown(name)+"” can't be used: "+words+". Rename it and add it again.")
	}
	return path, nil
}

// shown cuts a name that goes into a message.
func shown(name string) string {
	const most = 80
	runes := []rune(strings.ToValidUTF8(name, "?"))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}
