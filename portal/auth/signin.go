package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Answers of a sign-in.
var (
	// errWrong is the one answer for an address without account, a wrong password, a
	// disabled account, and an address that is not proved. The last is no exception even
	// when the password is right: who signs up with a stranger's address and then signs in
	// would see by the answer whether it had an account before.
	errWrong       = &portal.Error{Kind: portal.KindUnauthenticated, Message: "Email or password is wrong. If you have just signed up, confirm your address first: the link is in your mailbox."}
	errSignInAgain = &portal.Error{Kind: portal.KindUnauthenticated, Message: "This sign-in took too long, or had too many wrong codes. Sign in again."}
	errWrongCode   = &portal.Error{Kind: portal.KindUnauthenticated, Field: "code", Message: "This code is wrong, or was used before. Wait for the next one that your app shows."}
)

const deviceAdvice = " If it was not you who tried, prove by mail that this browser is yours: then it is counted apart."

// manyFailures is from how many failures in a row on the person is told of them, at most
// once in toldEvery.
const manyFailures = 5

// attempt is one password that somebody tries, already counted as a failure.
type attempt struct {
	// account is zero when nobody has the address.
	account  portal.Account
	counters []counter
	failures int
}

// SignIn takes email and password. A right password gives a session, or a challenge when a
// second factor has to be shown as well.
func (s *Service) SignIn(ctx context.Context, c portal.Client, email, password string) (portal.SignInStep, error) {
	address, err := portal.ParseEmail(email)
	if err != nil {
		return portal.SignInStep{}, err
	}
	if err := s.mayTry(ctx, c, address); err != nil {
		return portal.SignInStep{}, err
	}
	slot, err := s.hasher.take(ctx)
	if err != nil {
		return portal.SignInStep{}, err
	}
	defer slot.release()
	try, err := s.begin(ctx, c, address)
	if err != nil {
		return portal.SignInStep{}, err
	}
	right, fresh, err := slot.check(try.account.PasswordHash, password)
	if err != nil {
		return portal.SignInStep{}, err
	}
	slot.release()
	step := portal.SignInStep{}
	// Who hangs up after a guess is recorded all the same.
	err = s.write(context.WithoutCancel(ctx), c, func(ctx context.Context, a *act) error {
		if !right {
			return a.failSignIn(ctx, try)
		}
		var err error
		step, err = a.passwordShown(ctx, try, fresh)
		return err
	})
	if err != nil {
		return portal.SignInStep{}, err
	}
	return step, nil
}

// check compares a password as typed; fresh is a new hash when the kept one is stale.
func (s slot) check(kept, password string) (right bool, fresh string, err error) {
	text, ok := normal(password)
	if right, err = s.match(kept, text); err != nil {
		return false, "", err
	}
	if !right || !ok {
		return false, "", nil
	}
	if s.h.stale(kept) {
		fresh, err = s.hash(text)
	}
	return true, fresh, err
}

// mayTry refuses what is throttled before it costs anything.
func (s *Service) mayTry(ctx context.Context, c portal.Client, address portal.Email) error {
	wait, account := time.Duration(0), portal.AccountID("")
	err := s.read(ctx, c, func(ctx context.Context, a *act) error {
		try, err := a.attempt(ctx, address)
		if err != nil {
			return err
		}
		account = try.account.ID
		wait, err = a.wait(ctx, try.counters...)
		return err
	})
	if err != nil {
		return err
	}
	if wait > 0 {
		return s.throttled(ctx, c, refusal{wait, address.Key(), account, deviceAdvice})
	}
	return nil
}

// begin counts the attempt as failed; what is right takes it back.
func (s *Service) begin(ctx context.Context, c portal.Client, address portal.Email) (attempt, error) {
	var try attempt
	err := s.write(ctx, c, func(ctx context.Context, a *act) error {
		var err error
		if try, err = a.attempt(ctx, address); err != nil {
			return err
		}
		wait, err := a.wait(ctx, try.counters...)
		if err != nil {
			return err
		}
		if wait > 0 {
			return tooMany(wait, deviceAdvice)
		}
		try.failures, err = a.count(ctx, try.counters...)
		return err
	})
	return try, err
}

// attempt finds out how a try for an address is counted.
func (a *act) attempt(ctx context.Context, address portal.Email) (attempt, error) {
	account, _, err := found(a.AccountByEmail(ctx, address.Key()))
	if err != nil {
		return attempt{}, fmt.Errorf("find an account: %w", err)
	}
	known, err := a.knownDevice(ctx, account.ID)
	if err != nil {
		return attempt{}, err
	}
	try := attempt{account: account}
	if known {
		try.counters = []counter{passwordKnown.of(a.s, address.Key(), a.client.Device)}
	} else {
		try.counters = []counter{passwordUnknown.of(a.s, address.Key()), passwordNetwork.of(a.s, a.client.Network().String())}
	}
	return try, nil
}

// failSignIn records a wrong password.
func (a *act) failSignIn(ctx context.Context, try attempt) error {
	if err := a.event(ctx, portal.EventSignInFailed, try.account.ID); err != nil {
		return err
	}
	if try.account.ID != "" && try.account.Verified() {
		if err := a.tellFailures(ctx, try.account, try.failures); err != nil {
			return err
		}
	}
	return keep(errWrong)
}

// tellFailures tells a person that somebody guesses.
func (a *act) tellFailures(ctx context.Context, account portal.Account, failures int) error {
	if failures < manyFailures || account.Disabled() {
		return nil
	}
	told, err := a.mailedSince(ctx, account.ID, portal.MailManyFailures, a.now.Add(-toldEvery))
	if err != nil || told {
		return err
	}
	return a.mail(ctx, portal.MailManyFailures, account, portal.MailData{})
}

