package review

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/portal"
)

// Bounds of what staff write, in code points.
const (
	MinReason = 10
	MaxReason = 500
	MaxCase   = 100
)

// checkReason gives a reason without outer space, or the error for the field "reason".
func checkReason(text string) (string, error) {
	return checkWords("reason", text, MinReason, MaxReason)
}

// checkWords bounds a text that is kept for good. It refuses addresses: the audit log and
// the holds outlive the data that they are about.
func checkWords(field, text string, least, most int) (string, error) {
	text = strings.TrimSpace(text)
	n := utf8.RuneCountInString(text)
	switch {
	case !utf8.ValidString(text) || strings.ContainsFunc(text, isControl):
		return "", portal.Invalid(field, "Use letters, digits, punctuation and line breaks only.")
	case n < least && least == 1:
		return "", portal.Invalid(field, "Enter a reference, such as the number of a ticket.")
	case n < least:
		return "", portal.Invalid(field, "Say why, in at least 10 characters.")
	case n > most:
		return "", portal.Invalid(field, "This is too long. Shorten it.")
	case holdsAddress(text):
		return "", portal.Invalid(field, "Leave email and IP addresses out: this text is kept longer than they may be.")
	}
	return text, nil
}

func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }

func holdsAddress(text string) bool {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`,;<>()[]{}"'`, r)
	})
	for _, word := range words {
		word = strings.Trim(word, ".!?:/")
		if _, err := portal.ParseEmail(word); err == nil {
			return true
		}
		if _, err := netip.ParseAddr(word); err == nil {
			return true
		}
		if _, err := netip.ParsePrefix(word); err == nil {
			return true
		}
	}
	return false
}
