package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Cookie is one that the portal sets. The list of them is the source of the Cookie Policy.
type Cookie struct {
	Name string
	// Purpose is for people.
	Purpose string
	// Life is how long it counts at most.
	Life time.Duration
	// Persistent cookies outlive the browser; others go when it is closed.
	Persistent bool
}

// Names of the cookies. The prefix __Host- makes browsers refuse them without Secure,
// with a Domain, or from a neighbour's host.
const (
	cookieSession   = "__Host-session"
	cookieChallenge = "__Host-challenge"
	cookieDevice    = "__Host-device"
	cookieNotice    = "__Host-notice"
)

// Cookies are all that the pages set. All are strictly necessary for what a person asked
// for, or for its security; none is read by anybody else.
func Cookies() []Cookie {
	return []Cookie{
		{Name: cookieSession, Purpose: "Keeps you signed in. It ends when you sign out, after an hour without use, or after a day.", Life: portal.SessionAbsolute},
		{Name: cookieChallenge, Purpose: "Remembers, between your password and your code, that the password was right.", Life: portal.ChallengeLife},
		{Name: cookieDevice, Purpose: "Recognises this browser, so that we can tell you by mail of a sign-in from another one, and so that a stranger who guesses passwords can't lock you out.", Life: portal.DeviceLife, Persistent: true},
		{Name: cookieNotice, Purpose: "Carries a message such as “Your password was changed” to the page you see next.", Life: time.Minute},
	}
}

// secretLength is the length of a secret of package portal.
const secretLength = 52

// cookieSecret gives a secret that a browser sent; "" for none, for something that is no
// secret of ours, and when there are two of the same name.
func cookieSecret(r *http.Request, name string) string {
	found := r.CookiesNamed(name)
	if len(found) != 1 || !isSecret(found[0].Value) {
		return ""
	}
	return found[0].Value
}

func isSecret(text string) bool {
	return len(text) == secretLength && strings.IndexFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	}) < 0
}

func setCookie(w http.ResponseWriter, name, value string) {
	i := slices.IndexFunc(Cookies(), func(c Cookie) bool { return c.Name == name })
	known := Cookies()[i] // a name that is not in the registry is a mistake of ours
	c := &http.Cookie{
		Name: name, Value: value, Path: "/",
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if known.Persistent || known.Life <= portal.ChallengeLife {
		c.MaxAge = int(known.Life.Seconds())
	}
	http.SetCookie(w, c)
}

func clearCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Path: "/", MaxAge: -1,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// begin puts a new session into the browser.
func begin(w http.ResponseWriter, n portal.NewSession) {
	setCookie(w, cookieSession, n.Secret)
	if n.DeviceSecret != "" {
		setCookie(w, cookieDevice, n.DeviceSecret)
	}
}
