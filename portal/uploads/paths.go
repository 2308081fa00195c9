package uploads

import (
	"errors"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

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
