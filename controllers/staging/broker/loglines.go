package broker

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// maxStamp bounds a line's time, in bytes.
const maxStamp = 64

// readLines takes what is after since out of a log in which each line begins with its
// time, and gives as many whole lines as one answer may have. A log is found by whole
// seconds, so the lines up to since are there again. ended says that the trainer has
// ended: a last line without an end is whole then. An error costs nothing if there is
// something to give: the rest is asked for again.
func readLines(log io.Reader, since time.Time, ended bool) (staging.LogAnswer, error) {
	count := &counter{from: log}
	c := collector{log: count, lines: bufio.NewReaderSize(count, 32<<10), since: since, ended: ended, last: since}
	err := c.collect()
	limited := count.limited()
	answer := staging.LogAnswer{Lines: c.taken, Last: c.last, More: c.full || limited, Ended: ended}
	switch {
	case len(c.taken) > 0:
		answer.More = answer.More || err != nil
		return answer, nil
	case err != nil:
		return staging.LogAnswer{}, err
	case limited && !c.full:
		// More in one second than is ever read: the next second is all that helps.
		answer.Last = since.Truncate(time.Second).Add(time.Second - time.Nanosecond)
	}
	return answer, nil
}

// collector collects lines.
type collector struct {
	log   *counter
	lines *bufio.Reader
	since time.Time
	ended bool

	taken []byte
	// last is the time of the last line, and before that of the last one with another
	// time. same is where the lines with the last time begin.
	last, before time.Time
	same         int
	// full says that a line did not fit.
	full bool
}

// collect reads until the end, or until a line does not fit.
func (c *collector) collect() error {
	for !c.full {
		err := c.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// line reads one line and takes it if it is after since. A line with no time is none of
// the trainer's.
func (c *collector) line() error {
	part, err := c.lines.ReadSlice('\n')
	at, ok := timeOf(part)
	if !ok || !at.After(c.since) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = c.lines.ReadSlice('\n')
		}
		return err
	}
	begin := len(c.taken)
	for {
		if len(c.taken)+len(part) > staging.MaxLogChunk {
			c.overflow(begin, at, part)
			return nil
		}
		c.taken = append(c.taken, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
		part, err = c.lines.ReadSlice('\n')
	}
	if err != nil && !c.finish(begin, err) {
		return err
	}
	c.note(begin, at)
	return err
}

// finish ends a line that has no end, if nothing will follow, and otherwise drops it.
func (c *collector) finish(begin int, err error) bool {
	if c.ended && !c.log.limited() && errors.Is(err, io.EOF) && len(c.taken) < staging.MaxLogChunk {
		c.taken = append(c.taken, '\n')
		return true
	}
	c.taken = c.taken[:begin]
	return false
}

// note notes that the line that begins there is taken.
func (c *collector) note(begin int, at time.Time) {
	if !at.Equal(c.last) {
		c.before, c.same = c.last, begin
	}
	c.last = at
}

// overflow ends the answer before a line that does not fit, and before others of the
// same time, because they would not be found again by their time. A line that no
// answer has room for is cut.
func (c *collector) overflow(begin int, at time.Time, part []byte) {
	c.full = true
	if begin == 0 {
		c.taken = append(append(c.taken, part...)[:staging.MaxLogChunk-1], '\n')
		c.note(begin, at)
		return
	}
	c.taken = c.taken[:begin]
	if at.Equal(c.last) && c.same > 0 {
		c.taken, c.last = c.taken[:c.same], c.before
	}
}

// timeOf reads the time that a line begins with.
func timeOf(line []byte) (time.Time, bool) {
	stamp, _, ok := bytes.Cut(line[:min(len(line), maxStamp)], []byte(" "))
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	return at.UTC(), err == nil
}

// counter counts what is read.
type counter struct {
	from io.Reader
	read int64
}

// limited says that there may be more, which was not asked for.
func (c *counter) limited() bool { return c.read >= maxLogRead }

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.read += int64(n)
	return n, err
}
