package browser_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// When a network of the machine comes or goes, chromium cuts its connections, also those to
// this very machine (ERR_NETWORK_CHANGED). The lab makes networks for its pods all the
// time. So chromium is started through this program, which takes from it the socket by
// which the kernel tells of networks (netlink); it then takes the network for unchanging.

// quietVariable holds the program to become.
const quietVariable = "LETHE_BROWSER_QUIET"

// quietly makes a command start through us, and end with us.
func quietly(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	self, err := os.Executable()
	if err != nil {
		return // it then hears of networks
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, quietVariable+"="+cmd.Path)
	cmd.Path = self
}

// becomeQuiet is for the start of main: it does not come back when we are to be another
// program.
func becomeQuiet() {
	path := os.Getenv(quietVariable)
	if path == "" {
		return
	}
	runtime.LockOSThread()
	if err := refuseNetlink(); err != nil {
		fmt.Fprintln(os.Stderr, "quiet browser:", err)
		os.Exit(1)
	}
	if err := os.Unsetenv(quietVariable); err != nil {
		fmt.Fprintln(os.Stderr, "quiet browser:", err)
	}
	err := syscall.Exec(path, os.Args, os.Environ())
	fmt.Fprintln(os.Stderr, "quiet browser:", err)
	os.Exit(1)
}

// refuseNetlink has the kernel answer EAFNOSUPPORT to socket(AF_NETLINK), for this thread
// and what it becomes (seccomp(2)).
func refuseNetlink() error {
	const number, firstArgument = 0, 16 // offsets in struct seccomp_data
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 3, K: unix.SYS_SOCKET},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: firstArgument},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: unix.AF_NETLINK},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return fmt.Errorf("install a filter of system calls: %w", errno)
	}
	return nil
}
