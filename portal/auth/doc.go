// Package auth is how a person becomes known to the portal and stays the only one who is:
// sign-up, sign-in with two factors, sessions, links by mail, API tokens.
//
// Decisions:
//   - What a use case changes, the security event it leaves and the mails it causes are
//     one transaction, for failures too: a refusal that has to be remembered commits and
//     then refuses.
//   - Argon2id never runs inside a transaction. What needs it takes a slot first, counts
//     the attempt as failed, hashes, and takes the count back when the person is in: any
//     number of attempts at once is no more than the throttle allows.
//   - Who asks learns nothing about an address that is not theirs: the same answer, the
//     same transactions, the same number of hashes, whether or not it has an account.
//   - Guesses are counted by address for all unknown browsers together, and apart for each
//     browser that the account knows or has proved by mail. A stranger can so make the
//     first slow, never the second: nobody is locked out by others. Browsers that mail has
//     proved count wrong codes together until somebody has signed in from them, so that the
//     mailbox is no way around the second factor.
//   - Addresses and networks are counted under keyed hashes (HMAC), never in clear.
//   - An account whose PasswordHash is "" has no password: only a reset gives it one.
//   - A password whose pepper key was retired is as good as forgotten: it is refused like
//     a wrong one, and a reset makes it new.
package auth
