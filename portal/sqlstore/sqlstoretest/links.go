package sqlstoretest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var linkTests = map[string]func(*testing.T, portal.Store){
	"a link is used once":                   testLink,
	"links of one purpose are deleted":      testDeleteLinks,
	"a purge takes links that have expired": testPurgeLinks,
}

func newLink(a portal.AccountID, p portal.Purpose, secret string) portal.Link {
	return portal.Link{Digest: digest(secret), Account: a, Purpose: p, Email: "New@example.org", CreatedAt: start, ExpiresAt: minute(30)}
}

// hasLinks reports which of some links are there.
func hasLinks(t *testing.T, s portal.Store, secrets ...string) []string {
	t.Helper()
	there := []string{}
	for _, secret := range secrets {
		_, err := tryRead(t, s, func(ctx context.Context, tx portal.Tx) (portal.Link, error) { return tx.Link(ctx, digest(secret)) })
		if err == nil {
			there = append(there, secret)
			continue
		}
		gives(t, secret, portal.ErrNotFound, err)
	}
	return there
}

func testLink(t *testing.T, s portal.Store) {
	a := account(t, s)
	link := newLink(a.ID, portal.PurposeReset, "it")
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "use before", portal.ErrNotFound, tx.UseLink(ctx, link.Digest))
		gives(t, "nobody's", portal.ErrNotFound, tx.CreateLink(ctx, newLink("nobody", portal.PurposeReset, "x")))
		if err := tx.CreateLink(ctx, link); err != nil {
			return err
		}
		gives(t, "the same again", portal.ErrConflict, tx.CreateLink(ctx, newLink(a.ID, portal.PurposeVerify, "it")))
		return nil
	})
	got := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Link, error) { return tx.Link(ctx, link.Digest) })
	equal(t, "link", link, got)
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.UseLink(ctx, link.Digest) })
	equal(t, "links", []string{}, hasLinks(t, s, "it"))
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "use again", portal.ErrNotFound, tx.UseLink(ctx, link.Digest))
		return nil
	})
}

func testDeleteLinks(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, err := range []error{
			tx.CreateLink(ctx, newLink(a.ID, portal.PurposeReset, "reset")), tx.CreateLink(ctx, newLink(a.ID, portal.PurposeReset, "reset too")),
			tx.CreateLink(ctx, newLink(a.ID, portal.PurposeVerify, "verify")), tx.CreateLink(ctx, newLink(b.ID, portal.PurposeReset, "others")),
			tx.DeleteLinks(ctx, a.ID, portal.PurposeReset), tx.DeleteLinks(ctx, a.ID, portal.PurposeReset),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	equal(t, "links", []string{"verify", "others"}, hasLinks(t, s, "reset", "reset too", "verify", "others"))
}

func testPurgeLinks(t *testing.T, s portal.Store) {
	a := account(t, s)
	ended, live := newLink(a.ID, portal.PurposeReset, "ended"), newLink(a.ID, portal.PurposeReset, "live")
	live.ExpiresAt = ended.ExpiresAt.Add(time.Microsecond)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, err := range []error{tx.CreateLink(ctx, ended), tx.CreateLink(ctx, live)} {
			if err != nil {
				return err
			}
		}
		n, err := tx.PurgeLinks(ctx, ended.ExpiresAt)
		equal(t, "rows", 1, n)
		return err
	})
	equal(t, "links", []string{"live"}, hasLinks(t, s, "ended", "live"))
}
