package erasure

import "strings"

// span is a part of the keys under a prefix: those after one key, and up to and with
// another; "" for no bound.
type span struct {
	after, through string
	// end is a key after which there is probably nothing in the span; "" if it is not
	// known. It only helps to guess.
	end string
}

// holds says whether a key that comes after the span's beginning is in the span.
func (s span) holds(key string) bool { return s.through == "" || key <= s.through }

// guesses gives keys within what is left of a span, in descending order, after the
// keys from first to last were listed. Names count up from right to left, so each
// guess is the last key, cut off at a place before the two differ, with what stands
// there raised half way to its highest: for the last key img0999 that is it, imq, img5
// and so on.
func (s span) guesses(prefix, first, last string) []string {
	var all []string
	for at := len(prefix); at < len(last); at++ {
		if guess, ok := raise(last, at, s.end); ok && s.below(guess) {
			all = append(all, guess)
		}
		if at >= len(first) || first[at] != last[at] {
			break
		}
	}
	return all
}

// below says whether there may be something in the span after a key.
func (s span) below(key string) bool {
	return (s.through == "" || key < s.through) && (s.end == "" || key < s.end)
}

// raise gives a key that is greater than all that begin like this one up to and with
// the given place, and smaller than about half of those that only begin like it
// before that place and are not after the end.
func raise(key string, at int, end string) (string, bool) {
	top, ok := highest(key[at])
	if !ok {
		return "", false
	}
	if len(end) > at && end[:at] == key[:at] && key[at] < end[at] && end[at] <= top {
		top = end[at] - 1
	}
	raised := key[at] + (top-key[at]+1)/2
	if key[at] >= top {
		raised = key[at] + 1
	}
	var b strings.Builder
	b.WriteString(key[:at])
	b.WriteByte(raised)
	return b.String(), true
}

// highest gives the last of the letters, or digits, that this one is among. There is
// none elsewhere in Unicode, and for what separates words.
func highest(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return '9', true
	case 'A' <= c && c <= 'Z':
		return 'Z', true
	case 'a' <= c && c <= 'z':
		return 'z', true
	}
	return 0, false
}
