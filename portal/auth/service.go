package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Keys are the keys that are not in the database.
type Keys interface {
	// Seal encrypts under the current key; Open wants the same context.
	Seal(plain, context []byte) (portal.Sealed, error)
	Open(sealed portal.Sealed, context []byte) ([]byte, error)
	// MAC is a keyed hash that stays the same while keys are added.
	MAC(purpose string, data []byte) [32]byte
	// Pepper is a keyed hash under the key with that id.
	Pepper(keyID string, data []byte) ([]byte, error)
	// Current names the key that new secrets are sealed and peppered with.
	Current() string
}

// Dependencies are what the service works with.
type Dependencies struct {
	Store portal.Store
	Keys  Keys
	Now   func() time.Time
	// Random is a cryptographic source that many may read at once.
	Random io.Reader
	// Issuer is the portal's name in an authenticator app, and a word that no password
	// may consist of.
	Issuer string
	// Browser gives the family and system of a User-Agent ("Firefox on Linux"); nil for
	// "Unknown browser".
	Browser func(userAgent string) string
}

// Options are what an operator may choose; zero fields choose the defaults.
type Options struct {
	// Argon2 is 64 MiB, 3, 1 by default, and at least 19 MiB, 2, 1 (OWASP Password
	// Storage Cheat Sheet).
	Argon2 Argon2
	// HashSlots is how many passwords are hashed at the same time (default 4): that many
	// times the memory is all that hashing ever takes.
	HashSlots int
	// HashQueue is how many more may wait for a slot (default 64), and HashWait for how
	// long (default 10 s). Beyond it the answer is KindUnavailable.
	HashQueue int
	HashWait  time.Duration
}

func (o Options) orDefaults() Options {
	if o.Argon2 == (Argon2{}) {
		o.Argon2 = Argon2{MemoryKiB: 64 << 10, Time: 3, Threads: 1}
	}
	if o.HashSlots == 0 {
		o.HashSlots = 4
	}
	if o.HashQueue == 0 {
		o.HashQueue = 64
	}
	if o.HashWait == 0 {
		o.HashWait = 10 * time.Second
	}
	return o
}

// Service is every use case of this package. Its methods may be called by many at once.
type Service struct {
	store   portal.Store
	keys    Keys
	now     func() time.Time
	random  io.Reader
	issuer  string
	browser func(string) string
	hasher  *hasher
}

// New makes a service. It refuses options that are too weak.
func New(with Dependencies, options Options) (*Service, error) {
	if with.Store == nil || with.Keys == nil || with.Now == nil || with.Random == nil || with.Issuer == "" {
		return nil, errors.New("make the service of accounts: store, keys, clock, randomness and issuer are all needed")
	}
	if with.Browser == nil {
		with.Browser = func(string) string { return "Unknown browser" }
	}
	hasher, err := newHasher(with.Keys, with.Random, options.orDefaults())
	if err != nil {
		return nil, fmt.Errorf("make the service of accounts: %w", err)
	}
	return &Service{
		store: with.Store, keys: with.Keys, random: with.Random, issuer: with.Issuer,
		browser: with.Browser, hasher: hasher,
		// Stores keep microseconds: what is returned is what they give back.
		now: func() time.Time { return with.Now().UTC().Truncate(time.Microsecond) },
	}, nil
}

// act is one use case at work in one transaction.
type act struct {
	portal.Tx
	s      *Service
	now    time.Time
	client portal.Client
}

// kept is a refusal that has to be remembered: the transaction commits what it has written
// (events, counts), and the refusal is what the use case gives.
type kept struct{ refusal error }

func (k *kept) Error() string { return "kept: " + k.refusal.Error() }

func keep(refusal error) error { return &kept{refusal} }

