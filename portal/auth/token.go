package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/portal"
)

var errBadToken = &portal.Error{Kind: portal.KindUnauthenticated, Message: "This API token is not good: it is wrong, was revoked, or has expired."}

// token gives a token that is good, and its enabled account. For one that is known and is
// not good the account comes with errBadToken.
func (a *act) token(ctx context.Context, digest portal.Digest) (portal.Account, portal.APIToken, error) {
	token, ok, err := found(a.TokenByDigest(ctx, digest))
	if err != nil {
		return portal.Account{}, portal.APIToken{}, fmt.Errorf("find a token: %w", err)
	}
	if !ok {
		return portal.Account{}, portal.APIToken{}, errBadToken
	}
	account, err := a.Account(ctx, token.Account)
	if err != nil {
		return portal.Account{}, portal.APIToken{}, fmt.Errorf("find the account of a token: %w", err)
	}
	if account.Disabled() || !token.RevokedAt.IsZero() || !a.now.Before(token.ExpiresAt) {
		return account, token, errBadToken
	}
	return account, token, nil
}

// AuthenticateToken gives who an API token acts for. A token has no permission of staff.
// Its use is recorded once an hour for each network.
func (s *Service) AuthenticateToken(ctx context.Context, c portal.Client, secret string) (portal.Principal, error) {
	if !portal.LooksLikeAPIToken(secret) {
		return portal.Principal{}, errBadToken
	}
	var p portal.Principal
	var account portal.Account
	err := s.read(ctx, c, func(ctx context.Context, a *act) error {
		var token portal.APIToken
		var err error
		if account, token, err = a.token(ctx, portal.DigestOf(secret)); err != nil {
			return err
		}
		_, second, err := a.factor(ctx, account.ID)
		p = portal.Principal{Account: account, SecondFactor: second, Token: &token}
		return err
	})
	network := c.Network().String()
	if portal.KindOf(err) == portal.KindUnauthenticated && err != nil {
		if recordErr := s.eventOnce(ctx, c, onceMinute, portal.EventTokenRefused, account.ID, network, string(account.ID)); recordErr != nil {
			return portal.Principal{}, recordErr
		}
		return portal.Principal{}, err
	}
	if err != nil {
		return portal.Principal{}, err
	}
	if err := s.touchToken(ctx, c, p.Token); err != nil {
		return portal.Principal{}, err
	}
	return p, s.eventOnce(ctx, c, onceHour, portal.EventTokenUsed, account.ID, network, string(p.Token.ID))
}

func (s *Service) touchToken(ctx context.Context, c portal.Client, token *portal.APIToken) error {
	if s.now().Sub(token.LastUsedAt) < portal.SeenEvery {
		return nil
	}
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		token.LastUsedAt = a.now
		if err := a.TouchToken(ctx, token.ID, a.now); err != nil {
			return fmt.Errorf("touch a token: %w", err)
		}
		return nil
	})
}

// Tokens are the account's that were not revoked, newest first.
func (s *Service) Tokens(ctx context.Context, p portal.Principal) ([]portal.APIToken, error) {
	var tokens []portal.APIToken
	err := s.read(ctx, portal.Client{}, func(ctx context.Context, a *act) error {
		account, err := a.own(ctx, p, portal.ScopeAccountRead)
		if err != nil {
			return err
		}
		if tokens, err = a.AccountTokens(ctx, account.ID); err != nil {
			return fmt.Errorf("list tokens: %w", err)
		}
		return nil
	})
	return tokens, err
}

// CreateToken makes an API token and gives its secret, the only time that anybody sees it.
func (s *Service) CreateToken(ctx context.Context, c portal.Client, p portal.Principal, name string, scopes []portal.Scope, life time.Duration) (string, portal.APIToken, error) {
	name, scopes, err := checkToken(name, scopes, life)
	if err != nil {
		return "", portal.APIToken{}, err
	}
	secret, token := "", portal.APIToken{}
	err = s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, _, err := a.sensitive(ctx, p)
		if err != nil {
			return err
		}
		others, err := a.AccountTokens(ctx, account.ID)
		if err != nil {
			return fmt.Errorf("list tokens: %w", err)
		}
		if len(others) >= portal.MaxTokens {
			return &portal.Error{Kind: portal.KindConflict, Message: fmt.Sprintf("An account has at most %d API tokens. Revoke one that is not needed any more.", portal.MaxTokens)}
		}
		text, digest := portal.NewAPITokenSecret(s.random)
		secret, token = text, portal.APIToken{
			ID: portal.NewID[portal.TokenID](s.random), Account: account.ID, Digest: digest, Name: name,
			Hint: text[len(text)-4:], Scopes: scopes, CreatedAt: a.now, ExpiresAt: a.now.Add(life),
		}
		if err := a.Tx.CreateToken(ctx, token); err != nil {
			return fmt.Errorf("create a token: %w", err)
		}
		if err := a.event(ctx, portal.EventTokenCreated, account.ID); err != nil {
			return err
		}
		return a.mail(ctx, portal.MailTokenCreated, account, portal.MailData{Name: name})
	})
	if err != nil {
		return "", portal.APIToken{}, err
	}
	return secret, token, nil
}

// checkToken gives name and scopes in normal form, or says what is wrong.
func checkToken(name string, scopes []portal.Scope, life time.Duration) (string, []portal.Scope, error) {
	name = strings.TrimSpace(name)
	unprintable := func(c rune) bool { return !unicode.IsPrint(c) }
	switch {
	case name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable):
		return "", nil, portal.Invalid("name", "Give the token a name by which you recognise it.")
	case utf8.RuneCountInString(name) > portal.MaxTokenName:
		return "", nil, portal.Invalid("name", fmt.Sprintf("This name is longer than %d characters.", portal.MaxTokenName))
	case len(scopes) == 0:
		return "", nil, portal.Invalid("scopes", "Choose at least one thing that the token may do.")
	case life <= 0 || life > portal.MaxTokenLife:
		return "", nil, portal.Invalid("life", "A token lives for at least a day and at most a year.")
	}
	known := portal.Scopes()
	scopes = slices.Clone(scopes)
	for _, s := range scopes {
		if !slices.Contains(known, s) {
			return "", nil, portal.Invalid("scopes", "One of the scopes is not known.")
		}
	}
	slices.Sort(scopes)
	return name, slices.Compact(scopes), nil
}

// RevokeToken makes a token worthless. A token may revoke itself, and no other.
func (s *Service) RevokeToken(ctx context.Context, c portal.Client, p portal.Principal, id portal.TokenID) error {
	return s.write(ctx, c, func(ctx context.Context, a *act) error {
		account, err := a.revoker(ctx, p, id)
		if err != nil {
			return err
		}
		return a.revoke(ctx, account.ID, id)
	})
}

func (a *act) revoker(ctx context.Context, p portal.Principal, id portal.TokenID) (portal.Account, error) {
	if p.Token == nil {
		account, _, err := a.signedIn(ctx, p)
		return account, err
	}
	if p.Token.ID != id {
		return portal.Account{}, errNoToken
	}
	account, _, err := a.token(ctx, p.Token.Digest)
	return account, err
}

func (a *act) revoke(ctx context.Context, account portal.AccountID, id portal.TokenID) error {
	if err := a.Tx.RevokeToken(ctx, account, id, a.now); err != nil {
		return fmt.Errorf("revoke a token: %w", err)
	}
	return a.event(ctx, portal.EventTokenRevoked, account)
}
