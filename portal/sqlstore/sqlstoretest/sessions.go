package sqlstoretest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var sessionTests = map[string]func(*testing.T, portal.Store){
	"a session is found by its secret's digest":                 testSession,
	"a session's name, digest and account are checked":          testSessionRefused,
	"an update of a session writes all but its origin":          testUpdateSession,
	"an account's sessions are listed newest first":             testAccountSessions,
	"only its owner's session is deleted":                       testDeleteSession,
	"all sessions but one are deleted, and challenges":          testDeleteSessions,
	"a purge takes sessions, challenges and devices that ended": testPurgeSessions,
}

func newSession(a portal.AccountID, id portal.SessionID, created time.Time) portal.Session {
	return portal.Session{
		ID: id, Account: a, Digest: digest(string(id)), CreatedAt: created, ExpiresAt: created.Add(portal.SessionAbsolute),
		AuthenticatedAt: created.Add(time.Second), LastSeenAt: created.Add(2 * time.Second), SecondFactor: true,
		Browser: "Firefox on Linux", Country: "NZ",
	}
}

func putSession(t *testing.T, s portal.Store, session portal.Session) portal.Session {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateSession(ctx, session) })
	return session
}

func sessionsOf(t *testing.T, s portal.Store, a portal.AccountID) []portal.SessionID {
	t.Helper()
	all := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.Session, error) { return tx.AccountSessions(ctx, a) })
	return ids(all, func(s portal.Session) portal.SessionID { return s.ID })
}

func testSession(t *testing.T, s portal.Store) {
	a := account(t, s)
	for _, second := range []bool{true, false} {
		want := newSession(a.ID, portal.SessionID(map[bool]string{true: "with", false: "without"}[second]), start)
		want.SecondFactor = second
		putSession(t, s, want)
		got := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Session, error) {
			return tx.SessionByDigest(ctx, want.Digest)
		})
		equal(t, "session", want, got)
	}
	_, err := tryRead(t, s, func(ctx context.Context, tx portal.Tx) (portal.Session, error) {
		return tx.SessionByDigest(ctx, digest("another"))
	})
	gives(t, "another digest", portal.ErrNotFound, err)
}

func testSessionRefused(t *testing.T, s portal.Store) {
	a := account(t, s)
	first := putSession(t, s, newSession(a.ID, "first", start))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		again := newSession(a.ID, "first", start)
		again.Digest = digest("another")
		gives(t, "a name that is taken", portal.ErrConflict, tx.CreateSession(ctx, again))
		again = newSession(a.ID, "another", start)
		again.Digest = first.Digest
		gives(t, "a digest that is taken", portal.ErrConflict, tx.CreateSession(ctx, again))
		gives(t, "an account that is not there", portal.ErrNotFound, tx.CreateSession(ctx, newSession("nobody", "nobodys", start)))
		return tx.CreateSession(ctx, newSession(a.ID, "second", minute(1)))
	})
	equal(t, "sessions", []portal.SessionID{"second", "first"}, sessionsOf(t, s, a.ID))
}

func testUpdateSession(t *testing.T, s portal.Store) {
	a := account(t, s)
	old := putSession(t, s, newSession(a.ID, "it", start))
	other := putSession(t, s, newSession(a.ID, "other", start))
	want := portal.Session{
		ID: old.ID, Account: "somebody else", Digest: digest("rotated"), CreatedAt: minute(50), ExpiresAt: minute(51),
		AuthenticatedAt: minute(52), LastSeenAt: minute(53), Browser: "Safari on iOS", Country: "SE",
	}
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.UpdateSession(ctx, want) })
	want.Account, want.CreatedAt = old.Account, old.CreatedAt
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		got, err := tx.SessionByDigest(ctx, want.Digest)
		if err != nil {
			return err
		}
		equal(t, "session", want, got)
		_, err = tx.SessionByDigest(ctx, old.Digest)
		gives(t, "the digest before the rotation", portal.ErrNotFound, err)
		taken := want
		taken.Digest = other.Digest
		gives(t, "a digest that is taken", portal.ErrConflict, tx.UpdateSession(ctx, taken))
		gives(t, "one that is not there", portal.ErrNotFound, tx.UpdateSession(ctx, newSession(a.ID, "none", start)))
		return nil
	})
}

