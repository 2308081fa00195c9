package mail

import (
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// words are what a mail says, in the order of the mail.
type words struct {
	// subject is a constant: it never holds data.
	subject string
	// say is what happened, a paragraph each.
	say []string
	// facts stand below it, each a name and a value.
	facts []fact
	// action is what the person may want to do; nil for nothing.
	action *action
	// notYou is what to do if it was somebody else.
	notYou []string
	// rescue is the first thing to do then; nil for nothing.
	rescue *action
}

type fact struct{ Name, Value string }

// action is a link with words.
type action struct {
	Label, URL string
	// Note says how long the link is good; "" for pages that stay.
	Note string
}

// Pages of the portal that mails lead to.
const (
	pathForgot    = "/forgot"
	pathSignIn    = "/sign-in"
	pathSessions  = "/account/sessions"
	pathTokens    = "/account/tokens"
	pathTwoFactor = "/account/two-factor"
	pathRecovery  = "/account/recovery-codes"
	pathMails     = "/account/mails"
)

// Paths are the pages of the portal that mails lead to by themselves, besides the links
// with secrets in MailData. A test of the program holds them against its routes.
func Paths() []string {
	return []string{pathForgot, pathSignIn, pathSessions, pathTokens, pathTwoFactor, pathRecovery, pathMails}
}

// kind is how one kind of mail is made.
type kind struct {
	words func(facts) words
	// purpose is of the link in the mail's data; "" for kinds without one.
	purpose portal.Purpose
	// idle reports that the mail is of no use once its link has expired.
	idle bool
	// page reports that the mail's data has the path of a page, which stays.
	page bool
}

// kinds are all of them. A test holds it against portal.MailKinds.
var kinds = map[portal.MailKind]kind{
	portal.MailVerify:            {words: verify, purpose: portal.PurposeVerify, idle: true},
	portal.MailAlreadyRegistered: {words: alreadyRegistered},
	portal.MailResetPassword:     {words: resetPassword, purpose: portal.PurposeReset, idle: true},
	portal.MailPasswordChanged:   {words: passwordChanged},
	portal.MailConfirmNewEmail:   {words: confirmNewEmail, purpose: portal.PurposeNewEmail, idle: true},
	portal.MailEmailChangeAsked:  {words: emailChangeAsked},
	portal.MailEmailChanged:      {words: emailChanged, purpose: portal.PurposeUndoEmail},
	portal.MailEmailChangedNew:   {words: emailChangedNew},
	portal.MailNewDevice:         {words: newDevice},
	portal.MailConfirmDevice:     {words: confirmDevice, purpose: portal.PurposeDevice, idle: true},
	portal.MailTOTPEnrolled:      {words: totpEnrolled},
	portal.MailTOTPRemoved:       {words: totpRemoved},
	portal.MailRecoveryUsed:      {words: recoveryUsed},
	portal.MailRecoveryRenewed:   {words: recoveryRenewed},
	portal.MailTokenCreated:      {words: tokenCreated},
	portal.MailManyFailures:      {words: manyFailures},
	portal.MailAccountDisabled:   {words: accountDisabled},
	portal.MailAccountEnabled:    {words: accountEnabled},
	portal.MailRoleChanged:       {words: roleChanged},

	portal.MailRunStarted:     {words: runStarted, page: true},
	portal.MailRunFinished:    {words: runFinished, page: true},
	portal.MailRunFailed:      {words: runFailed, page: true},
	portal.MailRunStopped:     {words: runStopped, page: true},
	portal.MailDatasetExpires: {words: datasetExpires, page: true},
	portal.MailDatasetErased:  {words: datasetErased, page: true},
}

// facts are what a mail is filled in with, all of it fit to be shown.
type facts struct {
	service, origin string
	when            time.Time
	link            string
	until           time.Time
	browser         string
	country         string
	name            string
	left            int
	// text is more of what happened; "" for nothing.
	text string
	// ends is when something will be; zero where nothing is told of that.
	ends time.Time
}

// at is when it happened.
func (f facts) at() string { return moment(f.when) }

// once is the note of a link.
func (f facts) once() string { return fmt.Sprintf("The link works once, until %s.", moment(f.until)) }

// page is one of Paths.
func (f facts) page(label, path string) *action { return &action{Label: label, URL: f.origin + path} }

// newPassword is the rescue for who may have lost a password to somebody.
func (f facts) newPassword() *action { return f.page("Choose a new password", pathForgot) }

func moment(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006 at 15:04 UTC") }

func verify(f facts) words {
	return words{
		subject: "Confirm your email address",
		say: []string{
			fmt.Sprintf("Somebody, most likely you, signed up for %s with this address on %s.", f.service, f.at()),
			"Confirm the address, and the account is ready.",
		},
		action: &action{Label: "Confirm the address", URL: f.link, Note: f.once()},
		notYou: []string{"You don't have to do anything. Nobody can sign in to the account until the address is confirmed."},
	}
}

func alreadyRegistered(f facts) words {
	return words{
		subject: "You already have an account",
		say: []string{
			fmt.Sprintf("Somebody, most likely you, wanted to use this address for an account at %s on %s. There is an account with it already, so nothing was changed.", f.service, f.at()),
			"Sign in as before. If you don't remember your password, you can choose a new one.",
		},
		action: f.page("Sign in", pathSignIn),
		notYou: []string{"You don't have to do anything. Whoever it was has not learned that there is an account."},
	}
}

func resetPassword(f facts) words {
	return words{
		subject: "Choose a new password",
		say: []string{
			fmt.Sprintf("On %s somebody, most likely you, asked for a link with which you choose a new password for your account. This is it.", f.at()),
			"If your account has two-factor authentication, you will need a code for it too.",
		},
		action: &action{Label: "Choose a new password", URL: f.link, Note: f.once()},
		notYou: []string{"You don't have to do anything: without this link nothing changes. Don't pass it on to anybody."},
	}
}

func passwordChanged(f facts) words {
	return words{
		subject: "Your password was changed",
		say:     []string{fmt.Sprintf("The password of your account was changed on %s. Wherever else you were signed in, you have been signed out.", f.at())},
		notYou: []string{
			"Somebody else knows how to get into your account. Choose a new password at once; then look through your sessions and your API tokens, and end what you don't know.",
		},
		rescue: f.newPassword(),
	}
}

func confirmNewEmail(f facts) words {
	return words{
		subject: "Confirm your new email address",
		say: []string{
			fmt.Sprintf("Somebody, most likely you, asked on %s to use this address for an account at %s.", f.at(), f.service),
			"The old address stays until you confirm this one.",
		},
		action: &action{Label: "Confirm the new address", URL: f.link, Note: f.once()},
		notYou: []string{"You don't have to do anything. Somebody may have mistyped an address; without the confirmation it is not used."},
	}
}

func emailChangeAsked(f facts) words {
	return words{
		subject: "Your account is to get another email address",
		say: []string{
			fmt.Sprintf("On %s somebody who is signed in to your account, most likely you, asked to give it another email address.", f.at()),
			"Nothing changes until the new address is confirmed. When it is, you will get one more mail at this address, with a link to take the change back.",
		},
		notYou: []string{"Somebody else is in your account. Choose a new password at once, and end the sessions that you don't know."},
		rescue: f.newPassword(),
	}
}

func emailChanged(f facts) words {
	return words{
		subject: "Your account has another email address",
		say: []string{
			fmt.Sprintf("On %s the email address of your account was changed. From now on mails go to the new address, and you sign in with it.", f.at()),
		},
		notYou: []string{"Take the change back. This address becomes the one of your account again, whoever is signed in to it is put out, and you get a mail with which you choose a new password."},
		rescue: &action{Label: "Take the change back", URL: f.link, Note: f.once()},
	}
}

func emailChangedNew(f facts) words {
	return words{
		subject: "This is now the email address of your account",
		say: []string{
			fmt.Sprintf("On %s this address was confirmed, and became the one of your account at %s. You sign in with it from now on.", f.at(), f.service),
		},
		notYou: []string{"Answer this mail and tell us. Somebody has then used a link that was sent to your mailbox, so look after your mailbox as well."},
	}
}
