package web

import (
	"flag"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
)

// executed are the pages' templates that a test has shown.
var executed struct {
	mutex sync.Mutex
	names map[string]bool
}

// TestMain fails when no test has executed a template.
func TestMain(m *testing.M) {
	executed.names = map[string]bool{}
	flag.Parse()
	code := m.Run()
	whole := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == "" && flag.Lookup("test.list").Value.String() == ""
	if code == 0 && whole {
		names, _ := fs.Glob(templateFiles, "templates/*.html")
		for _, name := range names {
			if name != shared[0] && name != shared[1] && !executed.names[name] {
				fmt.Fprintf(os.Stderr, "No test has executed %s\n", name)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// watchTemplates notes which templates are executed.
func watchTemplates(t testing.TB, s *Server) {
	t.Helper()
	for name, page := range s.templates {
		file := "templates/" + name + ".html"
		page.Funcs(template.FuncMap{"executed": func() string {
			executed.mutex.Lock()
			defer executed.mutex.Unlock()
			executed.names[file] = true
			return ""
		}})
		text, err := templateFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		const begin = `{{define "content"}}`
		if !strings.Contains(string(text), begin) {
			t.Fatalf("%s does not define content", file)
		}
		if _, err := page.Parse(strings.Replace(string(text), begin, begin+`{{executed}}`, 1)); err != nil {
			t.Fatalf("parse %s: %v", file, err)
		}
	}
}
