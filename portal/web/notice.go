package web

import "net/http"

// notice is what was just done, said on the page after a redirect.
type notice string

const (
	noticeSignedOut       notice = "signed-out"
	noticeVerified        notice = "verified"
	noticePasswordChanged notice = "password-changed"
	noticePasswordReset   notice = "password-reset"
	noticeEmailAsked      notice = "email-asked"
	noticeEmailChanged    notice = "email-changed"
	noticeEmailUndone     notice = "email-undone"
	noticeTOTPRemoved     notice = "totp-removed"
	noticeSessionEnded    notice = "session-ended"
	noticeSessionsEnded   notice = "sessions-ended"
	noticeTokenRevoked    notice = "token-revoked"
	noticeDeviceKnown     notice = "device-known"
	noticeLinkMailed      notice = "link-mailed"
	noticeAgain           notice = "again"
	noticeMailsChosen     notice = "mails-chosen"
	noticeRunStarted      notice = "run-started"
	noticeRunCancelled    notice = "run-cancelled"
	noticeRunSuspended    notice = "run-suspended"
	noticeRunResumed      notice = "run-resumed"
	noticeRunDeleted      notice = "run-deleted"
	noticeFileRemoved     notice = "file-removed"
	noticeDatasetSealed   notice = "dataset-sealed"
	noticeRetentionSet    notice = "retention-set"
	noticeDatasetErasing  notice = "dataset-erasing"
)

// notices are all of them, with their words. The staff's pages add theirs.
var notices = map[notice]string{
	noticeSignedOut:       "You are signed out.",
	noticeVerified:        "Your email address is confirmed. You can sign in now.",
	noticePasswordChanged: "Your password was changed. All other sessions were ended.",
	noticePasswordReset:   "Your password was changed and all sessions were ended. Sign in with the new one.",
	noticeEmailAsked:      "We sent a link to the new address. Your address changes when you open it and confirm.",
	noticeEmailChanged:    "Your email address was changed.",
	noticeEmailUndone:     "Your old email address is back, and all sessions were ended. Now set a new password.",
	noticeTOTPRemoved:     "Two-factor sign-in is off. Your recovery codes no longer work.",
	noticeSessionEnded:    "The session was ended.",
	noticeSessionsEnded:   "All other sessions were ended.",
	noticeTokenRevoked:    "The token was revoked. Programs that use it are refused from now on.",
	noticeDeviceKnown:     "This browser is confirmed. You can sign in now.",
	noticeLinkMailed:      "If there is something to confirm for this address, a new link is on its way.",
	noticeAgain:           "Thank you. Please do that once more: what you had entered was not kept.",
	noticeMailsChosen:     "Your choice of mails was saved.",
	noticeRunStarted:      "Your run is on its way. It starts as soon as the cluster has room for it.",
	noticeRunCancelled:    "The run is being stopped. What it has made is kept.",
	noticeRunSuspended:    "The run stops at its next checkpoint and gives its GPUs back.",
	noticeRunResumed:      "The run goes on as soon as there are GPUs for it.",
	noticeFileRemoved:     "The file was taken out of the dataset.",
	noticeDatasetSealed:   "The upload is finished. The dataset is being checked.",
	noticeRetentionSet:    "The data goes earlier now.",
	noticeDatasetErasing:  "The erase has begun. The receipt appears here when it is done.",
	noticeRunDeleted:      "The run is being deleted, with its artifacts.",
}

// noticeOf gives the words of the notice that a browser brought back; "" for none.
func noticeOf(r *http.Request) string {
	found := r.CookiesNamed(cookieNotice)
	if len(found) != 1 {
		return ""
	}
	return notices[notice(found[0].Value)]
}
