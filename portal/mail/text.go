package mail

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// width is how long a line of text gets, in characters (RFC 5322, 2.1.1 advises 78).
// Links are never broken.
const width = 72

// text is the plain part.
func (c content) text() string {
	var b strings.Builder
	write := func(lines ...string) { b.WriteString(strings.Join(lines, "\n") + "\n\n") }
	write(c.Subject)
	for _, paragraph := range c.Say {
		write(wrap(paragraph))
	}
	if len(c.Facts) > 0 {
		write(list(c.Facts)...)
	}
	if c.Action != nil {
		write(c.Action.text()...)
	}
	if len(c.NotYou) > 0 {
		write("If this wasn't you")
		for _, paragraph := range c.NotYou {
			write(wrap(paragraph))
		}
	}
	if c.Rescue != nil {
		write(c.Rescue.text()...)
	}
	reason := alwaysSent
	if c.Optional != nil {
		reason = sometimesSent
	}
	// The line before it tells mail programs that the rest is a signature.
	b.WriteString(strings.Join([]string{
		"-- ", fmt.Sprintf("%s, %s", c.Service, c.Origin),
		wrap(reason + " " + neverAsked), "",
	}, "\n"))
	if c.Optional != nil {
		b.WriteString(strings.Join(append(c.Optional.text(), ""), "\n"))
	}
	return b.String()
}

// What stands under each mail. The layout of the HTML says the same.
const (
	alwaysSent    = "This mail is about your account, so it can't be switched off."
	sometimesSent = "You can do without mails like this one."
	neverAsked    = "We never ask for a password or a code by mail."
)

func (a action) text() []string {
	lines := []string{a.Label + ":", a.URL}
	if a.Note != "" {
		lines = append(lines, wrap(a.Note))
	}
	return lines
}

// list sets values below each other.
func list(facts []fact) []string {
	longest := 0
	for _, f := range facts {
		longest = max(longest, len(f.Name))
	}
	lines := make([]string, 0, len(facts))
	for _, f := range facts {
		lines = append(lines, fmt.Sprintf("  %-*s  %s", longest+1, f.Name+":", f.Value))
	}
	return lines
}

// wrap breaks a paragraph into lines.
func wrap(paragraph string) string {
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(paragraph) {
		length := utf8.RuneCountInString(word)
		switch {
		case used == 0:
		case used+1+length > width:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += length
	}
	return b.String()
}
