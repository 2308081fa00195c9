package words

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlainCannotMoveTheCursor(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"loss":                      "loss",
		"a\nb\tc  d ":               "a b c d",
		"\x1b[2Jgone\r\x07":         "gone",
		"\u009b31mred\u202eesrever": "31mredesrever",
		"broken \xff\xfe bytes":     "broken bytes",
		"Größe 温度":                  "Größe 温度",
	}
	for text, want := range tests {
		if got := Plain(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := Harmless("one\n\ttwo\x1b[0m\n"); got != "one\n\ttwo\n" {
		t.Errorf("lines and tabs: got %q", got)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text    string
		columns int
		want    string
	}{
		{"of any length", 0, "of any length"},
		{"fits", 4, "fits"},
		{"does not fit", 8, "does..."},
		{"ögörög", 5, "ög..."},
		{"small", 3, "sma"},
		{"small", 1, "s"},
	} {
		if got := Cut(tc.text, tc.columns); got != tc.want {
			t.Errorf("%q in %d columns: got %q, want %q", tc.text, tc.columns, got, tc.want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text    string
		columns int
		want    []string
	}{
		{"one two  three", 0, []string{"one two  three"}},
		{"one two  three", 7, []string{"one two", "three"}},
		{"a https://very.long/word b", 5, []string{"a", "https://very.long/word", "b"}},
		{"", 5, []string{""}},
	} {
		if diff := cmp.Diff(tc.want, Wrap(tc.text, tc.columns)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.text, diff)
		}
	}
}
