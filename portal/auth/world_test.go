package auth

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/keyring"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

// Passwords that are none of anybody.
const (
	goodPassword  = "harbor violin plastic tundra"
	otherPassword = "kettle orchid magnet sailor"
	wrongPassword = "pebble walnut anchor mirror"
)

const email = "River.Person@example.org"

// countingKeys counts peppers: each Argon2 hash needs one, and nothing else does.
type countingKeys struct {
	*keyring.Ring
	hashes atomic.Int64
}

func (k *countingKeys) Pepper(keyID string, data []byte) ([]byte, error) {
	k.hashes.Add(1)
	return k.Ring.Pepper(keyID, data)
}

// world is a service on a real store, with hands on its clock and faults.
type world struct {
	testing.TB
	*Service
	store *faulty
	keys  *countingKeys
	clock *portaltest.Clock
}

var cheapest = Argon2{MemoryKiB: floorMemoryKiB, Time: floorTime, Threads: 1}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, store: &faulty{Store: portaltest.Store(t)}, keys: &countingKeys{Ring: portaltest.Keys(t)}, clock: &portaltest.Clock{}}
	w.Service = w.restart(Options{Argon2: cheapest})
	return w
}

// restart gives a new service on the same store: another process, or another replica.
func (w *world) restart(o Options) *Service {
	w.Helper()
	s, err := New(Dependencies{
		Store: w.store, Keys: w.keys, Now: w.clock.Now, Random: portaltest.Random(uint64(w.clock.Now().UnixNano()) + uint64(w.keys.hashes.Load())), Issuer: "Lethe",
		Browser: func(string) string { return "Firefox on Linux" },
	}, o)
	if err != nil {
		w.Fatalf("make a service: %v", err)
	}
	return s
}

// client is a browser at an address that knows a device secret.
func client(ip, device string) portal.Client {
	c := portaltest.Client(ip)
	c.Device = device
	return c
}

var home = client("198.51.100.7", "")

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("got %v", err)
	}
}

func (w *world) wantKind(err error, want portal.Kind) {
	w.Helper()
	_ = w.refusal(err, want)
}

// refusal is an error for the person, of a kind.
func (w *world) refusal(err error, want portal.Kind) *portal.Error {
	w.Helper()
	var e *portal.Error
	if !errors.As(err, &e) || e.Kind != want {
		w.Fatalf("got %v (%d), want kind %d", err, portal.KindOf(err), want)
	}
	return e
}

// peek reads the store without being counted.
func (w *world) peek(f func(context.Context, portal.Tx) error) {
	w.Helper()
	w.must(w.store.Store.Read(w.Context(), f))
}

// poke writes it.
func (w *world) poke(f func(context.Context, portal.Tx) error) {
	w.Helper()
	w.must(w.store.Store.Write(w.Context(), f))
}

var errLook = errors.New("only looked")

// mails are all that wait, oldest first.
func (w *world) mails() []portal.Mail {
	w.Helper()
	var mails []portal.Mail
	err := w.store.Store.Write(w.Context(), func(ctx context.Context, tx portal.Tx) error {
		var err error
		if mails, err = tx.ClaimMails(ctx, w.clock.Now().Add(time.Hour), w.clock.Now().Add(2*time.Hour), 1000); err != nil {
			return err
		}
		return errLook
	})
	if !errors.Is(err, errLook) {
		w.Fatalf("read mails: %v", err)
	}
	return mails
}

// mailed counts mails of a kind.
func (w *world) mailed(kind portal.MailKind) int {
	w.Helper()
	n := 0
	for _, m := range w.mails() {
		if m.Kind == kind {
			n++
		}
	}
	return n
}

// secret is that of the newest link in a mail of a kind, to an address.
func (w *world) secret(kind portal.MailKind, to portal.Email) string {
	w.Helper()
	secret := ""
	var at time.Time
	for _, m := range w.mails() {
		if m.Kind == kind && m.To == to && !m.CreatedAt.Before(at) {
			_, secret, _ = strings.Cut(m.Data.Link, "?token=")
			at = m.CreatedAt
		}
	}
	if secret == "" {
		w.Fatalf("no mail %s to %s", kind, to)
	}
	return secret
}

// events are the kinds of an account's events, newest first; of all with "".
func (w *world) events(account portal.AccountID) []portal.EventKind {
	w.Helper()
	var kinds []portal.EventKind
	w.peek(func(ctx context.Context, tx portal.Tx) error {
		events, err := tx.FindEvents(ctx, portal.EventFilter{Account: account}, portal.EventCursor{}, 1000)
		kinds = nil
		for _, e := range events {
			kinds = append(kinds, e.Kind)
		}
		return err
	})
	return kinds
}

// happened counts events of a kind.
func (w *world) happened(account portal.AccountID, kind portal.EventKind) int {
	w.Helper()
	n := 0
	for _, k := range w.events(account) {
		if k == kind {
			n++
		}
	}
	return n
}

func (w *world) account(address string) portal.Account {
	w.Helper()
	var account portal.Account
	w.peek(func(ctx context.Context, tx portal.Tx) error {
		var err error
		account, err = tx.AccountByEmail(ctx, portal.Email(address).Key())
		return err
	})
	return account
}

// person signs up and proves the address.
func (w *world) person(address string) portal.Account {
	w.Helper()
	w.must(w.SignUp(w.Context(), home, address, goodPassword))
	w.must(w.VerifyEmail(w.Context(), home, w.secret(portal.MailVerify, portal.Email(address))))
	return w.account(address)
}

// signIn signs in with a password only, from a browser.
func (w *world) signIn(c portal.Client, address, password string) portal.NewSession {
	w.Helper()
	step, err := w.SignIn(w.Context(), c, address, password)
	w.must(err)
	if step.Session == nil {
		w.Fatal("a code is asked for")
	}
	return *step.Session
}

// challenge signs in up to the code.
func (w *world) askedCode(c portal.Client, address, password string) string {
	w.Helper()
	step, err := w.SignIn(w.Context(), c, address, password)
	w.must(err)
	if step.Session != nil || step.Challenge == "" {
		w.Fatal("no code is asked for")
	}
	return step.Challenge
}

func (w *world) principal(s portal.NewSession) portal.Principal {
	w.Helper()
	p, err := w.Authenticate(w.Context(), home, s.Secret)
	w.must(err)
	return p
}

// enrolled is a person with a second factor.
type enrolled struct {
	account portal.Account
	seed    string
	codes   []string
	session portal.NewSession
	device  string
}

// enrol makes a person with a second factor, who is signed in.
func (w *world) enrol(address string) enrolled {
	w.Helper()
	account := w.person(address)
	return w.enrolAs(account, w.signIn(home, address, goodPassword))
}

func (w *world) enrolAs(account portal.Account, first portal.NewSession) enrolled {
	w.Helper()
	p := w.principal(first)
	e, err := w.BeginTOTP(w.Context(), home, p)
	w.must(err)
	codes, session, err := w.ConfirmTOTP(w.Context(), home, p, w.code(e.Secret))
	w.must(err)
	w.nextStep()
	return enrolled{account, e.Secret, codes, session, first.DeviceSecret}
}

// code is what the app shows now.
func (w *world) code(seed string) string { return codeAt(w, seed, stepOf(w.clock.Now())) }

// notCode is one that the app does not show.
func (w *world) notCode(seed string) string {
	w.Helper()
	for _, code := range []string{"000000", "111111", "222222", "333333"} {
		if _, match, _, err := findStep(seed, code, w.clock.Now(), 0); err == nil && !match {
			return code
		}
	}
	w.Fatal("all codes are right")
	return ""
}

// nextStep waits for the app's next code.
func (w *world) nextStep() { w.clock.Advance(totpPeriod) }

// work is what an act costs.
type work struct{ Hashes, Writes, Reads int64 }

// working measures an act.
func (w *world) working(act func()) work {
	hashes, writes, reads := w.keys.hashes.Load(), w.store.writes.Load(), w.store.reads.Load()
	act()
	return work{w.keys.hashes.Load() - hashes, w.store.writes.Load() - writes, w.store.reads.Load() - reads}
}
