package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

func TestFields(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		want fields // nil when refused
	}{
		"plain":                 {"a=1&b=x+y%C3%A9", fields{"a": {"1"}, "b": {"x yé"}}},
		"empty":                 {"", fields{}},
		"a list":                {"scope=a&scope=b", fields{"scope": {"a", "b"}}},
		"twice what is once":    {"email=a&email=b", nil},
		"a zero byte":           {"a=%00", nil},
		"not UTF-8":             {"a=%ff", nil},
		"a name not UTF-8":      {"%ff=a", nil},
		"a broken escape":       {"a=%", nil},
		"a semicolon":           {"a=1;b=2", nil},
		"too long a value":      {"a=" + strings.Repeat("x", maxValue+1), nil},
		"too many fields":       {strings.Repeat("scope=a&", maxFields), nil},
		"as long as a value is": {"a=" + strings.Repeat("x", maxValue), fields{"a": {strings.Repeat("x", maxValue)}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseFields(c.text)
			if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != (c.want == nil) {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestFormsAreForms(t *testing.T) {
	t.Parallel()
	s, _ := fakeServer(t)
	for name, c := range map[string]struct {
		media  string
		status int
	}{
		"a form":                {"application/x-www-form-urlencoded", 303},
		"a form with a charset": {"application/x-www-form-urlencoded; charset=UTF-8", 303},
		"JSON":                  {"application/json", 422},
		"files":                 {"multipart/form-data; boundary=x", 422},
		"text":                  {"text/plain", 422},
		"nonsense":              {"; ;", 422},
		"nothing":               {"", 422},
	} {
		w := ask(s, "POST", "/sign-in", "", url.Values{"email": {"a"}}, func(r *http.Request) { r.Header.Set("Content-Type", c.media) })
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.status)
		}
	}
}

func FuzzForm(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", "email=a%40b.org&password=x+y")
	f.Add("application/x-www-form-urlencoded; charset=\"", "scope=a&scope=b&%zz")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, media, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", media)
		got, err := readForm(r)
		if err != nil {
			if portal.KindOf(err) != portal.KindInvalid {
				t.Errorf("error of kind %v", portal.KindOf(err))
			}
			return
		}
		for name, list := range got {
			if len(list) > 1 && !several[name] {
				t.Errorf("%q comes %d times", name, len(list))
			}
			for _, value := range list {
				if len(value) > maxValue || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
					t.Errorf("%q has the value %q", name, value)
				}
			}
		}
	})
}

func TestCursorIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	want := portal.EventCursor{Time: start.Add(123456 * time.Microsecond), ID: portal.EventID(strings.Repeat("e", 26))}
	got, err := parseCursor(want.String())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("1772442000000000.eeeeeeeeeeeeeeeeeeeeeeeeee")
	f.Add("-1.x")
	f.Add("99999999999999999999.eeeeeeeeeeeeeeeeeeeeeeeeee")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseCursor(text)
		if err != nil || text == "" {
			return
		}
		again, err := parseCursor(got.String())
		if err != nil || again != got {
			t.Errorf("%q: %v, then %v, %v", text, got, again, err)
		}
	})
}

func TestSecretsHaveTheirForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		secretOf("x"):                     true,
		"":                                false,
		secretOf("x") + "a":               false,
		secretOf("X"):                     false,
		secretOf("é")[:secretLength]:      false,
		strings.Repeat(" ", secretLength): false,
	} {
		if got := isSecret(text); got != want {
			t.Errorf("isSecret(%q) = %v", text, got)
		}
	}
}
