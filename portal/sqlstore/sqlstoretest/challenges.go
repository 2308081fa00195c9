package sqlstoretest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

var challengeAndDeviceTests = map[string]func(*testing.T, portal.Store){
	"a challenge counts tries and is deleted once": testChallenge,
	"a device is known to an account":              testDevice,
	"all devices of an account are forgotten":      testDeleteDevices,
}

func newChallenge(a portal.AccountID, secret string) portal.Challenge {
	return portal.Challenge{Digest: digest(secret), Account: a, CreatedAt: start, ExpiresAt: start.Add(portal.ChallengeLife), Tries: 1}
}

func testChallenge(t *testing.T, s portal.Store) {
	a := account(t, s)
	c := newChallenge(a.ID, "it")
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.Challenge(ctx, c.Digest)
		gives(t, "before", portal.ErrNotFound, err)
		gives(t, "a try before", portal.ErrNotFound, tx.UpdateChallengeTries(ctx, c.Digest, 1))
		gives(t, "delete before", portal.ErrNotFound, tx.DeleteChallenge(ctx, c.Digest))
		gives(t, "nobody's", portal.ErrNotFound, tx.CreateChallenge(ctx, newChallenge("nobody", "it")))
		return tx.CreateChallenge(ctx, c)
	})
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "the same again", portal.ErrConflict, tx.CreateChallenge(ctx, c))
		got, err := tx.Challenge(ctx, c.Digest)
		equal(t, "challenge", c, got)
		if err != nil {
			return err
		}
		return tx.UpdateChallengeTries(ctx, c.Digest, 4)
	})
	c.Tries = 4
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		got, err := tx.Challenge(ctx, c.Digest)
		equal(t, "challenge after tries", c, got)
		if err != nil {
			return err
		}
		return tx.DeleteChallenge(ctx, c.Digest)
	})
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.Challenge(ctx, c.Digest)
		gives(t, "after", portal.ErrNotFound, err)
		gives(t, "delete again", portal.ErrNotFound, tx.DeleteChallenge(ctx, c.Digest))
		return nil
	})
}

func testDevice(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	device := portal.Device{Digest: digest("browser"), Account: a.ID, CreatedAt: start, LastSeen: minute(1)}
	shared := portal.Device{Digest: digest("browser"), Account: b.ID, CreatedAt: minute(2), LastSeen: minute(3)}
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.Device(ctx, a.ID, device.Digest)
		gives(t, "before", portal.ErrNotFound, err)
		gives(t, "nobody's", portal.ErrNotFound, tx.PutDevice(ctx, portal.Device{Digest: digest("x"), Account: "nobody", CreatedAt: start, LastSeen: start}))
		return tx.PutDevice(ctx, device)
	})
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		_, err := tx.Device(ctx, b.ID, device.Digest)
		gives(t, "another's", portal.ErrNotFound, err)
		if err := tx.PutDevice(ctx, shared); err != nil {
			return err
		}
		return tx.PutDevice(ctx, portal.Device{Digest: device.Digest, Account: a.ID, CreatedAt: minute(9), LastSeen: minute(10)})
	})
	device.LastSeen = minute(10)
	for _, want := range []portal.Device{device, shared} {
		got := read(t, s, func(ctx context.Context, tx portal.Tx) (portal.Device, error) {
			return tx.Device(ctx, want.Account, want.Digest)
		})
		equal(t, "device", want, got)
	}
}

func testDeleteDevices(t *testing.T, s portal.Store) {
	a, b := account(t, s), account(t, s)
	put := func(ctx context.Context, tx portal.Tx, owner portal.AccountID, secret string) error {
		return tx.PutDevice(ctx, portal.Device{Digest: digest(secret), Account: owner, CreatedAt: start, LastSeen: start.Add(time.Hour)})
	}
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, err := range []error{put(ctx, tx, a.ID, "1"), put(ctx, tx, a.ID, "2"), put(ctx, tx, b.ID, "1"), tx.DeleteDevices(ctx, a.ID), tx.DeleteDevices(ctx, "nobody")} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		for _, secret := range []string{"1", "2"} {
			_, err := tx.Device(ctx, a.ID, digest(secret))
			gives(t, "forgotten", portal.ErrNotFound, err)
		}
		_, err := tx.Device(ctx, b.ID, digest("1"))
		return err
	})
}
