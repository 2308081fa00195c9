package mail

import (
	"bytes"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// What tests outside of the package look at.

// Next is when a mail is tried again.
func Next(m portal.Mail, now time.Time, spread float64) time.Time { return next(m, now, spread) }

// Deadline is when a mail is not sent any more.
func Deadline(m portal.Mail) time.Time { return deadline(m) }

// Render makes a message.
func Render(o Options, m portal.Mail) (Message, error) { return o.render(m) }

// MIME is a message as it goes over the wire.
func MIME(m Message) ([]byte, error) {
	msg, err := m.mime()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = msg.WriteTo(&b)
	return b.Bytes(), err
}

// Times of the sender.
const (
	Poll  = poll
	Lease = lease
)
