package objectkey

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value any
		want  string // empty: it is refused
	}{
		"fields are sorted and without white space": {map[string]any{"b": []any{1, "x"}, "a": map[string]any{}}, `{"a":{},"b":[1,"x"]}`},
		"an empty list":                   {[]string{}, `[]`},
		"the string of RFC 8785":          {"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"/", `"€$\u000f\nA'B\"\\\\\"/"`},
		"short escapes":                   {"\b\t\n\f\r\x00\x1f", `"\b\t\n\f\r\u0000\u001f"`},
		"what only HTML would escape":     {"<>&\u2028\u2029\u007f😀", "\"<>&\u2028\u2029\u007f😀\""},
		"the greatest integer":            {int64(maxInteger), "9007199254740991"},
		"the least integer":               {int64(-maxInteger), "-9007199254740991"},
		"an integer that is too great":    {int64(maxInteger + 1), ""},
		"an integer that is too small":    {int64(-maxInteger - 1), ""},
		"a fraction":                      {1.5, ""},
		"nothing":                         {nil, ""},
		"a truth value, in no format yet": {true, ""},
		"a bad value inside of others":    {map[string]any{"a": []any{nil}}, ""},
		"what JSON has no words for":      {make(chan int), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := canonical(c.value)
			if (err != nil) != (c.want == "") {
				t.Fatalf("error is %v, want one: %v", err, c.want == "")
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("canonical form (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPAE holds the encoding against the test vector of DSSE's protocol.md.
func TestPAE(t *testing.T) {
	t.Parallel()
	const want = "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
	if got := string(pae("http://example.com/HelloWorld", []byte("hello world"))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
