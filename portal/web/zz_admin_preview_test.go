//go:build adminpreview

package web

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestAdminPreview(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s, review := adminServer(t)
		name := strings.TrimPrefix(r.URL.Path, "/page/")
		c, ok := adminPages[strings.ReplaceAll(name, "_", " ")]
		if !ok {
			s.ServeHTTP(w, r)
			return
		}
		if c.with != nil {
			c.with(review)
		}
		if c.who == "" {
			c.who = "admin"
		}
		if c.method == "" {
			c.method = "GET"
		}
		got := ask(s, c.method, c.target, c.who, c.form)
		for k, v := range got.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(got.Code)
		w.Write(got.Body.Bytes())
	})
	l, err := net.Listen("tcp", "127.0.0.1:38765")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(mux)
	server.Listener = l
	server.Start()
	defer server.Close()
	for {
		if _, err := os.Stat("/work/tmp/review-shots/stop"); err == nil {
			return
		}
		select {
		case <-t.Context().Done():
			return
		case <-tick():
		}
	}
}
