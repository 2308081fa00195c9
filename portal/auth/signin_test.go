package auth

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/keyring"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

func TestSignUpVerifySignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.person(email)
	if !account.Verified() || strings.Contains(account.PasswordHash, "harbor") {
		t.Fatalf("the account is %+v", account)
	}
	session := w.signIn(home, strings.ToUpper(email), goodPassword)
	if session.Secret == "" || session.DeviceSecret == "" || session.Session.Digest != portal.DigestOf(session.Secret) {
		t.Fatalf("the session is %+v", session)
	}
	if got, want := session.Session.Browser, "Firefox on Linux"; got != want {
		t.Errorf("the browser is %q", got)
	}
	if n := w.mailed(portal.MailNewDevice); n != 1 {
		t.Errorf("%d mails of a new device", n)
	}
	p := w.principal(session)
	if p.Account.ID != account.ID || p.SecondFactor || p.Token != nil {
		t.Errorf("the principal is %+v", p)
	}
	again := w.signIn(client("192.0.2.1", session.DeviceSecret), email, goodPassword)
	if again.DeviceSecret != "" || w.mailed(portal.MailNewDevice) != 1 {
		t.Error("a known browser is told as new")
	}
	want := []portal.EventKind{portal.EventSignIn, portal.EventNewDevice, portal.EventSignIn, portal.EventEmailVerified, portal.EventSignUp}
	got := w.events(account.ID)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("events are %v", got)
	}
}

func TestUnverifiedMayNotSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.SignUp(t.Context(), home, email, goodPassword))
	_, err := w.SignIn(t.Context(), home, email, goodPassword)
	w.wantKind(err, portal.KindUnauthenticated)
	if n := w.mailed(portal.MailVerify); n != 2 {
		t.Errorf("%d links were mailed", n)
	}
	w.must(w.VerifyEmail(t.Context(), home, w.secret(portal.MailVerify, email)))
	w.signIn(home, email, goodPassword)
}

// TestSecondSignUpTrustsNoPassword: who signs up with another's address first (or last)
// does not get in when the owner proves it.
func TestSecondSignUpTrustsNoPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := client("203.0.113.9", "")
	w.must(w.SignUp(t.Context(), stranger, email, otherPassword))
	first := w.secret(portal.MailVerify, email)
	w.must(w.SignUp(t.Context(), home, email, goodPassword))
	w.wantKind(w.VerifyEmail(t.Context(), home, first), portal.KindNotFound)
	for _, p := range []string{goodPassword, otherPassword} {
		_, err := w.SignIn(t.Context(), home, email, p)
		w.wantKind(err, portal.KindUnauthenticated)
	}
	w.must(w.Reset(t.Context(), home, w.secret(portal.MailResetPassword, email), goodPassword, ""))
	w.signIn(home, email, goodPassword)
	_, err := w.SignIn(t.Context(), stranger, email, otherPassword)
	w.wantKind(err, portal.KindUnauthenticated)
}

func TestSamePersonSignsUpTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		w.must(w.SignUp(t.Context(), home, email, goodPassword))
	}
	w.must(w.VerifyEmail(t.Context(), home, w.secret(portal.MailVerify, email)))
	w.signIn(home, email, goodPassword)
}

func TestSignInWithTwoFactors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	challenge := w.askedCode(home, email, goodPassword)
	_, err := w.Authenticate(t.Context(), home, challenge)
	w.wantKind(err, portal.KindUnauthenticated)
	session, err := w.FinishSignIn(t.Context(), home, challenge, w.code(e.seed))
	w.must(err)
	if p := w.principal(session); !p.SecondFactor || !p.Session.SecondFactor {
		t.Errorf("the principal is %+v", p)
	}
	_, err = w.FinishSignIn(t.Context(), home, challenge, w.code(e.seed))
	w.wantKind(err, portal.KindUnauthenticated)
}

// TestReplayLooksWrong: a code that was used, and one that never was right, are answered
// alike and recorded apart.
func TestReplayLooksWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	code := w.code(e.seed)
	_, err := w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), code)
	w.must(err)
	challenge := w.askedCode(home, email, goodPassword)
	_, replayed := w.FinishSignIn(t.Context(), home, challenge, code)
	_, wrong := w.FinishSignIn(t.Context(), home, challenge, w.notCode(e.seed))
	_, none := w.FinishSignIn(t.Context(), home, challenge, "nonsense")
	if w.refusal(replayed, portal.KindUnauthenticated).Error() != wrong.Error() || none.Error() != wrong.Error() {
		t.Errorf("%v and %v and %v differ", replayed, wrong, none)
	}
	if n := w.happened(e.account.ID, portal.EventTOTPReplayed); n != 1 {
		t.Errorf("%d replays are recorded", n)
	}
	if n := w.happened(e.account.ID, portal.EventTOTPFailed); n != 2 {
		t.Errorf("%d wrong codes are recorded", n)
	}
	w.nextStep()
	_, err = w.FinishSignIn(t.Context(), home, challenge, w.code(e.seed))
	w.must(err)
}

func TestEnrolmentCodeIsUsedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	w.clock.Advance(-totpPeriod)
	_, err := w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), w.code(e.seed))
	w.wantKind(err, portal.KindUnauthenticated)
	if n := w.happened(e.account.ID, portal.EventTOTPReplayed); n != 1 {
		t.Errorf("%d replays are recorded", n)
	}
}

// TestCollidingCodeIsGoodOnce drives the whole sign-in over two steps with one code.
func TestCollidingCodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.Set(time.Unix((collidingStep-10)*30, 0).UTC())
	e := w.enrol(email)
	w.poke(func(ctx context.Context, tx portal.Tx) error {
		factor, err := tx.ConfirmedTOTP(ctx, e.account.ID)
		if err != nil {
			return err
		}
		sealed, err := w.keys.Seal([]byte(collidingSeed), seedContext(factor))
		if err != nil {
			return err
		}
		return tx.ReplaceSeed(ctx, factor.ID, sealed)
	})
	seed := seedOf(collidingSeed)
	w.clock.Set(time.Unix(collidingStep*30, 0).UTC())
	code := codeAt(t, seed, collidingStep)
	_, err := w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), code)
	w.must(err)
	w.nextStep() // where the same code is shown again
	_, err = w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), code)
	w.wantKind(err, portal.KindUnauthenticated)
}

// TestSameCodeAtOnce: of many who show the same code at the same time, on two replicas,
// one gets in.
func TestSameCodeAtOnce(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(*world, enrolled) string{
		"of the app":  func(w *world, e enrolled) string { return w.code(e.seed) },
		"of recovery": func(_ *world, e enrolled) string { return e.codes[0] },
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			e := w.enrol(email)
			replicas := []*Service{w.Service, w.restart(Options{Argon2: cheapest})}
			const tries = 5
			challenges := make([]string, tries)
			for i := range challenges {
				challenges[i] = w.askedCode(home, email, goodPassword)
			}
			code := kind(w, e)
			errs := make([]error, tries)
			var all sync.WaitGroup
			for i := range tries {
				all.Go(func() {
					_, errs[i] = replicas[i%2].FinishSignIn(t.Context(), home, challenges[i], code)
				})
			}
			all.Wait()
			good := 0
			for _, err := range errs {
				if err == nil {
					good++
				} else {
					w.wantKind(err, portal.KindUnauthenticated)
				}
			}
			if good != 1 {
				t.Errorf("%d got in: %v", good, errs)
			}
		})
	}
}

func TestRecoveryCodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	_, err := w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), strings.ToUpper(e.codes[3]))
	w.must(err)
	_, err = w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), e.codes[3])
	w.wantKind(err, portal.KindUnauthenticated)
	for _, m := range w.mails() {
		if m.Kind == portal.MailRecoveryUsed && m.Data.Left != portal.RecoveryCodes-1 {
			t.Errorf("the mail tells of %d codes", m.Data.Left)
		}
	}
	if w.mailed(portal.MailRecoveryUsed) != 1 || w.happened(e.account.ID, portal.EventRecoveryUsed) != 1 {
		t.Error("it was not told")
	}
	left, err := w.RecoveryCodesLeft(t.Context(), w.principal(e.session))
	if err != nil || left != portal.RecoveryCodes-1 {
		t.Errorf("%d are left, %v", left, err)
	}
}

