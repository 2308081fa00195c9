// Command runsc-shim is gVisor's shim for containerd, for a machine without
// CAP_SYS_RESOURCE: gVisor's own asks the kernel to spare the shim when memory runs out, and
// gives up when that is refused. All else is gVisor's.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	gvisor "gvisor.dev/gvisor/pkg/shim/v1"
	_ "gvisor.dev/gvisor/pkg/shim/v1/plugin" // the service that a shim serves
)

func main() {
	shim.Run(context.Background(), manager{gvisor.NewShimManager("io.containerd.runsc.v1")})
}

// manager starts shims.
type manager struct{ shim.Manager }

// Start runs this program again, as the shim of one Pod, with the socket on which containerd
// finds it. containerd calls it in the folder of the Pod's sandbox.
func (manager) Start(ctx context.Context, id string, opts shim.StartOpts) (shim.BootstrapParams, error) {
	// Beside containerd's own, where the lab keeps it; a name of a socket has to be short.
	name := sha256.Sum256([]byte(id))
	address := "unix://" + filepath.Join(filepath.Dir(opts.Address), "shims", hex.EncodeToString(name[:16]))
	params := shim.BootstrapParams{Version: 2, Protocol: "ttrpc", Address: address}
	// Where the shim and its cleaning up look for it.
	if err := os.WriteFile("address", []byte(address), 0o600); err != nil {
		return params, err
	}
	pid, err := run(ctx, id, address, opts)
	if err != nil {
		return params, fmt.Errorf("start the shim: %w", err)
	}
	return params, shim.WritePidFile("shim.pid", pid)
}

// run starts the shim, which outlives this process, and gives its process id.
func run(ctx context.Context, id, address string, opts shim.StartOpts) (pid int, err error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	socket, err := shim.NewSocket(address)
	if err != nil {
		return 0, err
	}
	defer func() { _ = socket.Close() }() // the shim has it, too
	socket.SetUnlinkOnClose(false)
	file, err := socket.File()
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // as above
	args := []string{"-namespace", namespace, "-address", opts.Address, "-id", id}
	if opts.Debug {
		args = append(args, "-debug")
	}
	cmd := exec.Command(self, args...) //nolint:noctx // It outlives its parent.
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}
