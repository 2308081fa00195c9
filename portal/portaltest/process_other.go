//go:build !linux

package portaltest

import "syscall"

func dieWithTest(owner *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: owner}
}
