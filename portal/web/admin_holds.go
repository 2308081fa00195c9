package web

import (
	"net/http"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// adminHoldsPage lists the holds.
type adminHoldsPage struct {
	Page
	Standing, Released []adminHold
}

// adminHold is a hold in a list.
type adminHold struct {
	portal.Hold
	// Overdue marks one whose review date has passed.
	Overdue bool
}

// Address is the network that it is about, without the length of a whole address; "" for
// none.
func (h adminHold) Address() string {
	switch network := h.Filter.Network; {
	case !network.IsValid():
		return ""
	case network.IsSingleIP():
		return network.Addr().String()
	default:
		return network.String()
	}
}

func (s *Server) adminHolds(w http.ResponseWriter, r *request) error {
	holds, err := s.review.Holds(r.Context(), *r.who)
	if err != nil {
		return err
	}
	page := &adminHoldsPage{Page: s.adminPage(r, "Holds", pathAdminHolds)}
	for _, h := range holds {
		if h.ReleasedAt.IsZero() {
			page.Standing = append(page.Standing, adminHold{h, s.now().After(h.ReviewAt)})
		} else {
			page.Released = append(page.Released, adminHold{h, false})
		}
	}
	return s.render(w, r, "admin_holds", page)
}

// adminHoldPage is the form that places a hold.
type adminHoldPage struct {
	Page
	filterForm
	Case, Reason, Review string
	// Latest is the last day that can be chosen.
	Latest string
}

func (s *Server) adminHoldPage(r *request, f fields) *adminHoldPage {
	return &adminHoldPage{
		Page: s.adminPage(r, "Place a hold", pathAdminHolds), filterForm: newFilterForm(f),
		Case: f.trimmed("case"), Reason: f.one("reason"), Review: f.trimmed("review"), Latest: s.latestReview(),
	}
}

func (s *Server) latestReview() string {
	return s.now().UTC().Add(portal.MaxHoldReview).Format(time.DateOnly)
}

func (s *Server) adminHoldForm(w http.ResponseWriter, r *request) error {
	f := fields{"account": {r.URL.Query().Get("account")}, "review": {s.now().UTC().AddDate(0, 0, 30).Format(time.DateOnly)}}
	return s.render(w, r, "admin_hold", s.adminHoldPage(r, f))
}

func (s *Server) adminPlaceHold(w http.ResponseWriter, r *request) error {
	page := s.adminHoldPage(r, r.fields)
	filter, problems := page.filter()
	review, ok := parseDay(page.Review)
	if !ok {
		problems = append(problems, Problem{"review", "Choose a day."})
	}
	if len(problems) > 0 {
		return s.refill(w, r, "admin_hold", page, problems)
	}
	_, err := s.review.PlaceHold(r.Context(), r.client, *r.who, portal.Hold{
		Case: page.Case, Reason: page.Reason, Filter: filter, ReviewAt: review,
	})
	if err != nil {
		return s.again(w, r, "admin_hold", page, err)
	}
	return s.redirect(w, r, pathAdminHolds, noticeHoldPlaced)
}

// parseDay takes a day, which begins in UTC.
func parseDay(text string) (time.Time, bool) {
	day, err := time.ParseInLocation(time.DateOnly, text, time.UTC)
	return day, err == nil
}

// holdAct is what can be done to a hold.
type holdAct struct {
	Path, Heading, Words, Button string
	Danger                       bool
	// Dated acts ask for a new review date.
	Dated bool
}

var (
	holdReview = holdAct{
		Path: "review", Heading: "Review the hold", Button: "Keep it", Dated: true,
		Words: "Is it still needed? Then say why, and when to look again. A new hold on the same rows takes its place.",
	}
	holdRelease = holdAct{
		Path: "release", Heading: "Release the hold", Button: "Release the hold", Danger: true,
		Words: "Rows older than 90 days that no other hold keeps are deleted at the next purge. That can't be undone.",
	}
)

// adminHoldActPage is the form of such an act, with the hold it is about.
type adminHoldActPage struct {
	Page
	holdAct
	Hold                   adminHold
	Reason, Review, Latest string
}

// adminHoldActPage reads the hold: who acts has to see on what.
func (s *Server) adminHoldActPage(r *request, a holdAct) (*adminHoldActPage, error) {
	holds, err := s.review.Holds(r.Context(), *r.who)
	if err != nil {
		return nil, err
	}
	for _, h := range holds {
		if string(h.ID) == r.PathValue("id") && h.ReleasedAt.IsZero() {
			return &adminHoldActPage{
				Page: s.adminPage(r, a.Heading, pathAdminHolds), holdAct: a, Hold: adminHold{h, s.now().After(h.ReviewAt)},
				Reason: r.fields.one("reason"), Review: r.fields.trimmed("review"), Latest: s.latestReview(),
			}, nil
		}
	}
	return nil, portal.ErrNotFound
}

func (s *Server) adminHoldActForm(a holdAct) handler {
	return func(w http.ResponseWriter, r *request) error {
		page, err := s.adminHoldActPage(r, a)
		if err != nil {
			return err
		}
		return s.render(w, r, "admin_hold_act", page)
	}
}

func (s *Server) adminReviewHold(w http.ResponseWriter, r *request) error {
	id, review := portal.HoldID(r.PathValue("id")), r.fields.trimmed("review")
	at, ok := parseDay(review)
	err := portal.Invalid("review", "Choose a day.")
	if ok {
		_, err = s.review.ReviewHold(r.Context(), r.client, *r.who, id, r.fields.one("reason"), at)
	}
	return s.holdActed(w, r, holdReview, noticeHoldReviewed, err)
}

func (s *Server) adminReleaseHold(w http.ResponseWriter, r *request) error {
	err := s.review.ReleaseHold(r.Context(), r.client, *r.who, portal.HoldID(r.PathValue("id")), r.fields.one("reason"))
	return s.holdActed(w, r, holdRelease, noticeHoldReleased, err)
}

// holdActed goes back to the list, or shows the form again with what was wrong.
func (s *Server) holdActed(w http.ResponseWriter, r *request, a holdAct, what notice, err error) error {
	if err == nil {
		return s.redirect(w, r, pathAdminHolds, what)
	}
	if portal.KindOf(err) != portal.KindInvalid {
		return err
	}
	page, readErr := s.adminHoldActPage(r, a)
	if readErr != nil {
		return readErr
	}
	return s.again(w, r, "admin_hold_act", page, err)
}
