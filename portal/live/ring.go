package live

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// lineCost is what a line costs in the ring beside its text, in bytes.
const lineCost = 64

// ring holds the newest lines of a log.
type ring struct {
	limit int
	// lines are those from the one with the number first on; head of them are gone.
	lines []portal.LogLine
	head  int
	first int64
	size  int
	// last is the position of the newest line that ever was here, lost that of the newest
	// that is not here any more.
	last, lost portal.LogPosition
}

func (r *ring) end() int64                { return r.first + int64(len(r.lines)-r.head) }
func (r *ring) at(n int64) portal.LogLine { return r.lines[r.head+int(n-r.first)] }

func (r *ring) add(line portal.LogLine) {
	r.lines = append(r.lines, line)
	r.size += len(line.Text) + lineCost
	r.last = line.Position
	for r.size > r.limit && r.head < len(r.lines)-1 {
		gone := r.lines[r.head]
		r.lost = gone.Position
		r.size -= len(gone.Text) + lineCost
		r.lines[r.head] = portal.LogLine{}
		r.head++
		r.first++
	}
	if r.head > len(r.lines)/2 {
		n := copy(r.lines, r.lines[r.head:])
		clear(r.lines[n:])
		r.lines, r.head = r.lines[:n], 0
	}
}

// find gives the number of the first line after a position, and how many before it are
// lost to who was there: -1 is some.
func (r *ring) find(after portal.LogPosition) (number, skipped int64) {
	if after == (portal.LogPosition{}) {
		return r.first, r.first
	}
	if after.Before(r.lost) {
		return r.first, -1
	}
	for n := r.first; n < r.end(); n++ {
		if after.Before(r.at(n).Position) {
			return n, 0
		}
	}
	return r.end(), 0
}

// maxLine is where a line is cut into two, in bytes.
const maxLine = 16 << 10

// eachLine reads lines with their times and gives those after last, in batches of what
// came at once. It gives nil at the end.
func eachLine(body io.Reader, last portal.LogPosition, visit func([]portal.LogLine)) error {
	in := bufio.NewReaderSize(body, maxLine)
	l := liner{last: last, again: last != portal.LogPosition{}, whole: true}
	for {
		raw, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil // A long line: the rest of it comes as another.
		}
		l.take(raw)
		if len(l.batch) > 0 && (in.Buffered() == 0 || len(l.batch) >= partLines || err != nil) {
			visit(l.batch)
			l.batch = nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// liner makes lines of what is read.
type liner struct {
	// at is where the line before was, last the newest position that was given.
	at, last portal.LogPosition
	// again: until something new comes, what is read may be what was read before.
	again bool
	// whole: what was read before ended a line.
	whole bool
	batch []portal.LogLine
}

func (l *liner) take(raw []byte) {
	if len(raw) == 0 {
		return
	}
	var text []byte
	l.at, text = locate(l.at, raw, l.whole)
	l.whole = raw[len(raw)-1] == '\n'
	if l.again && !l.last.Before(l.at) {
		return
	}
	if !l.again && l.at.Before(l.last) {
		l.at = portal.LogPosition{At: l.last.At, Same: l.last.Same + 1} // The node's clock was set back.
	}
	l.again, l.last = false, l.at
	l.batch = append(l.batch, portal.LogLine{Position: l.at, Text: clean(text)})
}

// locate takes the time off a line. What has none, such as the rest of a line that was
// cut, is of the time of what came before.
func locate(before portal.LogPosition, raw []byte, whole bool) (portal.LogPosition, []byte) {
	text := bytes.TrimRight(raw, "\r\n")
	moment, rest, ok := bytes.Cut(text, []byte(" "))
	if !ok {
		moment, rest = text, nil // A line without text.
	}
	if whole {
		if at, err := time.Parse(time.RFC3339Nano, string(moment)); err == nil {
			at = at.UTC()
			if at.Equal(before.At) {
				return portal.LogPosition{At: at, Same: before.Same + 1}, rest
			}
			return portal.LogPosition{At: at, Same: 1}, rest
		}
	}
	return portal.LogPosition{At: before.At, Same: before.Same + 1}, text
}

// escapes are what terminals take for commands, for example for colours.
var escapes = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)|[@-Z\\\\-_])")

// clean makes text of what a program put out: without colours, without what is no text,
// and of a bar that was drawn over and over, only how it looked last.
func clean(raw []byte) string {
	text := string(raw)
	if strings.IndexByte(text, '\x1b') >= 0 {
		text = escapes.ReplaceAllString(text, "")
	}
	text = strings.TrimRight(text, "\r")
	if i := strings.LastIndexByte(text, '\r'); i >= 0 {
		text = text[i+1:]
	}
	return strings.Map(func(c rune) rune {
		if c != '\t' && (c < ' ' || c >= 0x7f && c < 0xa0) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
