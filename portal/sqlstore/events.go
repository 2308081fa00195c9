package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const eventColumns = `id, at, kind, account, ip, user_agent, country, request_id`

func scanEvent(r row) (portal.Event, error) {
	var e portal.Event
	err := r.Scan(&e.ID, into(&e.Time), &e.Kind, into(&e.Account), into(&e.IP), &e.UserAgent, &e.Country, &e.RequestID)
	return e, err
}

func (t *tx) AddEvent(ctx context.Context, e portal.Event) error {
	_, err := t.put(ctx, "add an event",
		`INSERT INTO events (`+eventColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		e.ID, e.Time, e.Kind, optional(e.Account), e.IP, e.UserAgent, e.Country, e.RequestID)
	if err != nil {
		return err
	}
	return t.bindNewEvent(ctx, e.ID)
}

func (t *tx) FindEvents(ctx context.Context, f portal.EventFilter, after portal.EventCursor, limit int) ([]portal.Event, error) {
	where, args := eventWhere(f)
	if !after.Time.IsZero() || after.ID != "" {
		where += ` AND (at, id) < (?, ?)`
		args = append(args, after.Time, after.ID)
	}
	return list(ctx, t, "find events", scanEvent,
		`SELECT `+eventColumns+` FROM events WHERE `+where+` ORDER BY at DESC, id DESC LIMIT ?`,
		append(args, max(limit, 0))...)
}

func (t *tx) SignInsByCountry(ctx context.Context, from, to time.Time) ([]portal.CountryCount, error) {
	where, args := eventWhere(portal.EventFilter{
		From: from, To: to, Kinds: []portal.EventKind{portal.EventSignIn, portal.EventSignInFailed},
	})
	return list(ctx, t, "count sign-ins by country", scanCountryCount,
		`SELECT country, SUM(CASE kind WHEN '`+string(portal.EventSignIn)+`' THEN 1 ELSE 0 END),
			SUM(CASE kind WHEN '`+string(portal.EventSignInFailed)+`' THEN 1 ELSE 0 END),
			COUNT(DISTINCT account), MIN(at), MAX(at)
		FROM events WHERE `+where+` GROUP BY country ORDER BY COUNT(*) DESC, country`, args...)
}

func scanCountryCount(r row) (portal.CountryCount, error) {
	var c portal.CountryCount
	err := r.Scan(&c.Country, &c.SignIns, &c.Failed, &c.Accounts, into(&c.FirstAt), into(&c.LastAt))
	return c, err
}

func (t *tx) FailuresByNetwork(ctx context.Context, from, to time.Time, atLeast, limit int) ([]portal.NetworkFailures, error) {
	where, args := eventWhere(portal.EventFilter{
		From: from, To: to, Kinds: []portal.EventKind{portal.EventSignInFailed},
	})
	// The first bytes are those of portal.NetworkOf: /24 and /56.
	return list(ctx, t, "count failures by network", scanNetworkFailures,
		`SELECT substr(ip, 1, CASE length(ip) WHEN 4 THEN 3 ELSE 7 END) AS network,
			COUNT(*), COUNT(DISTINCT account), MIN(at), MAX(at)
		FROM events WHERE ip IS NOT NULL AND `+where+`
		GROUP BY 1 HAVING COUNT(*) >= ? ORDER BY COUNT(*) DESC, 1 LIMIT ?`,
		append(args, atLeast, max(limit, 0))...)
}

func scanNetworkFailures(r row) (portal.NetworkFailures, error) {
	var n portal.NetworkFailures
	var network []byte
	err := r.Scan(&network, &n.Failures, &n.Accounts, into(&n.FirstAt), into(&n.LastAt))
	if err != nil {
		return n, err
	}
	size := 16
	if len(network) == 3 {
		size = 4
	}
	addr, ok := netip.AddrFromSlice(append(network, make([]byte, size-len(network))...))
	if !ok {
		return n, errors.New("a network has no address's length")
	}
	n.Network = portal.NetworkOf(addr)
	return n, nil
}

func (t *tx) PurgeEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	rows, err := t.exec(ctx, "purge events",
		`DELETE FROM events WHERE id IN (
			SELECT id FROM events WHERE at < ? AND NOT EXISTS (SELECT 1 FROM event_holds WHERE event = events.id)
			ORDER BY at LIMIT ?)`, before, max(limit, 0))
	t.purged = t.purged || rows > 0
	return rows, err
}

func (t *tx) OldestUnheldEvent(ctx context.Context) (time.Time, error) {
	return one(ctx, t, "find the oldest event", scanMoment,
		`SELECT at FROM events WHERE NOT EXISTS (SELECT 1 FROM event_holds WHERE event = events.id) ORDER BY at LIMIT 1`)
}

func scanMoment(r row) (time.Time, error) {
	var at time.Time
	err := r.Scan(into(&at))
	return at, err
}

// eventWhere is a filter as SQL. It is the only place that says what a filter means, for
// searches and holds alike.
func eventWhere(f portal.EventFilter) (string, []any) {
	where, args := `1 = 1`, []any{}
	and := func(condition string, values ...any) {
		where += ` AND ` + condition
		args = append(args, values...)
	}
	if f.Account != "" {
		and(`account = ?`, f.Account)
	}
	if len(f.Kinds) > 0 {
		marks := ``
		for _, kind := range f.Kinds {
			marks += `, ?`
			args = append(args, kind)
		}
		and(`kind IN (` + marks[2:] + `)`)
	}
	if f.Network.IsValid() {
		first, last := bounds(f.Network)
		and(fmt.Sprintf(`length(ip) = %d AND ip >= ? AND ip <= ?`, len(first)), first, last)
	}
	if f.Country != "" {
		and(`country = ?`, f.Country)
	}
	if !f.From.IsZero() {
		and(`at >= ?`, f.From)
	}
	if !f.To.IsZero() {
		and(`at < ?`, f.To)
	}
	if f.Held {
		and(`EXISTS (SELECT 1 FROM event_holds WHERE event = events.id)`)
	}
	return where, args
}

// plainNetwork makes IPv4 of IPv4 in IPv6, as bind does.
func plainNetwork(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// bounds are a network's first and last address as bytes.
func bounds(p netip.Prefix) (first, last []byte) {
	p = plainNetwork(p)
	first = p.Masked().Addr().AsSlice()
	last = append(last, first...)
	for i := p.Bits(); i < 8*len(last); i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	return first, last
}
