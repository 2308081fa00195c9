package mail

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// How failures are met (RFC 5321, 4.5.4.1: wait between tries, give up after some days).
const (
	firstRetry = time.Minute
	lastRetry  = 6 * time.Hour
	// GiveUpAfter is for how long a mail is tried.
	GiveUpAfter = 3 * 24 * time.Hour
)

// deadline is when a mail is not sent any more. One that only brings a link is of no use
// once the link has expired.
func deadline(m portal.Mail) time.Time {
	end := m.CreatedAt.Add(GiveUpAfter)
	made := kinds[m.Kind]
	if !made.idle {
		return end
	}
	asked := m.Data.Time
	if asked.IsZero() {
		asked = m.CreatedAt
	}
	if expires := asked.Add(made.purpose.Life()); expires.Before(end) {
		return expires
	}
	return end
}

// next is when a mail is tried again that has just failed; the zero time for never.
// spread, from 0 to 1, keeps many mails from coming back together.
func next(m portal.Mail, now time.Time, spread float64) time.Time {
	wait := lastRetry
	if m.Attempts < 16 { // doubled more often it would overflow
		wait = min(firstRetry<<m.Attempts, lastRetry)
	}
	wait += time.Duration(spread * float64(wait) / 10)
	at := now.Add(wait)
	if !at.Before(deadline(m)) {
		return time.Time{}
	}
	return at
}

// fraction is a random number from 0 to 1.
func fraction(random io.Reader) float64 {
	var b [4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		panic(fmt.Sprintf("read randomness: %v", err)) // as portal.NewID does
	}
	return float64(binary.LittleEndian.Uint32(b[:])) / (1 << 32)
}
