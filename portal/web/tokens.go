package web

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const pathTokens = "/account/tokens"

type tokensPage struct {
	Page
	Tokens []tokenRow
	Max    int
}

// tokenRow is a token in the list.
type tokenRow struct {
	portal.APIToken
	Expired bool
}

func (s *Server) tokensPage(r *request) (*tokensPage, error) {
	list, err := s.auth.Tokens(r.Context(), *r.who)
	if err != nil {
		return nil, err
	}
	page := &tokensPage{Page: s.accountPage(r, "API tokens", pathTokens), Max: portal.MaxTokens}
	page.Live = len(list) > 0
	for _, t := range list {
		page.Tokens = append(page.Tokens, tokenRow{t, !s.now().Before(t.ExpiresAt)})
	}
	return page, nil
}

func (s *Server) tokens(w http.ResponseWriter, r *request) error {
	page, err := s.tokensPage(r)
	if err != nil {
		return err
	}
	return s.render(w, r, "tokens", page)
}

// tokenLives are how long a token may live, in days.
var tokenLives = []int{7, 30, 90, 365}

type tokenPage struct {
	Page
	Name   string
	Groups []scopesOf
	Lives  []tokenLife
}

// scopesOf are the scopes of one noun.
type scopesOf struct {
	Name   string
	Scopes []tokenScope
}

type tokenScope struct {
	Scope   portal.Scope
	Checked bool
}

type tokenLife struct {
	Days     int
	Selected bool
}

// tokenPage is the form with what was chosen.
func (s *Server) tokenPage(r *request, name string, scopes []portal.Scope, life time.Duration) *tokenPage {
	page := &tokenPage{Page: s.accountPage(r, "New API token", pathTokens), Name: name}
	// Scopes of one noun stand together.
	for _, scope := range portal.Scopes() {
		name := scopeGroup(scope)
		if len(page.Groups) == 0 || page.Groups[len(page.Groups)-1].Name != name {
			page.Groups = append(page.Groups, scopesOf{Name: name})
		}
		group := &page.Groups[len(page.Groups)-1]
		group.Scopes = append(group.Scopes, tokenScope{scope, slices.Contains(scopes, scope)})
	}
	for _, days := range tokenLives {
		page.Lives = append(page.Lives, tokenLife{days, life == asDays(days)})
	}
	return page
}

func asDays(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

func (s *Server) tokenForm(w http.ResponseWriter, r *request) error {
	return s.render(w, r, "token_new", s.tokenPage(r, "", nil, portal.DefaultTokenLife))
}

// createdPage shows the token's secret, the only time that anybody can.
type createdPage struct {
	Page
	Secret string
	Token  portal.APIToken
}

func (s *Server) createToken(w http.ResponseWriter, r *request) error {
	name, scopes, life := r.fields.trimmed("name"), []portal.Scope{}, time.Duration(0)
	for _, scope := range r.fields.all("scope") {
		scopes = append(scopes, portal.Scope(scope))
	}
	// A number that is not in the list stays 0, which is refused.
	if days, err := strconv.Atoi(r.fields.one("days")); err == nil && slices.Contains(tokenLives, days) {
		life = asDays(days)
	}
	secret, token, err := s.auth.CreateToken(r.Context(), r.client, *r.who, name, scopes, life)
	if err != nil {
		return s.again(w, r, "token_new", s.tokenPage(r, name, scopes, life), err)
	}
	return s.render(w, r, "token_created", &createdPage{s.accountPage(r, "Your new API token", pathTokens), secret, token})
}

func (s *Server) revokeToken(w http.ResponseWriter, r *request) error {
	if err := s.auth.RevokeToken(r.Context(), r.client, *r.who, portal.TokenID(r.PathValue("id"))); err != nil {
		return err
	}
	if !r.partial() {
		return s.redirect(w, r, pathTokens, noticeTokenRevoked)
	}
	page, err := s.tokensPage(r)
	if err != nil {
		return err
	}
	page.Notice = notices[noticeTokenRevoked]
	return s.part(w, r, "tokens", "list", page)
}
