package portal

import "time"

// Sealed is a secret of ours, encrypted with a key that is not in the database.
type Sealed struct {
	// KeyID names the key of the key file.
	KeyID string
	// Box is nonce and ciphertext.
	Box []byte
}

// TOTP is one seed of a person's authenticator app (RFC 6238: SHA-1, 6 digits, 30 s).
type TOTP struct {
	ID      FactorID
	Account AccountID
	Seed    Sealed
	// LastStep is the newest time step of which a code was taken; none up to it is taken
	// again (RFC 6238, 5.2).
	LastStep  int64
	CreatedAt time.Time
	// ConfirmedAt is zero until the person has shown a code of it. Only one seed of an
	// account is confirmed, and at most one waits to be.
	ConfirmedAt time.Time
}

// RecoveryCodes is how many there are. Each has 128 bits and is good once.
const RecoveryCodes = 10

// RecoveryCode is one of them, as kept.
type RecoveryCode struct {
	Account AccountID
	Digest  Digest
	// UsedAt is zero while it is good.
	UsedAt time.Time
}

// Enrolment is what a person needs to add us to an authenticator app. It is shown once.
type Enrolment struct {
	Factor FactorID
	// Secret is base32 for typing.
	Secret string
	// URI is otpauth://totp/...
	URI string
	// QR is URI as a PNG picture.
	QR []byte
}