func TestChallengeEnds(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*world, enrolled, string){
		"after five wrong codes": func(w *world, e enrolled, challenge string) {
			for range portal.ChallengeTries {
				_, err := w.FinishSignIn(w.Context(), home, challenge, w.notCode(e.seed))
				w.wantKind(err, portal.KindUnauthenticated)
			}
		},
		"after five minutes": func(w *world, _ enrolled, _ string) { w.clock.Advance(portal.ChallengeLife) },
		"when the password is reset": func(w *world, e enrolled, _ string) {
			w.must(w.AskReset(w.Context(), home, email))
			w.must(w.Reset(w.Context(), home, w.secret(portal.MailResetPassword, email), otherPassword, w.code(e.seed)))
			w.nextStep()
		},
		"when the account is disabled": func(w *world, _ enrolled, _ string) {
			account := w.account(email)
			account.DisabledAt = w.clock.Now()
			w.poke(func(ctx context.Context, tx portal.Tx) error { return tx.UpdateAccount(ctx, account) })
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			e := w.enrol(email)
			challenge := w.askedCode(home, email, goodPassword)
			end(w, e, challenge)
			_, err := w.FinishSignIn(t.Context(), home, challenge, w.code(e.seed))
			if got := w.refusal(err, portal.KindUnauthenticated); got.Message != errSignInAgain.Message {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestCodesAreCountedOverChallenges: who knows the password does not get five more codes
// with each new challenge.
func TestCodesAreCountedOverChallenges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	thief := client("203.0.113.9", "")
	tried := 0
	var last error
	for range 4 {
		challenge := w.askedCode(thief, email, goodPassword)
		for range 3 {
			_, last = w.FinishSignIn(t.Context(), thief, challenge, w.notCode(e.seed))
			if portal.KindOf(last) == portal.KindUnauthenticated {
				tried++
			}
		}
	}
	if tried != guess.Free+1 {
		t.Errorf("%d codes were looked at", tried)
	}
	if e := w.refusal(last, portal.KindTooMany); e.RetryAfter != guess.Base {
		t.Errorf("the wait is %s", e.RetryAfter)
	}
	if n := w.mailed(portal.MailManyFailures); n != 1 {
		t.Errorf("the person was told %d times", n)
	}
	// The right code from the thief's browser is refused too, unlooked at.
	_, err := w.FinishSignIn(t.Context(), thief, w.askedCode(thief, email, goodPassword), w.code(e.seed))
	w.wantKind(err, portal.KindTooMany)
	// The person's own browser is counted apart.
	known := client("203.0.113.9", e.device)
	_, err = w.FinishSignIn(t.Context(), known, w.askedCode(known, email, goodPassword), w.code(e.seed))
	w.must(err)
}

// TestStoreErrorIsNoWrongCode lets each store call of FinishSignIn fail in turn.
func TestStoreErrorIsNoWrongCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	challenge := w.askedCode(home, email, goodPassword)
	for n := 1; ; n++ {
		w.store.fail(n)
		_, err := w.FinishSignIn(t.Context(), home, challenge, w.code(e.seed))
		if err == nil {
			if n < 8 {
				t.Errorf("only %d calls were seen", n)
			}
			break
		}
		if portal.KindOf(err) != portal.KindInternal {
			t.Errorf("when %s fails the answer is %v", w.store.failed, err)
		}
	}
	if w.happened(e.account.ID, portal.EventTOTPFailed)+w.happened(e.account.ID, portal.EventTOTPReplayed) != 0 {
		t.Error("a wrong code was recorded")
	}
}

// TestLostKeyIsNoWrongCode: a seed that does not open is our fault.
func TestLostKeyIsNoWrongCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	w.poke(func(ctx context.Context, tx portal.Tx) error {
		factor, err := tx.ConfirmedTOTP(ctx, e.account.ID)
		if err != nil {
			return err
		}
		return tx.ReplaceSeed(ctx, factor.ID, portal.Sealed{KeyID: "k99", Box: factor.Seed.Box})
	})
	_, err := w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), w.code(e.seed))
	w.wantInternal(err)
	_, err = w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), e.codes[0])
	w.must(err)
}

func (w *world) wantInternal(err error) {
	w.Helper()
	if err == nil || portal.KindOf(err) != portal.KindInternal {
		w.Fatalf("got %v", err)
	}
}

func TestRehashOnSignIn(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*world) *Service{
		"with newer parameters": func(w *world) *Service {
			return w.restart(Options{Argon2: Argon2{MemoryKiB: floorMemoryKiB, Time: floorTime + 1, Threads: 1}})
		},
		"with a newer pepper": func(w *world) *Service {
			w.rotateKeys()
			return w.restart(Options{Argon2: cheapest})
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			person := w.person(email)
			before := person.PasswordHash
			w.Service = change(w)
			if _, err := w.SignIn(t.Context(), home, email, wrongPassword); err == nil || w.account(email).PasswordHash != before {
				t.Fatalf("a wrong password changed the hash, %v", err)
			}
			if got := w.working(func() { w.signIn(home, email, goodPassword) }); got.Hashes != 2 {
				t.Errorf("the work was %+v", got)
			}
			after := w.account(email)
			if after.PasswordHash == before || w.hasher.stale(after.PasswordHash) {
				t.Errorf("the hash is still %s", after.PasswordHash)
			}
			if got := w.working(func() { w.signIn(home, email, goodPassword) }); got.Hashes != 1 {
				t.Errorf("the work was %+v", got)
			}
			if !after.PasswordChangedAt.Equal(person.PasswordChangedAt) {
				t.Error("it is told as a change of the password")
			}
		})
	}
}

