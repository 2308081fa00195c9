package web

import "net/http"

// stepUpPage asks a signed-in person to show all factors again.
type stepUpPage struct {
	Page
	Next      string
	NeedsCode bool
	// Again is "1" when a form had been sent, which has to be filled in once more.
	Again string
}

func (s *Server) stepUpPage(r *request, next, again string) *stepUpPage {
	p := &stepUpPage{Page: s.newPage(r, "Confirm that it is you"), Next: s.local(next), NeedsCode: r.who.SecondFactor}
	if again == "1" {
		p.Again = again
	}
	return p
}

func (s *Server) stepUpForm(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	return s.render(w, r, "step_up", s.stepUpPage(r, q.Get("next"), q.Get("again")))
}

func (s *Server) stepUp(w http.ResponseWriter, r *request) error {
	page := s.stepUpPage(r, r.fields.one("next"), r.fields.one("again"))
	session, err := s.auth.StepUp(r.Context(), r.client, *r.who, r.fields.one("password"), r.fields.trimmed("code"))
	if err != nil {
		return s.again(w, r, "step_up", page, err)
	}
	begin(w, session)
	next, what := page.Next, notice("")
	if next == "" {
		next = "/account"
	}
	if page.Again != "" {
		what = noticeAgain
	}
	return s.redirect(w, r, next, what)
}
