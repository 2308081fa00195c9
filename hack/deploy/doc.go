// Package deploy holds the journey of an installation: the overlay for a single node is installed on
// the lab as config/README.md says, used, removed, and installed again over what was left.
package deploy
