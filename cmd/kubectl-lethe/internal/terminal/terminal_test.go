package terminal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFileIsNoTerminal(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	env := func(string) string { return "" }
	for name, screen := range map[string]Screen{
		"a file": Open(file, env), "a writer": Open(&strings.Builder{}, env),
	} {
		if screen.Width != nil || screen.Color || screen.Columns() != 0 || screen.Paint(Bad, "text") != "text" {
			t.Errorf("%s: got %+v, want neither width nor colours", name, screen)
		}
	}
}

func TestColours(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env  map[string]string
		want bool
	}{
		"on a terminal":               {map[string]string{"TERM": "xterm"}, true},
		"not where nobody wants them": {map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		"not on a dumb terminal":      {map[string]string{"TERM": "dumb"}, false},
	}
	for name, tc := range tests {
		if got := colorful(func(name string) string { return tc.env[name] }); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
	screen := Screen{Color: true, Width: func() int { return 80 }}
	if got := screen.Paint(Good, "Succeeded"); got != "\x1b[32mSucceeded\x1b[0m" || screen.Paint(Plain, "x") != "x" {
		t.Errorf("painted: got %q", got)
	}
	if got := screen.Columns(); got != 79 {
		t.Errorf("columns: got %d, want one less than the terminal has", got)
	}
}
