package web

import (
	"net/http"
	"slices"

	"github.com/lethe-dev/lethe/portal"
)

// Route is one line of the table.
type Route struct {
	Method, Pattern string
	Access          Access
	handle          handler
}

// handler decodes, asks a use case, and responds. An error that it gives has not been
// answered yet.
type handler func(w http.ResponseWriter, r *request) error

// Access says who may use a route.
type Access struct {
	level      level
	permission portal.Permission
	// fresh asks staff for all factors in the last portal.StepUpLife too.
	fresh bool
	// json: a script of ours asks, and gets problems as JSON too.
	json bool
	// quiet: a page asks by itself, which is no sign that its person is there.
	quiet bool
}

type level int

const (
	levelAsset level = iota
	levelAnyone
	levelSignedOut
	levelSignedIn
	levelSteppedUp
	levelStaff
)

// Who may use a route.
var (
	// asset: everybody, without a look at the session.
	asset = Access{level: levelAsset}
	// anyone: everybody; the page may know who is signed in.
	anyone = Access{level: levelAnyone}
	// signedOut: whoever is signed in is sent to the account.
	signedOut = Access{level: levelSignedOut}
	// signedIn: whoever is not is sent to the sign-in.
	signedIn = Access{level: levelSignedIn}
	// signedInScript: the same for a script of ours.
	signedInScript = Access{level: levelSignedIn, json: true}
	// signedInPage: the same for what a page that is left open asks for again and again.
	signedInPage = Access{level: levelSignedIn, json: true, quiet: true}
	// steppedUp: signed in, and all factors shown in the last portal.StepUpLife.
	steppedUp = Access{level: levelSteppedUp, fresh: true}
)

// staff: signed in with a second factor, in a role that has the permission.
func staff(permission portal.Permission) Access {
	return Access{level: levelStaff, permission: permission}
}

// staffSteppedUp: staff who have shown all factors in the last portal.StepUpLife.
func staffSteppedUp(permission portal.Permission) Access {
	return Access{level: levelStaff, permission: permission, fresh: true}
}

// String names the access, for tests and documents.
func (a Access) String() string {
	names := [...]string{"asset", "anyone", "signed out", "signed in", "stepped up", "staff"}
	name := names[a.level]
	if a.permission != "" {
		name += ": " + string(a.permission)
	}
	if a.permission != "" && a.fresh {
		name += ", stepped up"
	}
	return name
}

// Routes is all that the pages answer to.
func (s *Server) Routes() []Route {
	return slices.Concat([]Route{
		{"GET", "/{$}", anyone, s.landing},
		{"GET", "/static/{file...}", asset, s.static},
		{"GET", "/favicon.ico", asset, s.favicon},
		{"GET", "/robots.txt", asset, s.robots},
		{"GET", "/.well-known/change-password", asset, s.wellKnownPassword},

		{"GET", "/sign-up", signedOut, s.signUpForm},
		{"POST", "/sign-up", signedOut, s.signUp},
		{"GET", "/sign-up/sent", signedOut, s.signUpSent},
		{"POST", "/sign-up/resend", signedOut, s.resendVerification},
		{"GET", "/sign-in", signedOut, s.signInForm},
		{"POST", "/sign-in", signedOut, s.signIn},
		{"GET", "/sign-in/code", signedOut, s.codeForm},
		{"POST", "/sign-in/code", signedOut, s.code},
		{"GET", "/sign-in/device", signedOut, s.deviceForm},
		{"POST", "/sign-in/device", signedOut, s.askDevice},
		{"GET", "/sign-in/device/sent", signedOut, s.deviceSent},
		{"GET", "/forgot", anyone, s.forgotForm},
		{"POST", "/forgot", anyone, s.askReset},
		{"GET", "/forgot/sent", anyone, s.forgotSent},

		// Emailed links.
		{"GET", "/verify", anyone, s.linkForm(verifyLink)},
		{"POST", "/verify", anyone, s.useLink(verifyLink)},
		{"GET", "/new-email", anyone, s.linkForm(newEmailLink)},
		{"POST", "/new-email", anyone, s.useLink(newEmailLink)},
		{"GET", "/undo-email", anyone, s.linkForm(undoEmailLink)},
		{"POST", "/undo-email", anyone, s.useLink(undoEmailLink)},
		{"GET", "/device", anyone, s.linkForm(deviceLink)},
		{"POST", "/device", anyone, s.confirmDevice},
		{"GET", "/reset", anyone, s.resetForm},
		{"POST", "/reset", anyone, s.reset},

		{"POST", "/sign-out", signedIn, s.signOut},
		{"GET", "/step-up", signedIn, s.stepUpForm},
		{"POST", "/step-up", signedIn, s.stepUp},

		{"GET", "/account", signedIn, s.account},
		{"GET", "/account/password", steppedUp, s.passwordForm},
		{"POST", "/account/password", steppedUp, s.changePassword},
		{"GET", "/account/email", steppedUp, s.emailForm},
		{"POST", "/account/email", steppedUp, s.changeEmail},
		{"GET", "/account/two-factor", signedIn, s.twoFactor},
		{"GET", "/account/two-factor/setup", steppedUp, s.setup},
		{"POST", "/account/two-factor/setup", steppedUp, s.beginSetup},
		{"GET", "/account/two-factor/qr.png", steppedUp, s.qr},
		{"POST", "/account/two-factor/confirm", steppedUp, s.confirmSetup},
		{"GET", "/account/two-factor/remove", steppedUp, s.removeForm},
		{"POST", "/account/two-factor/remove", steppedUp, s.removeTwoFactor},
		{"GET", "/account/recovery-codes", steppedUp, s.recoveryForm},
		{"POST", "/account/recovery-codes", steppedUp, s.renewRecovery},
		{"GET", "/account/sessions", signedIn, s.sessions},
		{"POST", "/account/sessions/{id}/end", steppedUp, s.endSession}, // ASVS 5.0, 7.5.2
		{"POST", "/account/sessions/end-others", steppedUp, s.endOtherSessions},
		{"GET", "/account/tokens", signedIn, s.tokens},
		{"GET", "/account/tokens/new", steppedUp, s.tokenForm},
		{"POST", "/account/tokens/new", steppedUp, s.createToken},
		{"POST", "/account/tokens/{id}/revoke", signedIn, s.revokeToken},
		{"GET", "/account/history", signedIn, s.history},
	}, s.mailsRoutes(), s.adminRoutes(), s.clusterRoutes())
}

// clusterRoutes are those of what there is only with a cluster.
func (s *Server) clusterRoutes() []Route {
	var routes []Route
	if s.runs != nil {
		routes = append(routes, s.runsRoutes()...)
	}
	if s.datasets != nil {
		routes = append(routes, s.datasetsRoutes()...)
	}
	if s.live != nil {
		routes = append(routes, s.liveRoutes()...)
	}
	return routes
}
