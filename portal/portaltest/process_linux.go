package portaltest

import "syscall"

// dieWithTest ends a process when the test's process ends, however that ends.
func dieWithTest(owner *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Credential: owner}
}
