package mail

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	netmail "net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/lethe-dev/lethe/portal"
)

// How much of a value and of a text is shown, in characters.
const (
	maxShown = 100
	maxText  = 1000
)

//go:embed layout.html
var layoutText string

var layout = template.Must(template.New("layout").Parse(layoutText))

// Message is a mail, rendered.
type Message struct {
	// ID is the Message-ID, without its angle brackets. The same mail has the same.
	ID      string
	From    netmail.Address
	ReplyTo string // an address; "" for From's
	To      portal.Email
	Date    time.Time
	Subject string
	// Text and HTML say the same.
	Text, HTML string
}

// content is what both layouts show.
type content struct {
	Service, Origin, Subject string
	Say, NotYou              []string
	Facts                    []fact
	Action, Rescue           *action
	// Optional mails say where they are switched off.
	Optional *action
}

// render makes a mail of what the outbox holds. An error says that the row can never be
// sent; it holds nothing of the row but its kind.
func (o Options) render(m portal.Mail) (Message, error) {
	to, err := portal.ParseEmail(string(m.To))
	if err != nil || to != m.To {
		return Message{}, fmt.Errorf("render a mail of kind %q: its recipient is no address", m.Kind)
	}
	if strings.Trim(string(m.ID), "abcdefghijklmnopqrstuvwxyz0123456789") != "" || m.ID == "" {
		return Message{}, fmt.Errorf("render a mail of kind %q: its ID is none", m.Kind)
	}
	made, ok := kinds[m.Kind]
	if !ok {
		return Message{}, errors.New("render a mail: its kind is not known")
	}
	f, err := o.facts(m, made)
	if err != nil {
		return Message{}, fmt.Errorf("render a mail of kind %q: %w", m.Kind, err)
	}
	w := made.words(f)
	c := content{
		Service: o.Service, Origin: o.Origin, Subject: w.subject,
		Say: w.say, NotYou: w.notYou, Facts: w.facts, Action: w.action, Rescue: w.rescue,
	}
	if slices.Contains(portal.OptionalMails(), m.Kind) {
		c.Optional = f.page("Choose which mails you get", pathMails)
	}
	var html bytes.Buffer
	if err := layout.Execute(&html, c); err != nil {
		return Message{}, fmt.Errorf("render a mail of kind %q: %w", m.Kind, err)
	}
	return Message{
		ID:   string(m.ID) + "@" + domain(o.From.Address),
		From: o.From, ReplyTo: o.ReplyTo, To: to,
		// Not the time of sending: a second try is the same mail.
		Date:    m.CreatedAt.UTC(),
		Subject: w.subject, Text: c.text(), HTML: html.String(),
	}, nil
}

// facts makes a mail's data fit to be shown.
func (o Options) facts(m portal.Mail, made kind) (facts, error) {
	f := facts{
		service: o.Service, origin: o.Origin, when: m.Data.Time,
		browser: shown(m.Data.Browser), country: country(m.Data.Country), name: shown(m.Data.Name), left: m.Data.Left,
		text: line(m.Data.Text, maxText), ends: m.Data.Until,
	}
	if f.when.IsZero() {
		f.when = m.CreatedAt
	}
	if made.purpose == "" && !made.page {
		return f, nil
	}
	if made.purpose != "" {
		f.until = f.when.Add(made.purpose.Life())
	}
	if !ownPath(m.Data.Link) {
		return facts{}, errors.New("its link is not one of this portal")
	}
	f.link = o.Origin + m.Data.Link
	return f, nil
}

// ownPath reports whether a link is a path and query on our own origin, in characters
// that stand in a URL as they are (RFC 3986, 2).
func ownPath(link string) bool {
	const others = "-._~/?&=%+"
	for _, c := range link {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(others, c) {
			return false
		}
	}
	parsed, err := url.Parse(link)
	return err == nil && strings.HasPrefix(link, "/") && !strings.HasPrefix(link, "//") && parsed.Host == "" && parsed.Scheme == ""
}

// shown is a word of somebody's own or of a browser, as one line without surprises.
func shown(text string) string {
	if text = line(text, maxShown); text != "" {
		return text
	}
	return "not known"
}

// line is a text as one line without surprises, at most so many characters long.
func line(text string, longest int) string {
	text = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, " "))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest-1]) + "…"
	}
	return text
}

var regions = display.English.Regions()

// country names a country by its ISO 3166-1 code.
func country(code string) string {
	region, err := language.ParseRegion(code)
	if err != nil || !region.IsCountry() || code == portal.UnknownCountry {
		return "not known"
	}
	return regions.Name(region)
}

func domain(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }
