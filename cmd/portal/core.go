package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/auth"
	"github.com/lethe-dev/lethe/portal/clientip"
	"github.com/lethe-dev/lethe/portal/mail"
	"github.com/lethe-dev/lethe/portal/preferences"
	"github.com/lethe-dev/lethe/portal/review"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

// serviceName is what we are called in pages, mails and authenticator apps.
const serviceName = "Lethe"

// core is what commands and the server share: the database, the keys, and the use cases.
type core struct {
	store  *sqlstore.Store
	keys   *liveKeys
	auth   *auth.Service
	review *review.Service
	// preferences are what people choose for themselves.
	preferences *preferences.Service
	// wake is called when a mail was written to the outbox; set once, before use.
	wake func()
}

// openCore opens a database that is there and of this version's schema, and its keys.
func (i *invocation) openCore(ctx context.Context) (*core, error) {
	if err := i.config.checkDatabase(); err != nil {
		return nil, &usageError{err}
	}
	keys, err := openLiveKeys(i.config.keyFile, time.Now, i.log)
	if err != nil {
		return nil, err
	}
	store, err := i.openStore(ctx)
	if err != nil {
		return nil, err
	}
	c := &core{store: store, keys: keys, wake: func() {}}
	if err := c.wire(i.config); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return c, nil
}

func (c *core) wire(config config) error {
	store := c.waking()
	var err error
	c.auth, err = auth.New(auth.Dependencies{
		Store: store, Keys: c.keys, Now: time.Now, Random: rand.Reader, Issuer: serviceName, Browser: clientip.Browser,
	}, auth.Options{
		Argon2:    auth.Argon2{MemoryKiB: uint32(config.hashMemory) << 10, Time: 3, Threads: 1}, //nolint:gosec // G115: bounded by its setting
		HashSlots: config.hashSlots,
	})
	if err != nil {
		return fmt.Errorf("set up accounts: %w", err)
	}
	c.review, err = review.New(review.Dependencies{Store: store, Now: time.Now, Random: rand.Reader, MAC: c.keys.MAC})
	if err != nil {
		return fmt.Errorf("set up the review: %w", err)
	}
	if c.preferences, err = preferences.New(store); err != nil {
		return fmt.Errorf("set up the preferences: %w", err)
	}
	return nil
}

// waking is the store for use cases: links of mails are sealed, and a mail that was written
// leaves at once.
func (c *core) waking() portal.Store {
	return wakingStore{mail.Sealed(c.store, c.keys), func() { c.wake() }}
}

func (c *core) close(log *slog.Logger) {
	if err := c.store.Close(); err != nil {
		log.Error("The database was not closed in order", "cause", err.Error())
	}
}

// wakingStore tells when a transaction has written a mail, so that it leaves at once and
// not at the next look into the outbox.
type wakingStore struct {
	portal.Store
	wake func()
}

// Write is the store's.
func (s wakingStore) Write(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	var mailed bool
	err := s.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		mailed = false // it may run more than once
		return f(ctx, wakingTx{tx, &mailed})
	})
	if err == nil && mailed {
		s.wake()
	}
	return err
}

type wakingTx struct {
	portal.Tx
	mailed *bool
}

// AddMail is the transaction's.
func (t wakingTx) AddMail(ctx context.Context, m portal.Mail) error {
	*t.mailed = true
	return t.Tx.AddMail(ctx, m)
}