// passwordShown goes on after a right password.
func (a *act) passwordShown(ctx context.Context, try attempt, fresh string) (portal.SignInStep, error) {
	none := portal.SignInStep{}
	account, err := a.Account(ctx, try.account.ID)
	if err != nil {
		return none, fmt.Errorf("find the account again: %w", err)
	}
	if account.Disabled() || account.PasswordHash != try.account.PasswordHash || account.EmailKey != try.account.EmailKey {
		return none, a.failSignIn(ctx, try)
	}
	if err := a.rehash(ctx, &account, fresh); err != nil {
		return none, err
	}
	// Until all is shown the attempt stays counted: a password alone, right as it is, can't
	// be shown without end.
	if !account.Verified() {
		if err := a.event(ctx, portal.EventSignInFailed, account.ID); err != nil {
			return none, err
		}
		if err := a.mailUnasked(ctx, account, portal.PurposeVerify, portal.MailVerify); err != nil {
			return none, err
		}
		return none, keep(errWrong)
	}
	_, second, err := a.factor(ctx, account.ID)
	if err != nil {
		return none, err
	}
	if second {
		secret, err := a.challenge(ctx, account.ID)
		return portal.SignInStep{Challenge: secret}, err
	}
	session, err := a.open(ctx, account, false)
	if err != nil {
		return none, err
	}
	return portal.SignInStep{Session: &session}, nil
}

// rehash keeps a new hash of the password that was just shown; "" for none.
func (a *act) rehash(ctx context.Context, account *portal.Account, fresh string) error {
	if fresh == "" {
		return nil
	}
	account.PasswordHash = fresh
	if err := a.UpdateAccount(ctx, *account); err != nil {
		return fmt.Errorf("hash a password anew: %w", err)
	}
	return nil
}

func (a *act) challenge(ctx context.Context, account portal.AccountID) (string, error) {
	secret, digest := portal.NewSecret(a.s.random)
	challenge := portal.Challenge{Digest: digest, Account: account, CreatedAt: a.now, ExpiresAt: a.now.Add(portal.ChallengeLife)}
	if err := a.CreateChallenge(ctx, challenge); err != nil {
		return "", fmt.Errorf("create a challenge: %w", err)
	}
	return secret, nil
}

// FinishSignIn takes the second factor: a code of the authenticator app or a recovery code.
func (s *Service) FinishSignIn(ctx context.Context, c portal.Client, challenge, code string) (portal.NewSession, error) {
	var session portal.NewSession
	wait, account := time.Duration(0), portal.AccountID("")
	err := s.write(context.WithoutCancel(ctx), c, func(ctx context.Context, a *act) error {
		wait = 0
		open, who, err := a.openChallenge(ctx, challenge)
		if err != nil {
			return err
		}
		account = who.ID
		counted, err := a.codeCounter(ctx, who)
		if err != nil {
			return err
		}
		if wait, err = a.wait(ctx, counted); err != nil || wait > 0 {
			return err
		}
		found, err := a.showCode(ctx, who, code)
		if err != nil {
			return err
		}
		if found != codeRight {
			return a.failChallenge(ctx, open, who, found, counted)
		}
		if err := a.DeleteChallenge(ctx, open.Digest); err != nil {
			return fmt.Errorf("end a challenge: %w", err)
		}
		session, err = a.open(ctx, who, true)
		return err
	})
	if err != nil {
		return portal.NewSession{}, err
	}
	if wait > 0 {
		return portal.NewSession{}, s.throttled(ctx, c, refusal{wait, string(account), account, deviceAdvice})
	}
	return session, nil
}

// openChallenge gives a challenge that still counts, and its account.
func (a *act) openChallenge(ctx context.Context, secret string) (portal.Challenge, portal.Account, error) {
	challenge, ok, err := found(a.Challenge(ctx, portal.DigestOf(secret)))
	if err != nil {
		return portal.Challenge{}, portal.Account{}, fmt.Errorf("find a challenge: %w", err)
	}
	if !ok || !a.now.Before(challenge.ExpiresAt) || challenge.Tries >= portal.ChallengeTries {
		return portal.Challenge{}, portal.Account{}, errSignInAgain
	}
	account, err := a.Account(ctx, challenge.Account)
	if err != nil {
		return portal.Challenge{}, portal.Account{}, fmt.Errorf("find the account of a challenge: %w", err)
	}
	if account.Disabled() {
		return portal.Challenge{}, portal.Account{}, errSignInAgain
	}
	return challenge, account, nil
}

// failChallenge counts a wrong code, for the challenge and over all of them.
func (a *act) failChallenge(ctx context.Context, challenge portal.Challenge, account portal.Account, found verdict, counted counter) error {
	if err := a.failCode(ctx, account, found, counted); err != nil {
		return err
	}
	if err := a.event(ctx, portal.EventSignInFailed, account.ID); err != nil {
		return err
	}
	if challenge.Tries++; challenge.Tries >= portal.ChallengeTries {
		if err := a.DeleteChallenge(ctx, challenge.Digest); err != nil {
			return fmt.Errorf("end a challenge: %w", err)
		}
		return keep(errSignInAgain)
	}
	if err := a.UpdateChallengeTries(ctx, challenge.Digest, challenge.Tries); err != nil {
		return fmt.Errorf("count a wrong code: %w", err)
	}
	return keep(errWrongCode)
}
