package web

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// statuses are the HTTP statuses of kinds of errors.
var statuses = map[portal.Kind]int{
	portal.KindInternal:        http.StatusInternalServerError,
	portal.KindInvalid:         http.StatusUnprocessableEntity,
	portal.KindUnauthenticated: http.StatusUnauthorized,
	portal.KindStepUp:          http.StatusForbidden,
	portal.KindForbidden:       http.StatusForbidden,
	portal.KindNotFound:        http.StatusNotFound,
	portal.KindConflict:        http.StatusConflict,
	portal.KindTooMany:         http.StatusTooManyRequests,
	portal.KindUnavailable:     http.StatusServiceUnavailable,
}

// redirect sends the browser on after something was done. what is told there; "" for
// nothing.
func (s *Server) redirect(w http.ResponseWriter, r *request, path string, what notice) error {
	if what != "" {
		setCookie(w, cookieNotice, string(what))
	}
	if r.partial() {
		w.Header().Set("HX-Redirect", path)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.Redirect(w, r.Request, path, http.StatusSeeOther) //nolint:gosec // What people send goes through local, which lets only paths of ours through.
	return nil
}

// again answers a form that could not be accepted with the form, what was wrong, and what
// had been typed (but for passwords). An error that a form can't do anything about is
// given back.
func (s *Server) again(w http.ResponseWriter, r *request, name string, data pageData, cause error) error {
	var e *portal.Error
	if !errors.As(cause, &e) {
		return cause
	}
	switch e.Kind {
	case portal.KindInternal, portal.KindStepUp, portal.KindForbidden, portal.KindUnavailable:
		return cause
	default:
	}
	page := data.shell()
	page.Status = statuses[e.Kind]
	page.Problems = append(page.Problems, Problem{Field: e.Field, Message: e.Message})
	retryAfter(w, e)
	return s.render(w, r, name, data)
}

// told reports whether the error has words that a form can show.
func told(err error) bool {
	switch portal.KindOf(err) {
	case portal.KindInvalid, portal.KindUnauthenticated, portal.KindNotFound, portal.KindConflict, portal.KindTooMany:
		return true
	default:
		return false
	}
}

// fail answers with the page for an error, or sends the person where it can be mended.
func (s *Server) fail(w http.ResponseWriter, r *request, cause error) {
	kind := portal.KindOf(cause)
	switch kind {
	case portal.KindUnauthenticated:
		_ = s.redirect(w, r, "/sign-in"+s.comeBack(r), "")
		return
	case portal.KindStepUp:
		back := s.comeBack(r)
		if back != "" && r.Method == http.MethodPost {
			back += "&again=1"
		}
		_ = s.redirect(w, r, "/step-up"+back, "")
		return
	case portal.KindInternal, portal.KindUnavailable:
		s.log.ErrorContext(r.Context(), "Request failed", "requestID", r.client.RequestID, "route", r.Pattern, "error", cause)
	default:
	}
	var e *portal.Error
	message := ""
	if errors.As(cause, &e) && kind != portal.KindInternal {
		retryAfter(w, e)
		if e != portal.ErrNotFound { // the page's own words say more
			message = e.Message
		}
	}
	s.failWith(w, r, statuses[kind], message)
}

// comeBack is the query that brings the person back to the page they were at: the one that
// was asked for, or the one that held the form.
func (s *Server) comeBack(r *request) string {
	at := r.URL.Path
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.partial() {
		from, err := url.Parse(r.Header.Get("Referer"))
		if err != nil || from.Host != r.Host {
			return ""
		}
		at = from.Path
	}
	if at = s.local(at); at == "" {
		return ""
	}
	return "?" + url.Values{"next": {at}}.Encode()
}

// errorPage is the page for an error that no form can mend.
type errorPage struct {
	Page
	Code    int
	Message string
}

// errorWords are title and words of a status, when the error has none of its own.
var errorWords = map[int][2]string{
	http.StatusForbidden:           {"Not for you to see", "You may not see this page."},
	http.StatusNotFound:            {"Nothing here", "There is no such thing, or it is not yours. Check the address, or start again from the first page."},
	http.StatusMethodNotAllowed:    {"Not in this way", "This address can't be used in that way."},
	http.StatusConflict:            {"Something changed", "This has changed in the meantime. Go back, reload the page and try again."},
	http.StatusUnprocessableEntity: {"We could not use that", "Go back and check what you entered."},
	http.StatusTooManyRequests:     {"Too many attempts", "Wait a little and try again."},
	http.StatusInternalServerError: {"That went wrong", "The mistake is ours. Nothing of yours was lost. Try again in a minute, and if it happens again, tell us the number below."},
	http.StatusServiceUnavailable:  {"Back in a moment", "Something that we need does not answer. Try again in a minute."},
}

// failWith answers with an error's page. It must not fail itself.
func (s *Server) failWith(w http.ResponseWriter, r *request, status int, message string) {
	words := errorWords[status]
	page := &errorPage{Page: s.newPage(r, words[0]), Code: status, Message: message}
	page.Status = status
	if message == "" {
		page.Message = words[1]
	}
	block := "layout"
	if r.partial() {
		block = "problem"
	}
	if err := s.execute(w, r, "error", block, page); err != nil {
		s.log.ErrorContext(r.Context(), "Error page failed", "requestID", r.client.RequestID, "error", err)
		http.Error(w, http.StatusText(status), status)
	}
}

// retryAfter tells programs how long to wait; people read it in the page.
func retryAfter(w http.ResponseWriter, e *portal.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
}

// waiting says how long, in words: "30 seconds", "2 minutes".
func waiting(d time.Duration) string {
	unit, n := "second", int(math.Ceil(d.Seconds()))
	if d > 90*time.Second {
		unit, n = "minute", int(math.Ceil(d.Minutes()))
	}
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}
