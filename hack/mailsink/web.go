package mailsink

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
)

//go:embed page.html
var pageText string

//go:embed page.css
var style []byte

//go:embed page.js
var script []byte

var page = template.Must(template.New("page").Funcs(template.FuncMap{"linked": linked}).Parse(pageText))

// Policies of the pages. A mail's own HTML may style itself, and nothing else.
const (
	ownPolicy  = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	mailPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)

func newWebServer(s *Sink) *http.Server {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /{$}", s.list)
	routes.HandleFunc("GET /mails/{id}", s.show)
	routes.HandleFunc("GET /mails/{id}/html", s.showHTML)
	routes.HandleFunc("GET /mails/{id}/raw", s.showRaw)
	routes.HandleFunc("GET /api/mails", s.api)
	routes.HandleFunc("GET /api/last", s.apiLast)
	routes.HandleFunc("POST /clear", s.clear)
	routes.HandleFunc("GET /page.css", static("text/css; charset=utf-8", style))
	routes.HandleFunc("GET /page.js", static("text/javascript; charset=utf-8", script))
	return &http.Server{
		Handler:           http.NewCrossOriginProtection().Handler(guarded(routes)),
		ReadHeaderTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout,
		// Browsers that don't know the certificate break off; that is no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", ownPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func static(kind string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(body) // to who has gone
	}
}

// view is what the page shows: the list, and one mail of it.
type view struct {
	Mails []Mail // newest first
	Last  int
	Shown *Mail
}

func (s *Sink) view() view {
	v := view{Last: s.last()}
	mails := s.Mails()
	for i := range mails {
		v.Mails = append(v.Mails, mails[len(mails)-1-i])
	}
	return v
}

func (s *Sink) list(w http.ResponseWriter, _ *http.Request) { render(w, s.view()) }

func (s *Sink) show(w http.ResponseWriter, r *http.Request) {
	m, ok := s.asked(w, r)
	if !ok {
		return
	}
	v := s.view()
	v.Shown = &m
	render(w, v)
}

func (s *Sink) showHTML(w http.ResponseWriter, r *http.Request) {
	m, ok := s.asked(w, r)
	if !ok {
		return
	}
	w.Header().Set("Content-Security-Policy", mailPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// Links of the mail open beside the sink, not in its frame.
	_, _ = io.WriteString(w, strings.Replace(m.HTML, "<head>", `<head><base target="_blank">`, 1))
}

func (s *Sink) showRaw(w http.ResponseWriter, r *http.Request) {
	if m, ok := s.asked(w, r); ok {
		static("text/plain; charset=utf-8", m.Raw)(w, r)
	}
}

// asked gives the mail that a request names, or answers that there is none.
func (s *Sink) asked(w http.ResponseWriter, r *http.Request) (Mail, bool) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		id = 0
	}
	m, ok := s.find(id)
	if !ok {
		http.Error(w, "There is no such mail.", http.StatusNotFound)
	}
	return m, ok
}

func (s *Sink) api(w http.ResponseWriter, r *http.Request) {
	mails := s.Mails()
	if to := r.URL.Query().Get("to"); to != "" {
		mails = s.To(to)
	}
	if mails == nil {
		mails = []Mail{}
	}
	respond(w, mails)
}

// apiLast is what the page asks for to know whether it is still up to date.
func (s *Sink) apiLast(w http.ResponseWriter, _ *http.Request) { respond(w, s.last()) }

func (s *Sink) clear(w http.ResponseWriter, r *http.Request) {
	s.Clear()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func respond(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // to who has gone
}

func render(w http.ResponseWriter, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, v); err != nil {
		http.Error(w, "The page can't be shown.", http.StatusInternalServerError)
	}
}

// linked is a text with its links clickable.
func linked(text string) template.HTML {
	var b strings.Builder
	rest := 0
	for _, at := range link.FindAllStringIndex(text, -1) {
		target := html.EscapeString(text[at[0]:at[1]])
		b.WriteString(html.EscapeString(text[rest:at[0]]))
		fmt.Fprintf(&b, `<a href="%s" target="_blank" rel="noopener noreferrer">%s</a>`, target, target)
		rest = at[1]
	}
	b.WriteString(html.EscapeString(text[rest:]))
	return template.HTML(b.String()) //nolint:gosec // G203: All of it was escaped above; links begin with http.
}
