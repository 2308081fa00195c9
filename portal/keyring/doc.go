// Package keyring keeps the portal's own keys in a file beside the database, so that a
// copy of the database alone opens no TOTP seed and helps to guess no password.
//
// The file is JSON: {"current":"k2","keys":{"k1":"<base64 of 32 bytes>","k2":...}}. Its
// keys are numbered in the order in which they were made. They are never used directly:
// every use has a subkey of its own (HKDF-SHA256, RFC 5869).
//
// What is sealed or peppered names its key, so that a rotation can be done in steps: add
// a key, seal everything under it, retire the old one. What is not kept anywhere, as the
// keys under which failures are counted, uses the oldest key, so that a rotation does not
// forget the counts.
package keyring
