// Package mail says in words what the mails of the outbox tell, and sends them.
//
// The list of kinds is closed (portal.MailKind): nothing else is ever sent. One place
// (words.go, notices.go) holds what each kind says, and both the text and the HTML part
// are made from it, so they can't disagree. Subjects are constants: no data of a request,
// no secret and nobody's own words get into a header. The HTML loads nothing: no picture,
// no font, no counter.
//
// A mail is written in the transaction of what it tells of, and is sent after that. A
// process that dies between the mail server's "250" and the note that the mail is sent
// sends it once more, under the same Message-ID and byte for byte the same, so that
// mailboxes can drop the second; other crashes lose and repeat nothing. For the same
// reason a delivery that has begun is not cut off when the process is asked to end.
//
// Links are secrets that wait: Sealed keeps them sealed until they leave.
//
// Addresses never get into errors, logs and metrics: mail servers like to repeat them in
// their answers, so of an answer only the codes are kept.
package mail
