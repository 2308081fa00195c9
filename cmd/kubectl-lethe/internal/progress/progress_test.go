package progress

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	cases := []struct {
		name  string
		s     Snapshot
		speed float64
	}{
		{"nothing yet", Snapshot{TotalFiles: 40, TotalBytes: 3 * gib}, 0},
		{"under way", Snapshot{12, 40, gib, 3 * gib}, 80 << 20},
		{"one file", Snapshot{0, 1, gib / 2, gib}, 1 << 20},
		{"all bytes, not all answers", Snapshot{39, 40, 3 * gib, 3 * gib}, 80 << 20},
		{"repeated bytes", Snapshot{39, 40, 4 * gib, 3 * gib}, 80 << 20},
		{"complete", Snapshot{40, 40, 3 * gib, 3 * gib}, 80 << 20},
		{"empty files only", Snapshot{2, 2, 0, 0}, 0},
		{"a year to go", Snapshot{0, 40, 0, 1 << 50}, 30 << 20},
	}
	var b strings.Builder
	for _, c := range cases {
		b.WriteString("# " + c.name + "\n")
		for _, width := range []int{0, 120, 80, 40} {
			line := Line("Uploading", c.s, c.speed, width)
			if width > 0 && len(line) > width {
				t.Errorf("%s: %d columns do not fit into %d", c.name, len(line), width)
			}
			b.WriteString(line + "|\n")
		}
	}
	golden(t, "lines.txt", b.String())
}

func TestSpeedIsThatOfTheLastSeconds(t *testing.T) {
	t.Parallel()
	var s speedometer
	start := time.Unix(1000, 0)
	for i := range 60 {
		s.observe(start.Add(time.Duration(i)*time.Second), int64(i)*100)
	}
	base := int64(5900)
	var got float64
	for i := range 20 {
		got = s.observe(start.Add(time.Duration(60+i)*time.Second), base+int64(i)*10)
	}
	if got != 10 {
		t.Errorf("speed: got %v, want 10 (the fast start is forgotten)", got)
	}
}

func TestDisplay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		width func() int
		want  string
	}{
		"draws over one line on a terminal": {
			width: func() int { return 70 },
			want: "Uploading  50%  0/1 file  512 B of 1.0 KiB  2.5 KiB/s  1s left" +
				erase + "The store does not answer\n" +
				"Uploading [===========] 100%  1/1 file  1.0 KiB of 1.0 KiB  3.3 KiB/s" + "\n",
		},
		"writes lines anywhere else": {
			want: "The store does not answer\n" +
				"Uploading 100%  1/1 file  1.0 KiB of 1.0 KiB  3.3 KiB/s\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				var m Meter
				d := &Display{Out: &out, Width: tc.width, Verb: "Uploading", Clock: clock.RealClock{}}
				stop := d.Start(&m)
				m.Expect(1, 1024)
				m.Bytes(512)
				time.Sleep(redraw + redraw/2) // In the bubble's time.
				d.Notice("The store does not answer")
				m.Bytes(512)
				m.File()
				stop()
				if diff := cmp.Diff(tc.want, out.String()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}
