package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// kernel asks the kernel for more than a container has.
func kernel() map[string]attempt {
	return map[string]attempt{
		"kernel: be root":                     func() (bool, string) { return failed(raw(syscall.SYS_SETUID, 0)) },
		"kernel: be of the group of root":     func() (bool, string) { return failed(raw(syscall.SYS_SETGID, 0)) },
		"kernel: have a capability":           statusLine("CapEff", "0000000000000000"),
		"kernel: could have a capability":     statusLine("CapBnd", "0000000000000000"),
		"kernel: gain privileges by a file":   statusLine("NoNewPrivs", "1"),
		"kernel: all calls (seccomp)":         statusLine("Seccomp", "2"),
		"kernel: mount":                       func() (bool, string) { return failed(syscall.Mount("none", "/tmp", "tmpfs", 0, "")) },
		"kernel: mount /proc anew":            func() (bool, string) { return failed(syscall.Mount("proc", "/tmp", "proc", 0, "")) },
		"kernel: a user namespace":            func() (bool, string) { return failed(raw(syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER)) },
		"kernel: a mount namespace":           func() (bool, string) { return failed(raw(syscall.SYS_UNSHARE, syscall.CLONE_NEWNS)) },
		"kernel: chroot":                      func() (bool, string) { return failed(syscall.Chroot("/tmp")) },
		"kernel: trace another process":       traceOthers,
		"kernel: signal another process":      signalOthers,
		"kernel: a device":                    func() (bool, string) { return failed(syscall.Mknod("/tmp/sda", syscall.S_IFBLK|0o600, 8<<8)) },
		"kernel: the memory":                  opens("/dev/mem"),
		"kernel: the memory, by /proc":        opens("/proc/kcore"),
		"kernel: its log":                     opens("/dev/kmsg"),
		"kernel: block devices":               blockDevices,
		"kernel: a raw socket":                rawSocket,
		"kernel: another host name":           func() (bool, string) { return failed(syscall.Sethostname([]byte("evil"))) },
		"kernel: a program for core dumps":    writes("/proc/sys/kernel/core_pattern"),
		"kernel: magic keys":                  writes("/proc/sysrq-trigger"),
		"kernel: load a module":               func() (bool, string) { return failed(raw(175, 0)) }, // init_module
		"limits: open files":                  moreFiles,
		"limits: memory, by its cgroup":       writesGroup("memory.max", "max"),
		"limits: processors, by its cgroup":   writesGroup("cpu.max", "max"),
		"limits: be killed last":              func() (bool, string) { return failed(os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0o600)) },
		"limits: be more important":           func() (bool, string) { return failed(syscall.Setpriority(syscall.PRIO_PROCESS, 0, -20)) },
		"limits: turn the kernel's own knobs": writes("/proc/sys/vm/overcommit_memory"),
	}
}

func raw(call, argument uintptr) error {
	if _, _, errno := syscall.RawSyscall(call, argument, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// statusLine wants a line of the process's status to be this.
func statusLine(key, want string) attempt {
	return func() (bool, string) {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return false, err.Error()
		}
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); name == key {
				return strings.TrimSpace(value) == want, strings.TrimSpace(line)
			}
		}
		return false, "the kernel does not say"
	}
}

func traceOthers() (refused bool, detail string) {
	found, err := pids()
	if err != nil {
		return failed(err)
	}
	for _, pid := range append(found, os.Getppid()) {
		if err := syscall.PtraceAttach(pid); err == nil {
			_ = syscall.PtraceDetach(pid) // it is told all the same
			return false, "traced " + strconv.Itoa(pid)
		}
	}
	return true, fmt.Sprintf("%d tried", len(found)+1)
}

func signalOthers() (refused bool, detail string) {
	// All that this process may signal, beside itself and the first.
	return failed(syscall.Kill(-1, 0))
}

func opens(path string) attempt {
	return func() (bool, string) {
		f, err := os.Open(path)
		if err == nil {
			defer func() { _ = f.Close() }() // only read
			_, err = f.Read(make([]byte, 1))
		}
		return failed(err)
	}
}

func blockDevices() (refused bool, detail string) {
	var found []string
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return failed(err)
	}
	for _, entry := range entries {
		if entry.Type()&os.ModeDevice != 0 && entry.Type()&os.ModeCharDevice == 0 {
			found = append(found, entry.Name())
		}
	}
	return len(found) == 0, fmt.Sprintf("%d entries, %d of them block devices", len(entries), len(found))
}

func rawSocket() (refused bool, detail string) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
	if err == nil {
		err = syscall.Close(fd)
	}
	return failed(err)
}

func moreFiles() (refused bool, detail string) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return false, err.Error()
	}
	limit.Max++
	return failed(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
}

// writesGroup writes a limit wherever a cgroup file system may have it.
func writesGroup(name, value string) attempt {
	return func() (bool, string) {
		var all error
		files, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
		for _, file := range append(files, "/sys/fs/cgroup/"+name, "/sys/fs/cgroup/memory/memory.limit_in_bytes") {
			err := os.WriteFile(file, []byte(value), 0o600)
			if err == nil {
				return false, "written: " + file
			}
			all = errors.Join(all, err)
		}
		return failed(all)
	}
}
