package words

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain makes a text from the cluster fit to be shown in one line: nothing of it can
// move the cursor or change colours, and lines and tabs become spaces.
func Plain(text string) string { return strings.Join(strings.Fields(Harmless(text)), " ") }

// sequence is what moves the cursor or changes colours (ECMA-48, CSI).
var sequence = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// Harmless takes out of a text what a terminal would act on, but for line ends and
// tabs.
func Harmless(text string) string {
	text = sequence.ReplaceAllString(text, "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
}

// Length is how many columns a text takes, where each character takes one.
func Length(text string) int { return utf8.RuneCountInString(text) }

// Cut shortens a text to a number of columns, 0 for any; three dots stand for what
// is left out.
func Cut(text string, columns int) string {
	const dots = "..."
	if columns <= 0 || Length(text) <= columns {
		return text
	}
	runes := []rune(text)
	if columns <= len(dots) {
		return string(runes[:columns])
	}
	return strings.TrimRight(string(runes[:columns-len(dots)]), " ") + dots
}

// Wrap breaks a text into lines of at most this many columns, 0 for one line of any
// length. A word that is longer stands on a line of its own, whole, so that it can be
// copied.
func Wrap(text string, columns int) []string {
	if columns <= 0 {
		return []string{text}
	}
	var lines []string
	var line string
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case Length(line)+1+Length(word) <= columns:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}
