package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestMailsAreChosen(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b, other := p.signedUp(t, "ada@example.org"), p.signedUp(t, "eve@example.org")
	checked := func(b *browser) int { return strings.Count(b.open(pathMails).page, " checked>") }
	if got := checked(b); got != len(optionalMails) {
		t.Errorf("%d kinds are checked at first, want all %d", got, len(optionalMails))
	}
	b.send(http.MethodPost, pathMails, url.Values{"kind": {"run-failed", "dataset-expires"}}).sees(200, pathMails, "Your choice of mails was saved.")
	b.open(pathMails).sees(200, pathMails, `value="run-failed" checked`).sees(200, pathMails, `value="run-started">`)
	if got := checked(b); got != 2 {
		t.Errorf("%d kinds are checked, want 2", got)
	}
	b.send(http.MethodPost, pathMails, url.Values{"kind": {"run-started", "password-changed"}}).sees(422, pathMails, "can&#39;t be switched on or off")
	if got := checked(b); got != 2 {
		t.Errorf("%d kinds are checked after what was refused, want 2", got)
	}
	b.send(http.MethodPost, pathMails, url.Values{}).sees(200, pathMails, "was saved")
	if got := checked(b); got != 0 {
		t.Errorf("%d kinds are checked, want none", got)
	}
	if got := checked(other); got != len(optionalMails) {
		t.Errorf("somebody else has %d kinds", got)
	}
}