// write runs f in a transaction. It may run more than once, so it assigns whole what it
// gives back.
func (s *Service) write(ctx context.Context, c portal.Client, f func(context.Context, *act) error) error {
	var refusal error
	err := s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		refusal = nil
		err := f(ctx, &act{Tx: tx, s: s, now: s.now(), client: c})
		var k *kept
		if errors.As(err, &k) {
			refusal = k.refusal
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return refusal
}

// read runs f on a snapshot.
func (s *Service) read(ctx context.Context, c portal.Client, f func(context.Context, *act) error) error {
	return s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		return f(ctx, &act{Tx: tx, s: s, now: s.now(), client: c})
	})
}

// event writes a security event of this request.
func (a *act) event(ctx context.Context, kind portal.EventKind, account portal.AccountID) error {
	id := portal.NewID[portal.EventID](a.s.random)
	if err := a.AddEvent(ctx, portal.NewEvent(id, a.now, kind, account, a.client)); err != nil {
		return fmt.Errorf("record %s: %w", kind, err)
	}
	return nil
}

// mail puts a mail to the account's address into the outbox.
func (a *act) mail(ctx context.Context, kind portal.MailKind, to portal.Account, data portal.MailData) error {
	return a.mailTo(ctx, kind, to.ID, to.Email, data)
}

func (a *act) mailTo(ctx context.Context, kind portal.MailKind, account portal.AccountID, to portal.Email, data portal.MailData) error {
	data.Time = a.now
	mail := portal.Mail{
		ID: portal.NewID[portal.MailID](a.s.random), Account: account, To: to, Kind: kind, Data: data,
		CreatedAt: a.now, DueAt: a.now,
	}
	if err := a.AddMail(ctx, mail); err != nil {
		return fmt.Errorf("put a mail %s into the outbox: %w", kind, err)
	}
	return nil
}

// tell is an event and the mail that goes with it.
func (a *act) tell(ctx context.Context, event portal.EventKind, mail portal.MailKind, account portal.Account) error {
	if err := a.event(ctx, event, account.ID); err != nil {
		return err
	}
	return a.mail(ctx, mail, account, portal.MailData{})
}

// mailedSince reports whether the account was sent a mail of that kind after a time.
func (a *act) mailedSince(ctx context.Context, account portal.AccountID, kind portal.MailKind, since time.Time) (bool, error) {
	at, err := a.LastMail(ctx, account, kind)
	if errors.Is(err, portal.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the last mail %s: %w", kind, err)
	}
	return at.After(since), nil
}

// link makes a link and gives the path that goes into a mail.
func (a *act) link(ctx context.Context, account portal.AccountID, purpose portal.Purpose, email portal.Email) (string, error) {
	secret, digest := portal.NewSecret(a.s.random)
	link := portal.Link{
		Digest: digest, Account: account, Purpose: purpose, Email: email,
		CreatedAt: a.now, ExpiresAt: a.now.Add(purpose.Life()),
	}
	if err := a.CreateLink(ctx, link); err != nil {
		return "", fmt.Errorf("make a link to %s: %w", purpose, err)
	}
	return purpose.Path() + "?token=" + secret, nil
}

// mailLink makes a link for the account's own address, and mails it there.
func (a *act) mailLink(ctx context.Context, account portal.Account, purpose portal.Purpose, kind portal.MailKind) error {
	path, err := a.link(ctx, account.ID, purpose, account.Email)
	if err != nil {
		return err
	}
	return a.mail(ctx, kind, account, portal.MailData{Link: path})
}

// dropLinks makes links worthless that were sent before.
func (a *act) dropLinks(ctx context.Context, account portal.AccountID, purposes ...portal.Purpose) error {
	for _, p := range purposes {
		if err := a.DeleteLinks(ctx, account, p); err != nil {
			return fmt.Errorf("drop links to %s: %w", p, err)
		}
	}
	return nil
}

// found gives what a lookup found, and whether it found it.
func found[T any](thing T, err error) (T, bool, error) {
	if errors.Is(err, portal.ErrNotFound) {
		var none T
		return none, false, nil
	}
	return thing, err == nil, err
}
