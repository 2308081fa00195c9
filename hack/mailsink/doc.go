// Package mailsink is a real mail server that keeps what it gets in memory and shows it
// on a page; for tests and demos.
//
// It speaks SMTP with STARTTLS (or TLS from the start) and, if asked to, AUTH, so that
// what sends mail is tested with the protocol and not with a double. A mail sent in the
// clear is refused. Nothing is written to disk, and the oldest mail makes room for the
// newest.
//
// The page shows foreign HTML: it stands in a frame without scripts and without any
// network, and each page has a policy that allows nothing from elsewhere.
package mailsink