func testAccountSessions(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	for _, session := range []portal.Session{
		newSession(a.ID, "b", minute(1)), newSession(a.ID, "old", minute(0)), newSession(a.ID, "new", minute(2)),
		newSession(a.ID, "a", minute(1)), newSession(b.ID, "bs", minute(1)),
	} {
		putSession(t, s, session)
	}
	equal(t, "sessions", []portal.SessionID{"new", "b", "a", "old"}, sessionsOf(t, s, a.ID))
	equal(t, "another's", []portal.SessionID{"bs"}, sessionsOf(t, s, b.ID))
	equal(t, "nobody's", []portal.SessionID{}, sessionsOf(t, s, "nobody"))
}

func testDeleteSession(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	putSession(t, s, newSession(a.ID, "as", start))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "by another", portal.ErrNotFound, tx.DeleteSession(ctx, b.ID, "as"))
		return nil
	})
	equal(t, "sessions", []portal.SessionID{"as"}, sessionsOf(t, s, a.ID))
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.DeleteSession(ctx, a.ID, "as") })
	equal(t, "sessions", []portal.SessionID{}, sessionsOf(t, s, a.ID))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "again", portal.ErrNotFound, tx.DeleteSession(ctx, a.ID, "as"))
		return nil
	})
}

func testDeleteSessions(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	for _, id := range []portal.SessionID{"1", "2", "3"} {
		putSession(t, s, newSession(a.ID, id, start))
	}
	putSession(t, s, newSession(b.ID, "bs", start))
	mine, others := newChallenge(a.ID, "mine"), newChallenge(b.ID, "others")
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateChallenge(ctx, mine); err != nil {
			return err
		}
		if err := tx.CreateChallenge(ctx, others); err != nil {
			return err
		}
		return tx.DeleteSessions(ctx, a.ID, "2")
	})
	equal(t, "sessions", []portal.SessionID{"2"}, sessionsOf(t, s, a.ID))
	equal(t, "another's", []portal.SessionID{"bs"}, sessionsOf(t, s, b.ID))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.Challenge(ctx, mine.Digest)
		gives(t, "challenge", portal.ErrNotFound, err)
		_, err = tx.Challenge(ctx, others.Digest)
		gives(t, "another's challenge", nil, err)
		return tx.DeleteSessions(ctx, a.ID, "")
	})
	equal(t, "sessions", []portal.SessionID{}, sessionsOf(t, s, a.ID))
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.DeleteSessions(ctx, a.ID, "") })
}

func testPurgeSessions(t *testing.T, s portal.Store) {
	a := account(t, s)
	now := minute(0).Add(400 * 24 * time.Hour)
	session := func(id portal.SessionID, expires, seen time.Duration) portal.Session {
		made := newSession(a.ID, id, start)
		made.ExpiresAt, made.LastSeenAt = now.Add(expires), now.Add(seen)
		return made
	}
	const tiny = time.Microsecond
	sessions := []portal.Session{
		session("live", tiny, tiny-portal.SessionIdle), session("expired", 0, 0), session("idle", time.Hour, -portal.SessionIdle),
	}
	live, ended := newChallenge(a.ID, "live"), newChallenge(a.ID, "ended")
	live.ExpiresAt, ended.ExpiresAt = now.Add(tiny), now
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, session := range sessions {
			if session.Live(now) != (session.ID == "live") {
				t.Errorf("the test is wrong about session %s", session.ID)
			}
			if err := tx.CreateSession(ctx, session); err != nil {
				return err
			}
		}
		for _, err := range []error{
			tx.CreateChallenge(ctx, live), tx.CreateChallenge(ctx, ended),
			tx.PutDevice(ctx, portal.Device{Digest: digest("used"), Account: a.ID, CreatedAt: start, LastSeen: now.Add(tiny - portal.DeviceLife)}),
			tx.PutDevice(ctx, portal.Device{Digest: digest("unused"), Account: a.ID, CreatedAt: start, LastSeen: now.Add(-portal.DeviceLife)}),
		} {
			if err != nil {
				return err
			}
		}
		n, err := tx.PurgeSessions(ctx, now)
		equal(t, "rows", 4, n)
		return err
	})
	equal(t, "sessions", []portal.SessionID{"live"}, sessionsOf(t, s, a.ID))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.Challenge(ctx, live.Digest)
		gives(t, "a live challenge", nil, err)
		_, err = tx.Device(ctx, a.ID, digest("used"))
		gives(t, "a used device", nil, err)
		_, err = tx.Device(ctx, a.ID, digest("unused"))
		gives(t, "an unused device", portal.ErrNotFound, err)
		n, err := tx.PurgeSessions(ctx, now)
		equal(t, "rows of a second purge", 0, n)
		return err
	})
}
