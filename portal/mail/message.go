package mail

import (
	"errors"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// mime puts a message into MIME: text first, HTML as its alternative. The same message
// gives the same bytes.
func (m Message) mime() (*gomail.Msg, error) {
	left, _, _ := strings.Cut(m.ID, "@")
	msg := gomail.NewMsg(
		gomail.WithNoDefaultUserAgent(),
		gomail.WithCharset(gomail.CharsetUTF8),
		gomail.WithEncoding(gomail.EncodingQP),
		gomail.WithBoundary("lethe-"+left),
	)
	errs := []error{
		msg.FromFormat(m.From.Name, m.From.Address),
		msg.To(string(m.To)),
	}
	if m.ReplyTo != "" {
		errs = append(errs, msg.ReplyTo(m.ReplyTo))
	}
	msg.SetMessageIDWithValue(m.ID)
	msg.SetDateWithValue(m.Date)
	msg.Subject(m.Subject)
	// Robots don't answer it: RFC 3834, 5; and Exchange, which knows only its own word.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return msg, errors.Join(errs...)
}
