// Package freeport finds addresses for the servers that tests start.
//
// Asking the kernel for port 0 and giving the port to a server a moment later loses
// it now and then: any socket opened meanwhile, in any process, may get it. The ports
// given here lie below those that Linux hands out by itself
// (net.ipv4.ip_local_port_range begins with 32768), and each is locked for the
// process that asked, so that tests of several packages at once don't meet either.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

const (
	// first and count of the ports. Those of Kubernetes' NodePorts begin with 30000.
	first = 20_000
	count = 10_000
	// tries is how many ports are looked at before something must be wrong.
	tries = 1000
)

// errTaken says that somebody has the port.
var errTaken = errors.New("taken")

// Claim gives an address, "127.0.0.1:<port>", on which nobody listens. It belongs to
// this process until that ends.
func Claim() (string, error) {
	locks := filepath.Join(os.TempDir(), "lethe-test-ports")
	if err := os.MkdirAll(locks, 0o700); err != nil {
		return "", fmt.Errorf("make the folder for locks on ports: %w", err)
	}
	for range tries {
		port := first + rand.IntN(count) //nolint:gosec // G404: It is no secret.
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		err := claim(filepath.Join(locks, strconv.Itoa(port)), address)
		if err == nil {
			return address, nil
		}
		if !errors.Is(err, errTaken) {
			return "", fmt.Errorf("claim port %d: %w", port, err)
		}
	}
	return "", fmt.Errorf("none of %d ports from %d on is free", tries, first)
}

// claim locks a file, which the kernel unlocks when the process ends, however it
// does, and then sees whether somebody who knows nothing of locks listens.
func claim(lock, address string) error {
	descriptor, err := syscall.Open(lock, syscall.O_CREAT|syscall.O_RDONLY|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", lock, err)
	}
	if err := syscall.Flock(descriptor, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(errTaken, syscall.Close(descriptor))
	}
	listener, err := net.Listen("tcp", address) //nolint:noctx // It ends at once.
	if err != nil {
		return errors.Join(errTaken, syscall.Close(descriptor))
	}
	return listener.Close()
}
