package portal

import (
	"slices"
	"time"
)

// Account is a person's, or what is left of it.
type Account struct {
	ID AccountID
	// Email is as the person wrote it; EmailKey is what makes it unique.
	Email    Email
	EmailKey string
	// EmailVerifiedAt is zero until the address was proved.
	EmailVerifiedAt time.Time
	// PasswordHash is in PHC string format, peppered (package auth).
	PasswordHash      string
	PasswordChangedAt time.Time
	Role              Role
	CreatedAt         time.Time
	// DisabledAt is not zero for an account that may not sign in.
	DisabledAt time.Time
}

// Verified reports whether the address was proved.
func (a Account) Verified() bool { return !a.EmailVerifiedAt.IsZero() }

// Disabled reports whether the account may not sign in.
func (a Account) Disabled() bool { return !a.DisabledAt.IsZero() }

// Role is what an account may do beyond its own things.
type Role string

// Roles. Each of the staff sees only what its task needs; all of them need a second
// factor, and each look at another person's data is a row of the audit log.
const (
	RoleUser Role = "user"
	// RoleSupport looks at accounts with masked data.
	RoleSupport Role = "support"
	// RoleSecurity reviews security events, reveals addresses for a reason, sets holds,
	// disables accounts and ends sessions.
	RoleSecurity Role = "security"
	// RoleFinance is for part of billing; it sees accounts with masked data.
	RoleFinance Role = "finance"
	// RoleAdmin may all of it, and gives roles.
	RoleAdmin Role = "admin"
)

// Roles are all of them.
func Roles() []Role { return []Role{RoleUser, RoleSupport, RoleSecurity, RoleFinance, RoleAdmin} }

// Staff reports whether the role is more than a user's. Without a confirmed second factor
// it gives nothing.
func (r Role) Staff() bool { return r != RoleUser && slices.Contains(Roles(), r) }

// Permission is one thing that only staff may do.
type Permission string

// Permissions.
const (
	// PermitAccounts: find and view accounts, with masked personal data.
	PermitAccounts Permission = "accounts"
	// PermitEvents: search security events, the map and the flags.
	PermitEvents Permission = "events"
	// PermitReveal: see an account's address in full, for a reason.
	PermitReveal Permission = "reveal"
	// PermitHold: place and release holds.
	PermitHold Permission = "hold"
	// PermitDisable: disable and enable accounts, end their sessions.
	PermitDisable Permission = "disable"
	// PermitAudit: read the audit log and have it verified.
	PermitAudit Permission = "audit"
	// PermitRoles: give and take roles.
	PermitRoles Permission = "roles"
)

var permissions = map[Role][]Permission{
	RoleSupport:  {PermitAccounts},
	RoleFinance:  {PermitAccounts},
	RoleSecurity: {PermitAccounts, PermitEvents, PermitReveal, PermitHold, PermitDisable, PermitAudit},
	RoleAdmin:    {PermitAccounts, PermitEvents, PermitReveal, PermitHold, PermitDisable, PermitAudit, PermitRoles},
}

// May reports whether a role has a permission.
func (r Role) May(p Permission) bool { return slices.Contains(permissions[r], p) }
