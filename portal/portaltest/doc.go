// Package portaltest holds what tests of the portal share: a store, keys, a clock,
// randomness, and well-formed people.
package portaltest
