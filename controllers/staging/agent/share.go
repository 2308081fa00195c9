package agent

// share is the part of a manifest that one of several nodes gets: the files whose
// position, counted from 0, leaves the remainder index when divided by count. The zero
// value is all of them.
type share struct {
	count, index int64
}

// has says whether the entry with this number, from 1, is in the share.
func (s share) has(number int64) bool { return s.count <= 1 || (number-1)%s.count == s.index }

// position gives the number in the manifest of the n-th entry of the share, both from 1.
func (s share) position(n int64) int64 {
	if s.count <= 1 {
		return n
	}
	return (n-1)*s.count + s.index + 1
}
