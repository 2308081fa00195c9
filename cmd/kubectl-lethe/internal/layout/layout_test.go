package layout

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// sheet has one of each.
func sheet(columns int) *Sheet {
	s := &Sheet{Columns: columns}
	s.Gap()
	s.Field("Run", "digits-1")
	s.Field("Empty", "")
	s.Field("Message", "the trainer ended with exit code 3;\x1b[2J look at its log")
	s.Gap()
	s.Table([][]string{{"NAME", "STATE", "MESSAGE"}, {"a", "Running", "nothing is wrong with it, as far as anybody knows"}, {"bcd", "-", "-"}})
	s.Table([][]string{{"NOTHING", "BELOW"}})
	s.Line("Heading")
	s.Text("a paragraph that says what to do about it")
	s.Item("an item of a list that is longer than its line")
	s.Quote("one\n\ttwo lines of a log that nobody may break\x07\n")
	return s
}

func TestInAFileNothingIsBroken(t *testing.T) {
	t.Parallel()
	const want = `Run:        digits-1
Message:    the trainer ended with exit code 3; look at its log

NAME   STATE     MESSAGE
a      Running   nothing is wrong with it, as far as anybody knows
bcd    -         -
Heading
  a paragraph that says what to do about it
  - an item of a list that is longer than its line
  one
      two lines of a log that nobody may break
`
	if diff := cmp.Diff(want, sheet(0).String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOnATerminalLinesFit(t *testing.T) {
	t.Parallel()
	const want = `Run:        digits-1
Message:    the trainer ended with exit
            code 3; look at its log

NAME   STATE     MESSAGE
a      Running   nothing is wrong with
                 it, as far as anybody
                 knows
bcd    -         -
Heading
  a paragraph that says what to do about
  it
  - an item of a list that is longer
    than its line
  one
      two lines of a log that nobody...
`
	got := sheet(40).String()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for columns := 32; columns < 120; columns++ {
		for line := range strings.Lines(sheet(columns).String()) {
			if got := words.Length(strings.TrimSuffix(line, "\n")); got > columns {
				t.Errorf("%d columns do not fit into %d: %q", got, columns, line)
			}
		}
	}
}

func TestATableWithoutRoomIsCut(t *testing.T) {
	t.Parallel()
	s := &Sheet{Columns: 12}
	s.Table([][]string{{"NAME", "STATE", "MESSAGE"}, {"abcdef", "Running", "something is said here"}})
	if diff := cmp.Diff("NAME...\nabcdef...\n", s.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWritePassesErrorsOn(t *testing.T) {
	t.Parallel()
	if err := sheet(0).Write(broken{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

var errBroken = errors.New("broken pipe")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }
