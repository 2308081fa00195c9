package mail

import (
	"fmt"

	"github.com/lethe-dev/lethe/portal"
)

func newDevice(f facts) words {
	return words{
		subject: "A sign-in from a new device",
		say:     []string{"Somebody, most likely you, signed in to your account from a device that has not been used for it before."},
		facts: []fact{
			{"When", f.at()}, {"Browser", f.browser}, {"Country", f.country},
		},
		notYou: []string{"Somebody else knows your password. Choose a new one at once, and end the sessions that you don't know."},
		rescue: f.newPassword(),
	}
}

func confirmDevice(f facts) words {
	return words{
		subject: "Sign in from your device",
		say: []string{
			fmt.Sprintf("There were many wrong passwords for your account, so for now sign-ins to it have to wait. On %s somebody, most likely you, asked not to.", f.at()),
			"Open the link in the browser in which you want to sign in. That browser is then told apart from whoever is guessing.",
		},
		action: &action{Label: "This is my device", URL: f.link, Note: f.once()},
		notYou: []string{"Don't open the link, and don't pass it on to anybody. You don't have to do anything else."},
	}
}

func totpEnrolled(f facts) words {
	return words{
		subject: "Two-factor authentication is on",
		say: []string{
			fmt.Sprintf("Since %s signing in to your account also takes a code of your authenticator app.", f.at()),
			"Keep your recovery codes in a safe place: with one of them you get in when the app is lost.",
		},
		notYou: []string{"Somebody else is in your account and may lock you out. Choose a new password at once, and answer this mail."},
		rescue: f.newPassword(),
	}
}

func totpRemoved(f facts) words {
	return words{
		subject: "Two-factor authentication is off",
		say: []string{
			fmt.Sprintf("Since %s a password is enough to sign in to your account. Its recovery codes are gone too.", f.at()),
			"You can turn two-factor authentication on again at any time.",
		},
		action: f.page("Two-factor authentication", pathTwoFactor),
		notYou: []string{"Somebody else is in your account. Choose a new password at once, end the sessions that you don't know, and turn two-factor authentication on again."},
		rescue: f.newPassword(),
	}
}

func recoveryUsed(f facts) words {
	left := fmt.Sprintf("%d of your recovery codes are left.", f.left)
	switch f.left {
	case 0:
		left = "It was the last one. Make new ones now: without them a lost app means a lost account."
	case 1:
		left = "One recovery code is left. It is time to make new ones."
	}
	return words{
		subject: "A recovery code was used",
		say: []string{
			fmt.Sprintf("On %s one of your recovery codes was used instead of a code of your authenticator app. It can't be used again.", f.at()),
			left,
		},
		action: f.page("Make new recovery codes", pathRecovery),
		notYou: []string{"Somebody else has your password and your recovery codes. Choose a new password at once, make new recovery codes, and end the sessions that you don't know."},
		rescue: f.newPassword(),
	}
}

func recoveryRenewed(f facts) words {
	return words{
		subject: "New recovery codes were made",
		say:     []string{fmt.Sprintf("On %s new recovery codes were made for your account. The old ones don't work any more.", f.at())},
		notYou:  []string{"Somebody else is in your account. Choose a new password at once, make new recovery codes, and end the sessions that you don't know."},
		rescue:  f.newPassword(),
	}
}

func tokenCreated(f facts) words {
	return words{
		subject: "An API token was made",
		say:     []string{"Somebody, most likely you, made an API token. Whoever has it can act for your account, within what the token allows, without a password."},
		facts: []fact{
			{"When", f.at()}, {"Name", f.name},
		},
		notYou: []string{"Revoke the token at once; then choose a new password, and end the sessions that you don't know."},
		rescue: f.page("Revoke the token", pathTokens),
	}
}

func manyFailures(f facts) words {
	return words{
		subject: "Many wrong passwords for your account",
		say: []string{
			fmt.Sprintf("Somebody is trying passwords for your account; the last time was on %s. We make them wait longer and longer.", f.at()),
			"If it is you, and you don't remember the password, you can choose a new one.",
		},
		action: f.page("Choose a new password", pathForgot),
		notYou: []string{
			"If your password is used nowhere else, you don't have to do anything. If it is, choose a new one. Two-factor authentication keeps others out even when they find the password.",
			"You get this mail once a day at most.",
		},
		rescue: f.page("Two-factor authentication", pathTwoFactor),
	}
}

func accountDisabled(f facts) words {
	return words{
		subject: "Your account was disabled",
		say: []string{
			fmt.Sprintf("On %s we disabled your account at %s. Nobody can sign in to it, and its sessions and API tokens don't work.", f.at(), f.service),
			"If you think that this is a mistake, or want to know why, answer this mail.",
		},
	}
}

func accountEnabled(f facts) words {
	return words{
		subject: "Your account can be used again",
		say:     []string{fmt.Sprintf("On %s we enabled your account at %s again. You can sign in as before.", f.at(), f.service)},
		action:  f.page("Sign in", pathSignIn),
	}
}

func roleChanged(f facts) words {
	w := words{
		subject: "Your role was changed",
		say:     []string{fmt.Sprintf("On %s you were given another role at %s.", f.at(), f.service)},
		facts:   []fact{{"Role", f.name}},
		notYou:  []string{"If you did not expect this, answer this mail."},
	}
	if portal.Role(f.name).Staff() {
		w.say = append(w.say, "It can be used with two-factor authentication only, and each look at somebody's data is recorded.")
		w.action = f.page("Two-factor authentication", pathTwoFactor)
	}
	return w
}
