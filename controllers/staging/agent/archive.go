package agent

import (
	"bytes"
	"regexp"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// Bounds of what is kept of a trainer's output, in bytes.
const (
	maxPiece = 4 << 20
	maxHead  = 64 << 20
	maxTail  = 4 << 20
	// maxEnding is what is held of the output to tell its end from, before what is no
	// text is taken out of it.
	maxEnding = 4 * staging.MaxLogTail
)

// archive sorts a trainer's output into pieces, and what comes after maxHead into a tail
// of which the end is kept.
type archive struct {
	// number of the piece that grows, from 1.
	number int
	piece  []byte
	// head sums up the pieces before it.
	head int64
	tail []byte
}

// add takes in as much of data as goes into the piece and gives the rest. When it is not
// empty, the piece is complete: it is to be stored before next and the rest is added.
func (a *archive) add(data []byte) (rest []byte) {
	if a.head >= maxHead {
		a.tail = append(a.tail, data...)
		if over := len(a.tail) - maxTail; over > 0 {
			a.tail = append(a.tail[:0], a.tail[over:]...)
		}
		return nil
	}
	room := maxPiece - len(a.piece)
	if len(data) <= room {
		a.piece = append(a.piece, data...)
		return nil
	}
	cut := bytes.LastIndexByte(data[:room], '\n') + 1
	if cut == 0 && len(a.piece) == 0 {
		cut = room // A line that is longer than a piece.
	}
	a.piece = append(a.piece, data[:cut]...)
	return data[cut:]
}

// next begins another piece.
func (a *archive) next() {
	a.head += int64(len(a.piece))
	a.number, a.piece = a.number+1, a.piece[:0]
}

// logEnd holds the end of the output.
type logEnd struct {
	held []byte
	last time.Time
}

// add takes in lines, the last of which is from a moment, unless they were seen before.
func (e *logEnd) add(lines []byte, last time.Time) {
	if !last.After(e.last) {
		return
	}
	e.last = last
	lines = lines[max(len(lines)-maxEnding, 0):]
	e.held = append(e.held, lines...)
	e.held = append(e.held[:0], e.held[max(len(e.held)-maxEnding, 0):]...)
}

// escapes are what terminals take for commands, for example for colours.
var escapes = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)|[@-Z\\\\-_])")

// text gives the end of the output as a report has it: without times, without what is
// no text, and from the beginning of a line if one is in it.
func (e *logEnd) text() string {
	var out strings.Builder
	for line := range strings.Lines(string(e.held)) {
		_, _ = out.WriteString(withoutTime(line)) // Never fails.
	}
	text := strings.ToValidUTF8(escapes.ReplaceAllString(out.String(), ""), "")
	text = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0) {
			return -1
		}
		return r
	}, text)
	text = strings.TrimRight(text, "\n\t ")
	if over := len(text) - staging.MaxLogTail; over > 0 {
		if end := strings.IndexByte(text[over:], '\n'); end >= 0 {
			over += end + 1
		}
		text = strings.ToValidUTF8(text[over:], "")
	}
	return text
}

// withoutTime takes the time off a line; one that has none stays as it is.
func withoutTime(line string) string {
	moment, text, ok := strings.Cut(line, " ")
	if !ok {
		return line
	}
	if _, err := time.Parse(time.RFC3339Nano, moment); err != nil {
		return line
	}
	return text
}
