package agent

import "bytes"

// lineReader cuts a stream that may be anything into lines. It holds one line at most.
type lineReader struct {
	// limit of a line in bytes, without its end; longer ones are left out.
	limit int
	held  []byte
	// skipping is true until the end of a line that is left out.
	skipping bool
}

// feed passes on each line that ends in data, without its end. The line is valid until
// the next one.
func (r *lineReader) feed(data []byte, line func([]byte)) {
	for len(data) > 0 {
		piece, rest, ended := bytes.Cut(data, []byte{'\n'})
		data = rest
		if !r.skipping && len(r.held)+len(piece) <= r.limit {
			r.held = append(r.held, piece...)
		} else {
			r.skipping, r.held = true, r.held[:0]
		}
		if !ended {
			return
		}
		if !r.skipping {
			line(r.held)
		}
		r.skipping, r.held = false, r.held[:0]
	}
}

// reset forgets what is held. The rest of a line that has begun is left out if so told.
func (r *lineReader) reset(within bool) { r.held, r.skipping = r.held[:0], within }
