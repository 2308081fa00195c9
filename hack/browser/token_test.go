package browser_test

import (
	"io"
	"net/http"
	"testing"
)

// token makes an API token, uses it, revokes it, and sees that it is good no more.
func (p *page) token() {
	p.t.Helper()
	p.open("/account/tokens")
	p.submit("New token")
	p.heading("New API token")
	p.check("token-new")
	p.fill("Name", "nightly export")
	p.until("a scope to choose", `(() => {
		const box = document.querySelector('input[name=scope][value="account:read"]');
		if (box && !box.checked) box.click();
		return box?.checked === true;
	})()`)
	p.submit("Make the token")
	p.heading("Your new API token")
	secret := p.text("#token-secret")[0]
	types(p.t, secret)
	p.check("token-created")
	client := p.portal.Client()
	status, body := get(p.t, client, p.origin+"/api/v1/account", secret)
	if status != http.StatusOK {
		p.t.Errorf("the new token is answered %d: %s", status, body)
	}
	if status, body := get(p.t, client, p.origin+"/api/v1/events", secret); status != http.StatusForbidden {
		p.t.Errorf("a token without that scope is answered %d: %s", status, body)
	}
	p.submit("I have kept it")
	p.heading("API tokens")
	p.sees("nightly export")
	p.check("tokens")
	p.press("Revoke nightly export")
	p.sees("The token was revoked.")
	if status, body := get(p.t, client, p.origin+"/api/v1/account", secret); status != http.StatusUnauthorized {
		p.t.Errorf("the revoked token is answered %d: %s", status, body)
	}
}

func get(t *testing.T, client *http.Client, url, token string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
