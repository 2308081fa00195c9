// Package terminal says how wide a place for text is and whether it takes colours:
// a file or a pipe has no width and no colours, and neither has anybody who set
// NO_COLOR (no-color.org) or whose terminal is a dumb one.
package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// otherwise is the width of a terminal that does not tell its own.
const otherwise = 80

// Screen is a place where text is shown.
type Screen struct {
	// Out takes the text.
	Out io.Writer
	// Width gives the terminal's columns; nil where there is no terminal.
	Width func() int
	// Color says whether colours may be used.
	Color bool
}

// Open looks what a writer leads to. The environment is asked through getenv.
func Open(out io.Writer, getenv func(string) string) Screen {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return Screen{Out: out}
	}
	width := func() int {
		columns, _, err := term.GetSize(int(file.Fd()))
		if err != nil || columns <= 0 {
			return otherwise
		}
		return columns
	}
	return Screen{Out: out, Width: width, Color: colorful(getenv)}
}

func colorful(getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

// Columns is how long a line may be; 0 for any length.
func (s Screen) Columns() int {
	if s.Width == nil {
		return 0
	}
	return max(s.Width()-1, 1) // Some terminals break a line that is full.
}

// Style is how a text looks where there are colours (ECMA-48).
type Style string

// The styles.
const (
	Plain Style = ""
	Bold  Style = "1"
	Good  Style = "32"
	Bad   Style = "31"
	Wait  Style = "33"
)

// Paint gives the text in that style, or as it is where there are no colours.
func (s Screen) Paint(style Style, text string) string {
	if !s.Color || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}
