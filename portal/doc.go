// Package portal is the domain of the portal: accounts and what they do, what has to be
// remembered of it, and for how long.
//
// It holds types, rules without I/O, and the interfaces of what is outside; it imports
// the standard library only. Packages below it are use cases or adapters: each knows this
// package, and cmd/portal is the only place that knows them all.
//
// Words are those of OWASP ASVS 5.0 and NIST SP 800-63B-4: authenticator, step-up,
// session, recovery code.
//
// Time, randomness and addresses come in as values. Secrets that a person or a program
// carries (session tokens, links, API tokens) are random and are kept only as a Digest;
// passwords only as an Argon2id hash; TOTP seeds only sealed under a key of a file.
package portal
