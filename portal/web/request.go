package web

import (
	"net/http"

	"github.com/lethe-dev/lethe/portal"
)

// request is an HTTP request with what was found out about it.
type request struct {
	*http.Request
	client portal.Client
	// who is signed in; nil for nobody.
	who *portal.Principal
	// fields are those of a posted form; empty for other methods.
	fields fields
}

// partial reports whether htmx asks for a part of a page.
func (r *request) partial() bool { return r.Header.Get("HX-Request") == "true" }
