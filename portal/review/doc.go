// Package review holds what staff do: look at accounts, security events, flags and the
// audit log, and act on accounts and holds.
//
// Each method checks the permission first, reads the actor's account again, and appends
// one row to the audit log in the transaction that reads or changes: who is not allowed
// leaves no row and sees nothing, and a row that can't be written makes the read fail. A
// retry of the transaction writes its row again only because the first was rolled back. A
// refusal that tells something of the account ("is disabled already") leaves a row as well.
//
// Decisions beyond the permissions of package portal:
//   - Whole addresses only are searched for, never beginnings: a search by beginnings would
//     spell out a masked address letter by letter.
//   - Nobody acts on the own account, and an admin is disabled, enabled and demoted by an
//     admin only. So the admin who acts is one more admin than any act can take away: the
//     last one stays, without counting.
//   - Showing an address, changing a role, enabling and releasing need a step-up; what
//     only protects (disable, end sessions, place a hold) does not, so that it is quick.
//   - Events that staff cause at another's account carry no IP and no user agent: their
//     owner sees them, and they are not the owner's.
package review
