package portal

import (
	"net/mail"
	"strings"
)

// maxEmail is the longest address that SMTP can carry (RFC 5321, 4.5.3.1.3).
const maxEmail = 254

// Email is an address that ParseEmail accepted.
type Email string

// ParseEmail takes one plain address without a display name, in ASCII (an
// internationalised domain in its xn-- form). The error is for the person.
func ParseEmail(text string) (Email, error) {
	text = strings.TrimSpace(text)
	wrong := Invalid("email", "This is not an email address. It looks like name@example.org.")
	if text == "" {
		return "", Invalid("email", "Enter your email address.")
	}
	if len(text) > maxEmail {
		return "", Invalid("email", "This address is longer than mail can carry (254 characters).")
	}
	for _, c := range text {
		if c <= ' ' || c >= 0x7f {
			return "", wrong
		}
	}
	parsed, err := mail.ParseAddress(text)
	if err != nil || parsed.Name != "" || parsed.Address != text {
		return "", wrong
	}
	at := strings.LastIndexByte(text, '@')
	if local, domain := text[:at], text[at+1:]; len(local) > 64 || !strings.Contains(domain, ".") || strings.HasPrefix(domain, "[") {
		return "", wrong
	}
	return Email(text), nil
}

// Key is what makes an address unique: without regard to case. Two mailboxes that differ
// only in case are allowed by RFC 5321 and made by nobody.
func (e Email) Key() string { return strings.ToLower(string(e)) }

// Masked is what staff see: enough to recognise an address that a person has told them,
// not enough to write to it.
func (e Email) Masked() string {
	local, domain, _ := strings.Cut(string(e), "@")
	return first(local) + "…@" + first(domain) + "…" + domain[max(strings.LastIndexByte(domain, '.'), 0):]
}

func first(s string) string {
	if s == "" {
		return ""
	}
	return s[:1]
}
