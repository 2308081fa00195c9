package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

func TestUnder(t *testing.T) {
	t.Parallel()
	errOwn := errors.New("its own")
	for name, c := range map[string]struct {
		do   func(*script) error
		want string
	}{
		"it goes well":           {func(*script) error { return nil }, ""},
		"it returns an error":    {func(*script) error { return errOwn }, "its own"},
		"a helper fails":         {func(s *script) error { s.Fatalf("no %s", "server"); return nil }, "no server"},
		"something is not there": {func(s *script) error { s.Skip("no binary"); return nil }, "no binary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, order := "", ""
			err := under(t.Context(), func(s *script) error {
				dir = s.TempDir()
				s.Cleanup(func() { order += "first " })
				s.Cleanup(func() { order += "second " })
				return c.do(s)
			})
			if got := errorText(err); got != c.want {
				t.Errorf("got error %q, want %q", got, c.want)
			}
			if diff := cmp.Diff("second first ", order); diff != "" {
				t.Errorf("cleanups (-want +got):\n%s", diff)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder is still there: %v", err)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestFormulaIsAStore(t *testing.T) {
	t.Parallel()
	f := newFormula(2500)
	listed := func(after string) (keys []string, all []objectstore.Version) {
		for v, err := range f.ListVersionsFrom(t.Context(), "bucket", prefix, after) {
			if err != nil {
				t.Fatalf("list: %v", err)
			}
			keys, all = append(keys, v.Key), append(all, v)
		}
		return keys, all
	}
	keys, all := listed("")
	if len(keys) != 2500 || keys[0] != keyOf(0) || keys[2499] != keyOf(2499) {
		t.Fatalf("%d keys are listed", len(keys))
	}
	if rest, _ := listed(keyOf(1200)); cmp.Diff(keys[1201:], rest) != "" {
		t.Errorf("%d keys are listed after the 1201st", len(rest))
	}
	for range 2 {
		if err := f.RemoveVersions(t.Context(), "bucket", all[:1500]); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	if rest, _ := listed(""); cmp.Diff(keys[1500:], rest) != "" {
		t.Errorf("%d keys are listed after 1,500 were removed", len(rest))
	}
	if empty, _ := f.Empty(t.Context(), "bucket", prefix); empty {
		t.Error("it says that it is empty")
	}
}

func TestChildErases(t *testing.T) {
	t.Parallel()
	variables := map[string]string{orderVariable: `{"Method":"memory","Versions":3210,"Target":{"Bucket":"b","Prefix":"` + prefix + `","UID":"` + uid + `"}}`}
	var out strings.Builder
	env := environment{getenv: func(name string) string { return variables[name] }, stdout: &out, stderr: io.Discard}
	if err := run(t.Context(), []string{childName}, env); err != nil || !strings.Contains(out.String(), `"Removed":3210`) {
		t.Errorf("the child says %q, %v", out.String(), err)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	env := environment{getenv: func(string) string { return "" }, stdout: io.Discard, stderr: io.Discard}
	for name, args := range map[string][]string{
		"nothing":              nil,
		"another benchmark":    {"upload"},
		"no objects":           {"erase", "-objects", "0"},
		"no rounds":            {"erase", "-rounds", "0"},
		"an argument too many": {"erase", "all"},
		"a size that is none":  {"erase", "-memory", "many"},
		"a child by hand":      {childName},
	} {
		if err := run(context.Background(), args, env); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
