package toolchain

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func stamp(t *testing.T, tool Tool, sources fstest.MapFS) string {
	t.Helper()
	got, err := Stamp(tool, sources)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestStampChangesWithWhatNeedsARebuild(t *testing.T) {
	t.Parallel()
	tool := Tool{Name: "x", Version: "v1", Source: "tools/x", LDFlags: "-s", Provides: []string{"x"}}
	sources := func() fstest.MapFS {
		return fstest.MapFS{
			"tools/x/main.go":     {Data: []byte("package main")},
			"tools/other/main.go": {Data: []byte("package main")},
		}
	}
	want := stamp(t, tool, sources())
	for name, test := range map[string]struct {
		change  func(*Tool, fstest.MapFS)
		rebuild bool
	}{
		"nothing differs":     {change: func(*Tool, fstest.MapFS) {}},
		"another tool's file": {change: func(_ *Tool, f fstest.MapFS) { f["tools/other/main.go"].Data = nil }},
		"another package":     {change: func(tool *Tool, _ fstest.MapFS) { tool.Debian = []DebianPackage{iptables} }},
		"another version":     {change: func(tool *Tool, _ fstest.MapFS) { tool.Version = "v2" }, rebuild: true},
		"another flag":        {change: func(tool *Tool, _ fstest.MapFS) { tool.LDFlags = "" }, rebuild: true},
		"another digest":      {change: func(tool *Tool, _ fstest.MapFS) { tool.NPM = NPMPackage{Name: "x", Integrity: "y"} }, rebuild: true},
		"cgo":                 {change: func(tool *Tool, _ fstest.MapFS) { tool.CGO = true }, rebuild: true},
		"a changed source":    {change: func(_ *Tool, f fstest.MapFS) { f["tools/x/main.go"].Data = []byte("x") }, rebuild: true},
		"a source more":       {change: func(_ *Tool, f fstest.MapFS) { f["tools/x/go.mod"] = &fstest.MapFile{} }, rebuild: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed, files := tool, sources()
			test.change(&changed, files)
			if rebuild := stamp(t, changed, files) != want; rebuild != test.rebuild {
				t.Errorf("rebuild: got %t, want %t", rebuild, test.rebuild)
			}
		})
	}
}

func TestBuiltNeedsStampAndEveryFile(t *testing.T) {
	t.Parallel()
	tool := Tool{Name: "x", Provides: []string{"a", "b"}}
	for name, test := range map[string]struct {
		files []string
		stamp string
		want  bool
	}{
		"all there":           {files: []string{"a", "b"}, stamp: "now", want: true},
		"a file is missing":   {files: []string{"a"}, stamp: "now"},
		"built from older":    {files: []string{"a", "b"}, stamp: "before"},
		"nothing was built":   {},
		"put there by others": {files: []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin := t.TempDir()
			for _, file := range test.files {
				if err := os.WriteFile(filepath.Join(bin, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if test.stamp != "" {
				if err := writeStamp(bin, tool.Name, test.stamp); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Built(bin, tool, "now")
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func TestEveryToolCanBeBroughtInOneWay(t *testing.T) {
	t.Parallel()
	for _, tool := range All() {
		ways := 0
		for _, has := range []bool{tool.Source != "", len(tool.Packages) > 0, tool.NPM.Name != ""} {
			if has {
				ways++
			}
		}
		if tool.installed() {
			ways = len(tool.Debian) - len(tool.Provides)
		} else if len(tool.Provides) == 0 {
			t.Errorf("%s says not what it provides", tool.Name)
		}
		if tool.Version == "" || ways < 1 || (ways > 1 && !tool.installed()) {
			t.Errorf("%s needs a version, and either a source folder, packages of Go, of npm, or of Debian alone", tool.Name)
		}
		if tool.Source == "" {
			continue
		}
		if _, err := Stamp(tool, os.DirFS("..")); err != nil {
			t.Errorf("%s: %v", tool.Name, err)
		}
	}
}

// TestLabNeedsNoBrowser: what "lab up" brings must stay what the lab runs.
func TestLabNeedsNoBrowser(t *testing.T) {
	t.Parallel()
	for _, tool := range Catalogue() {
		if tool.installed() || tool.NPM.Name != "" {
			t.Errorf("%s is no program of the lab", tool.Name)
		}
	}
}

func TestSelectKeepsTheCatalogueOrderAndRefusesStrangers(t *testing.T) {
	t.Parallel()
	got, err := Select("axe", "minio", "kube")
	if err != nil || len(got) != 3 || got[0].Name != "kube" || got[2].Name != "axe" {
		t.Errorf("got %v, %v; want kube, minio, axe", got, err)
	}
	if _, err := Select("docker"); err == nil {
		t.Error("an unknown tool is no error")
	}
}
