//go:build !linux

package objectstoretest

import "os/exec"

// dieWithTest can do nothing here.
func dieWithTest(*exec.Cmd) {}
