package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed templates/*.html
var templateFiles embed.FS

// shared are the templates that every page may use: the layout and parts of pages.
var shared = []string{"templates/layout.html", "templates/parts.html"}

// parseTemplates gives one set per page, named as its file without the ending.
func parseTemplates(a *assets) (map[string]*template.Template, error) {
	base, err := template.New("").Funcs(templateFuncs(a)).ParseFS(templateFiles, shared...)
	if err != nil {
		return nil, fmt.Errorf("parse the layout: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("list the templates: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		if name == shared[0] || name == shared[1] {
			continue
		}
		page := template.Must(base.Clone())
		if _, err := page.ParseFS(templateFiles, name); err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
		pages[strings.TrimSuffix(path.Base(name), ".html")] = page
	}
	return pages, nil
}

// pageData is a page's struct: it embeds Page.
type pageData interface{ shell() *Page }

// render answers with a whole page: the template's "content" in the layout.
func (s *Server) render(w http.ResponseWriter, r *request, name string, data pageData) error {
	return s.execute(w, r, name, "layout", data)
}

// part answers with one block of a page's template, for htmx.
func (s *Server) part(w http.ResponseWriter, r *request, name, block string, data pageData) error {
	return s.execute(w, r, name, block, data)
}

// execute writes nothing before the template has run to its end.
func (s *Server) execute(w http.ResponseWriter, r *request, name, block string, data pageData) error {
	page, ok := s.templates[name]
	if !ok {
		return fmt.Errorf("render: no template %q", name)
	}
	var out bytes.Buffer
	if err := page.ExecuteTemplate(&out, block, data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	if data.shell().Notice != "" {
		clearCookie(w, cookieNotice)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Add("Vary", "HX-Request")
	w.WriteHeader(data.shell().status())
	if r.Method == http.MethodHead {
		return nil
	}
	// What goes wrong here is the connection's: the answer has begun.
	_, _ = w.Write(out.Bytes())
	return nil
}
