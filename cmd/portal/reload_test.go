package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal/portaltest"
)

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	clock := &portaltest.Clock{}
	write("one", clock.Now())
	reads := 0
	r, err := newReloaded(&reloaded[string]{
		what: "a text", paths: []string{path}, now: clock.Now, log: newLog(io.Discard, nil),
		read: func() (string, error) {
			reads++
			text, err := os.ReadFile(path)
			if string(text) == "broken" {
				return "", errors.New("it is broken")
			}
			return string(text), err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	step := func(what, want string, wantReads int) {
		t.Helper()
		if got := r.get(); got != want || reads != wantReads {
			t.Errorf("%s: %q after %d reads, want %q after %d", what, got, reads, want, wantReads)
		}
	}
	step("nothing happened", "one", 1)
	write("two", clock.Now().Add(time.Second))
	step("too soon to look", "one", 1)
	clock.Advance(reloadCheck)
	step("it has changed", "two", 2)
	clock.Advance(reloadCheck)
	step("it has not changed again", "two", 2)
	write("broken", clock.Now().Add(2*time.Second))
	clock.Advance(reloadCheck)
	step("it can't be used", "two", 3)
	clock.Advance(reloadCheck)
	step("it still can't, which was seen", "two", 3)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	clock.Advance(reloadCheck)
	step("it is away", "two", 3)
	write("four", clock.Now().Add(3*time.Second))
	clock.Advance(reloadCheck)
	step("it is back", "four", 4)
}
