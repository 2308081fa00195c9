package rest

import (
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Account is whose token asks.
type Account struct {
	ID                string    `json:"id"`
	Email             string    `json:"email"`
	EmailVerified     bool      `json:"emailVerified"`
	Role              string    `json:"role"`
	SecondFactor      bool      `json:"secondFactor"`
	CreatedAt         time.Time `json:"createdAt"`
	PasswordChangedAt time.Time `json:"passwordChangedAt"`
}

// account handles GET /api/v1/account.
func (s *Server) account(r *request) (any, error) {
	a := r.who.Account
	return Account{
		ID: string(a.ID), Email: string(a.Email), EmailVerified: a.Verified(), Role: string(a.Role),
		SecondFactor: r.who.SecondFactor, CreatedAt: a.CreatedAt.UTC(), PasswordChangedAt: a.PasswordChangedAt.UTC(),
	}, nil
}

// Session is a browser that is signed in.
type Session struct {
	ID           string    `json:"id"`
	Browser      string    `json:"browser"`
	Country      string    `json:"country"`
	SecondFactor bool      `json:"secondFactor"`
	CreatedAt    time.Time `json:"createdAt"`
	LastSeenAt   time.Time `json:"lastSeenAt"`
	ExpiresAt    time.Time `json:"expiresAt"`
}

// SessionList is the answer to GET /api/v1/sessions.
type SessionList struct {
	Sessions []Session `json:"sessions"`
}

// sessions handles GET /api/v1/sessions.
func (s *Server) sessions(r *request) (any, error) {
	found, err := s.Auth.Sessions(r.Context(), r.who)
	if err != nil {
		return nil, err
	}
	list := SessionList{Sessions: make([]Session, len(found))}
	for i, session := range found {
		list.Sessions[i] = Session{
			ID: string(session.ID), Browser: session.Browser, Country: session.Country, SecondFactor: session.SecondFactor,
			CreatedAt: session.CreatedAt.UTC(), LastSeenAt: session.LastSeenAt.UTC(), ExpiresAt: session.ExpiresAt.UTC(),
		}
	}
	return list, nil
}

// endSession handles DELETE /api/v1/sessions/{id}.
func (s *Server) endSession(r *request) (any, error) {
	return nil, s.Auth.EndSession(r.Context(), r.client, r.who, portal.SessionID(r.PathValue("id")))
}

// endSessions handles DELETE /api/v1/sessions: all of them, since none is the token's own.
func (s *Server) endSessions(r *request) (any, error) {
	return nil, s.Auth.EndOtherSessions(r.Context(), r.client, r.who)
}

// Token is an API token, without its secret.
type Token struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Hint   string   `json:"hint"`
	Scopes []string `json:"scopes"`
	// Current marks the token that asks.
	Current    bool       `json:"current"`
	CreatedAt  time.Time  `json:"createdAt"`
	ExpiresAt  time.Time  `json:"expiresAt"`
	LastUsedAt *time.Time `json:"lastUsedAt,omitempty"`
}

// TokenList is the answer to GET /api/v1/tokens.
type TokenList struct {
	Tokens []Token `json:"tokens"`
}

// tokens handles GET /api/v1/tokens.
func (s *Server) tokens(r *request) (any, error) {
	found, err := s.Auth.Tokens(r.Context(), r.who)
	if err != nil {
		return nil, err
	}
	list := TokenList{Tokens: make([]Token, len(found))}
	for i, token := range found {
		list.Tokens[i] = Token{
			ID: string(token.ID), Name: token.Name, Hint: token.Hint, Scopes: make([]string, len(token.Scopes)),
			Current: token.ID == r.who.Token.ID, CreatedAt: token.CreatedAt.UTC(), ExpiresAt: token.ExpiresAt.UTC(),
		}
		for j, scope := range token.Scopes {
			list.Tokens[i].Scopes[j] = string(scope)
		}
		if used := token.LastUsedAt.UTC(); !used.IsZero() {
			list.Tokens[i].LastUsedAt = &used
		}
	}
	return list, nil
}

// revokeCurrent handles DELETE /api/v1/tokens/current: a program gives its own token up.
func (s *Server) revokeCurrent(r *request) (any, error) {
	return nil, s.Auth.RevokeToken(r.Context(), r.client, r.who, r.who.Token.ID)
}
