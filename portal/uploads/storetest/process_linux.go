package storetest

import (
	"os/exec"
	"syscall"
)

// dieWithTest takes the server along when the test binary is killed, when no cleanup runs.
func dieWithTest(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
