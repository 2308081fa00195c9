package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// adminEventsPage is the search of security events. Nothing is looked up before somebody
// searches.
type adminEventsPage struct {
	Page
	filterForm
	Searched bool
	Events   []adminEvent
	// Older is the cursor of the next page; "" for the last one.
	Older string
	// MayView reports whether accounts can be opened from here.
	MayView bool
}

// adminEvent is an event as staff see it.
type adminEvent struct {
	Time      time.Time
	Kind      portal.EventKind
	Grave     bool
	Account   portal.AccountID
	IP        netip.Addr
	Country   string
	Browser   string
	UserAgent string
	RequestID string
}

func (s *Server) adminEventsPage(r *request, f fields) *adminEventsPage {
	return &adminEventsPage{
		Page: s.adminPage(r, "Security events", pathAdminEvents), filterForm: newFilterForm(f),
		MayView: r.who.May(portal.PermitAccounts),
	}
}

// adminEvents is the form. A link from an account fills the account in.
func (s *Server) adminEvents(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "admin_events", s.adminEventsPage(r, fields{"account": {r.URL.Query().Get("account")}}))
}

func (s *Server) adminSearchEvents(w http.ResponseWriter, r *request) error {
	page := s.adminEventsPage(r, r.fields)
	filter, problems := page.filter()
	if len(problems) > 0 {
		return s.refill(w, r, "admin_events", page, problems)
	}
	after, err := parseCursor(r.fields.one("after"))
	if err != nil {
		return err
	}
	events, next, err := s.review.Events(r.Context(), *r.who, filter, after)
	if err != nil {
		return s.again(w, r, "admin_events", page, err)
	}
	page.Searched = true
	for _, e := range events {
		page.Events = append(page.Events, adminEvent{
			Time: e.Time, Kind: e.Kind, Grave: happenings[e.Kind].Grave, Account: e.Account, IP: e.IP, Country: e.Country,
			Browser: s.browser(e.UserAgent), UserAgent: e.UserAgent, RequestID: e.RequestID,
		})
	}
	if !next.Time.IsZero() {
		page.Older = next.String()
	}
	return s.render(w, r, "admin_events", page)
}

// adminSpans are the times to look back that pages offer, in days.
var adminSpans = []int{1, 7, 30, 90}

const defaultSpan = 7

// span is a time to look back.
type span struct {
	Days    int
	Current bool
}

// spans marks what the query chose, and gives its days.
func spans(r *request) ([]span, int) {
	days, err := strconv.Atoi(r.URL.Query().Get("days"))
	if err != nil || !slices.Contains(adminSpans, days) {
		days = defaultSpan
	}
	list := make([]span, len(adminSpans))
	for i, n := range adminSpans {
		list[i] = span{n, n == days}
	}
	return list, days
}

// adminMapPage counts sign-ins by country.
type adminMapPage struct {
	Page
	Spans     []span
	From, To  string // for the search of events
	Countries []adminCountry
	SignIns   int
	Failed    int
}

// adminCountry is a row of the map. Good and Bad are the bar's parts, of 100.
type adminCountry struct {
	portal.CountryCount
	Good, Bad int
}

func (s *Server) adminMap(w http.ResponseWriter, r *request) error {
	page := &adminMapPage{Page: s.adminPage(r, "Sign-in map", pathAdminMap)}
	var days int
	page.Spans, days = spans(r)
	to := s.now()
	from := to.Add(-asDays(days))
	rows, err := s.review.SignInMap(r.Context(), *r.who, from, to)
	if err != nil {
		return err
	}
	// To the minute, and not less than what was counted.
	page.From, page.To = from.UTC().Format(momentForm), to.UTC().Add(time.Minute).Format(momentForm)
	most := 1
	for _, row := range rows {
		most = max(most, row.SignIns+row.Failed)
		page.SignIns += row.SignIns
		page.Failed += row.Failed
	}
	for _, row := range rows {
		page.Countries = append(page.Countries, adminCountry{row, share(row.SignIns, most), share(row.Failed, most)})
	}
	return s.render(w, r, "admin_map", page)
}

// share is n of all in hundredths; what is not nothing is seen.
func share(n, all int) int {
	if n == 0 {
		return 0
	}
	return max(1, n*100/all)
}

// adminFlagsPage shows what somebody should look at.
type adminFlagsPage struct {
	Page
	Spans []span
	Days  int
	Flags []adminFlag
}

// adminFlag is a flag with the search that shows its events.
type adminFlag struct {
	portal.Flag
	Apart                time.Duration
	SearchFrom, SearchTo string
}

// Travels reports whether the flag is about one account in two countries.
func (f adminFlag) Travels() bool { return f.Kind == portal.FlagImpossibleTravel }

func (s *Server) adminFlags(w http.ResponseWriter, r *request) error {
	page := &adminFlagsPage{Page: s.adminPage(r, "Flags", pathAdminFlags)}
	page.Spans, page.Days = spans(r)
	to := s.now()
	flags, err := s.review.Flags(r.Context(), *r.who, to.Add(-asDays(page.Days)), to)
	if err != nil {
		return err
	}
	for _, f := range flags {
		page.Flags = append(page.Flags, adminFlag{
			Flag: f, Apart: f.To.Sub(f.From),
			SearchFrom: f.From.UTC().Format(momentForm), SearchTo: f.To.UTC().Add(time.Minute).Format(momentForm),
		})
	}
	return s.render(w, r, "admin_flags", page)
}
