package objectstoretest

import (
	"os/exec"
	"syscall"
)

// dieWithTest takes the server along when the test binary is killed or panics on
// its timeout, when no cleanup runs.
func dieWithTest(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
