package rest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func FuzzParseCursor(f *testing.F) {
	for _, text := range []string{"", "1.abcdefghijkmnpqrstuvwxyz23", "9223372036854775807.abcdefghijkmnpqrstuvwxyz23", "+1.abcdefghijkmnpqrstuvwxyz23", "."} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCursor(text)
		if err != nil || text == "" {
			return
		}
		again, err := parseCursor(c.String())
		if err != nil || again != c {
			t.Errorf("%q is %v, written and read again %v, %v", text, c, again, err)
		}
	})
}

func FuzzPageCursor(f *testing.F) {
	for _, text := range []string{"", "MS54", "MTc2NzIyNTYwMDAwMDAwMC4wMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDE", "Ky4uLg", "MS54=", "%"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := &request{Request: &http.Request{URL: &url.URL{RawQuery: url.Values{"after": {text}}.Encode()}}}
		c, err := pageCursor(r)
		if err != nil || text == "" {
			return
		}
		if again := cursorText(c); again != text {
			t.Errorf("%q is %v, written again %q", text, c, again)
		}
	})
}

func FuzzBearer(f *testing.F) {
	for _, text := range []string{"Bearer x", "bearer  x ", "Bearer", "Basic x", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		secret, ok := bearer(http.Header{"Authorization": {text}})
		if ok && (secret == "" || strings.TrimSpace(secret) != secret || !strings.Contains(text, secret)) {
			t.Errorf("%q gave %q", text, secret)
		}
	})
}
