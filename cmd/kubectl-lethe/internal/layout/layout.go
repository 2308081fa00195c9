// Package layout sets text in columns: fields, tables and paragraphs. On a terminal
// nothing is longer than its lines; in a file or a pipe nothing is broken, so that each
// record stays on a line. Whatever comes in is made harmless for a terminal.
package layout

import (
	"fmt"
	"io"
	"strings"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

const (
	// fieldName is how wide the names of fields are, with their colon.
	fieldName = 11
	// gap stands between the columns of a table.
	gap = "   "
	// leastText is how narrow a column of text gets at most.
	leastText = 20
	indent    = "  "
)

// Sheet collects text.
type Sheet struct {
	// Columns is how long a line may be; 0 for any length.
	Columns int

	text strings.Builder
}

// Field adds a name and a value; a value that is empty is left out.
func (s *Sheet) Field(name, value string) {
	value = words.Plain(value)
	if value == "" {
		return
	}
	head := fmt.Sprintf("%-*s ", fieldName, name+":")
	s.hanging(head, value)
}

// hanging writes a text behind a head; its further lines begin below the first.
func (s *Sheet) hanging(head, text string) {
	room := 0
	if s.Columns > 0 {
		room = max(s.Columns-words.Length(head), leastText)
	}
	for i, line := range words.Wrap(text, room) {
		if i > 0 {
			head = strings.Repeat(" ", words.Length(head))
		}
		s.text.WriteString(head + line + "\n")
	}
}

// Gap adds an empty line, but not at the beginning.
func (s *Sheet) Gap() {
	if s.text.Len() > 0 {
		s.text.WriteString("\n")
	}
}

// Line adds a text as it is, with a line end.
func (s *Sheet) Line(text string) { s.text.WriteString(text + "\n") }

// Text adds a paragraph.
func (s *Sheet) Text(text string) { s.hanging(indent, words.Plain(text)) }

// Item adds an item of a list.
func (s *Sheet) Item(text string) { s.hanging(indent+"- ", words.Plain(text)) }

// Quote adds the lines of a text, each of them cut if it is too long.
func (s *Sheet) Quote(text string) {
	for line := range strings.Lines(words.Harmless(text)) {
		line = strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    ")
		s.text.WriteString(words.Cut(indent+line, s.Columns) + "\n")
	}
}

// Table adds rows in columns; a header alone is left out. Where lines are too long,
// the last column is broken, or cut if it has too little room.
func (s *Sheet) Table(rows [][]string) {
	if len(rows) < 2 {
		return
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = words.Plain(cell)
			widths[i] = max(widths[i], words.Length(row[i]))
		}
	}
	for _, row := range rows {
		s.row(row, widths)
	}
}

func (s *Sheet) row(row []string, widths []int) {
	last := len(row) - 1
	var head strings.Builder
	for i, cell := range row[:last] {
		head.WriteString(cell + strings.Repeat(" ", widths[i]-words.Length(cell)) + gap)
	}
	room := s.Columns - words.Length(head.String())
	if s.Columns > 0 && room < min(leastText, widths[last]) {
		line := strings.TrimRight(head.String()+row[last], " ")
		s.text.WriteString(words.Cut(line, s.Columns) + "\n")
		return
	}
	s.hanging(head.String(), row[last])
}

// String gives what was collected.
func (s *Sheet) String() string { return s.text.String() }

// Write writes what was collected.
func (s *Sheet) Write(out io.Writer) error {
	if _, err := io.WriteString(out, s.text.String()); err != nil {
		return fmt.Errorf("write the overview: %w", err)
	}
	return nil
}