// rotateKeys adds a key, as the command does.
func (w *world) rotateKeys() {
	w.Helper()
	path := filepath.Join(w.TempDir(), "keys.json")
	w.must(keyring.Create(path, portaltest.Random(1)))
	w.must(keyring.Rotate(path, portaltest.Random(2)))
	ring, err := keyring.Load(path)
	w.must(err)
	w.keys = &countingKeys{Ring: ring}
}

func TestReseal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.enrol(email)
	w.enrol("second@example.org")
	w.rotateKeys()
	w.Service = w.restart(Options{Argon2: cheapest})
	n, err := w.Reseal(t.Context())
	if err != nil || n != 2 {
		t.Fatalf("%d seeds were sealed, %v", n, err)
	}
	if n, err := w.Reseal(t.Context()); err != nil || n != 0 {
		t.Errorf("%d seeds were sealed again, %v", n, err)
	}
	w.nextStep()
	_, err = w.FinishSignIn(t.Context(), home, w.askedCode(home, email, goodPassword), w.code(e.seed))
	w.must(err)
}

// TestHashesAreBounded: of 300 passwords at once a few are hashed at a time, and who does
// not fit into the queue is told so at once.
func TestHashesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Service = w.restart(Options{Argon2: cheapest, HashSlots: 2, HashQueue: 10, HashWait: time.Minute})
	most, now := 0, 0
	var mutex sync.Mutex
	slow := w.hasher.keys
	w.hasher.keys = watchedKeys{slow, func(d int) {
		mutex.Lock()
		defer mutex.Unlock()
		now += d
		most = max(most, now)
	}}
	const tries = 300
	kinds := map[portal.Kind]int{}
	var all sync.WaitGroup
	for i := range tries {
		all.Go(func() {
			_, err := w.SignIn(t.Context(), client(fmt.Sprintf("10.%d.%d.1", i/250, i%250), ""), fmt.Sprintf("p%d@example.org", i), wrongPassword)
			mutex.Lock()
			defer mutex.Unlock()
			kinds[portal.KindOf(err)]++
		})
	}
	all.Wait()
	if kinds[portal.KindUnauthenticated] < 12 || kinds[portal.KindUnavailable] == 0 || kinds[portal.KindUnauthenticated]+kinds[portal.KindUnavailable] != tries {
		t.Errorf("the answers are %v", kinds)
	}
	if most > 2 {
		t.Errorf("%d were hashed at the same time", most)
	}
	if len(w.hasher.slots)+len(w.hasher.queue) != 0 {
		t.Error("slots were not given back")
	}
}

// watchedKeys tells who comes into Pepper and goes: that is inside of the slot.
type watchedKeys struct {
	Keys
	in func(int)
}

func (k watchedKeys) Pepper(keyID string, data []byte) ([]byte, error) {
	k.in(1)
	defer k.in(-1)
	for range 1000 { // stands for the hash that follows
		runtime.Gosched()
	}
	return k.Keys.Pepper(keyID, data)
}

func TestHashWaitIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := *w.hasher
	h.slots, h.queue, h.wait = make(chan struct{}, 1), make(chan struct{}, 2), time.Millisecond
	first, err := h.take(t.Context())
	w.must(err)
	_, err = h.take(t.Context())
	w.wantKind(err, portal.KindUnavailable)
	h.wait = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = h.take(ctx)
	w.wantInternal(err)
	first.release()
	first.release() // again, as a deferred one after an early one
	again, err := h.take(t.Context())
	w.must(err)
	again.release()
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := func() (Dependencies, Options) {
		return Dependencies{Store: portaltest.Store(t), Keys: portaltest.Keys(t), Now: (&portaltest.Clock{}).Now, Random: portaltest.Random(1), Issuer: "Lethe"}, Options{}
	}
	tests := map[string]func(*Dependencies, *Options){
		"too little memory": func(_ *Dependencies, o *Options) { o.Argon2 = Argon2{floorMemoryKiB - 1, 2, 1} },
		"one pass":          func(_ *Dependencies, o *Options) { o.Argon2 = Argon2{floorMemoryKiB, 1, 1} },
		"no threads":        func(_ *Dependencies, o *Options) { o.Argon2 = Argon2{floorMemoryKiB, 2, 0} },
		"too much memory":   func(_ *Dependencies, o *Options) { o.Argon2 = Argon2{2 << 20, 2, 1} },
		"negative slots":    func(_ *Dependencies, o *Options) { o.HashSlots = -1 },
		"no issuer":         func(d *Dependencies, _ *Options) { d.Issuer = "" },
		"no store":          func(d *Dependencies, _ *Options) { d.Store = nil },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, o := good()
			spoil(&d, &o)
			if _, err := New(d, o); err == nil {
				t.Error("it was accepted")
			}
		})
	}
	d, o := good()
	if _, err := New(d, o); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}
