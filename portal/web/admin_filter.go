package web

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// filterForm is the part of a form that chooses events, as it was filled in.
type filterForm struct {
	Account, Network, Country, From, To string
	Kinds                               []kindChoice
	Held                                bool
}

type kindChoice struct {
	Kind    portal.EventKind
	Checked bool
}

// AnyKind reports whether a kind was chosen.
func (f filterForm) AnyKind() bool {
	return slices.ContainsFunc(f.Kinds, func(k kindChoice) bool { return k.Checked })
}

// newFilterForm keeps what was filled in, so that it can be shown again.
func newFilterForm(f fields) filterForm {
	form := filterForm{
		Account: f.trimmed("account"), Network: f.trimmed("network"), Country: strings.ToUpper(f.trimmed("country")),
		From: f.trimmed("from"), To: f.trimmed("to"), Held: f.one("held") != "",
	}
	for _, kind := range portal.EventKinds() {
		form.Kinds = append(form.Kinds, kindChoice{kind, slices.Contains(f.all("kind"), string(kind))})
	}
	return form
}

// filter makes the filter, or says what is wrong. Kinds that there are not have been
// dropped; what else can be wrong is the use case's to say.
func (f filterForm) filter() (portal.EventFilter, []Problem) {
	filter := portal.EventFilter{Account: portal.AccountID(f.Account), Country: f.Country, Held: f.Held}
	for _, kind := range f.Kinds {
		if kind.Checked {
			filter.Kinds = append(filter.Kinds, kind.Kind)
		}
	}
	var problems []Problem
	var ok bool
	if filter.Network, ok = parseNetwork(f.Network); !ok {
		problems = append(problems, Problem{"network", "This is not an IP address or network. They look like 203.0.113.9 or 203.0.113.0/24."})
	}
	if filter.From, ok = parseMoment(f.From); !ok {
		problems = append(problems, Problem{"from", "This is not a time. It looks like 2026-03-02T09:00."})
	}
	if filter.To, ok = parseMoment(f.To); !ok {
		problems = append(problems, Problem{"to", "This is not a time. It looks like 2026-03-02T09:00."})
	}
	return filter, problems
}

// parseNetwork takes an address or a network; the zero Prefix for "".
func parseNetwork(text string) (netip.Prefix, bool) {
	if text == "" {
		return netip.Prefix{}, true
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		ip = ip.Unmap().WithZone("")
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return prefix.Masked(), true
}

// momentForm is how browsers send a time.
const momentForm = "2006-01-02T15:04"

// parseMoment takes a time in UTC; the zero Time for "".
func parseMoment(text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	for _, form := range []string{momentForm, time.DateOnly, "2006-01-02T15:04:05"} {
		if at, err := time.ParseInLocation(form, text, time.UTC); err == nil && at.Year() >= 1970 {
			return at, true
		}
	}
	return time.Time{}, false
}

// exact is a moment as staff see it: to the second, and in UTC, which is what searches ask
// for and what can be held against a log.
func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
