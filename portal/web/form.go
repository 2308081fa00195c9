package web

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/portal"
)

// Bounds of what is posted. The largest form has a password, of 1 KiB when each of its
// characters is escaped.
const (
	maxBody   = 16 << 10
	maxFields = 40
	maxValue  = 4 << 10
)

// fields are a form's.
type fields map[string][]string

// one gives a field that a form has once; "" when it is not there.
func (f fields) one(name string) string {
	if len(f[name]) == 0 {
		return ""
	}
	return f[name][0]
}

// trimmed is one without space around it, for what people copy and paste.
func (f fields) trimmed(name string) string { return strings.TrimSpace(f.one(name)) }

// all gives a field that a form may have several times.
func (f fields) all(name string) []string { return f[name] }

// several are the names of fields that a form may have more than once.
var several = map[string]bool{"scope": true, "kind": true}

// readForm reads a posted form. The error is for the person.
func readForm(r *http.Request) (fields, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.ContentLength == 0 && r.Header.Get("Content-Type") == "" {
		return fields{}, nil
	}
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, portal.Invalid("", "This was not sent as a form. Go back and use the form on the page.")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, &portal.Error{Kind: portal.KindInvalid, Message: "What was sent is too large, or was cut off. Go back and try again.", Err: err}
	}
	return parseFields(string(body))
}

// parseFields takes the text of a form or of a query.
func parseFields(text string) (fields, error) {
	wrong := portal.Invalid("", "The form could not be read. Go back and try again.")
	if strings.Count(text, "&") >= maxFields {
		return nil, wrong
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, wrong
	}
	for name, list := range values {
		if len(list) > 1 && !several[name] {
			return nil, wrong
		}
		for _, value := range append(list, name) {
			if len(value) > maxValue || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
				return nil, wrong
			}
		}
	}
	return fields(values), nil
}
