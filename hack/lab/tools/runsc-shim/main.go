// Command runsc-shim is gVisor's shim for containerd, on a machine that lacks
// CAP_SYS_RESOURCE: gVisor's own asks the kernel to spare the shim when memory runs out, and
// gives up when that is refused. All else is gVisor's.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	gvisor "gvisor.dev/gvisor/pkg/shim/v1"
	_ "gvisor.dev/gvisor/pkg/shim/v1/plugin" // the service that the shim serves
)

func main() {
	shim.Run(context.Background(), manager{gvisor.NewShimManager("io.containerd.runsc.v1")})
}

// manager starts shims.
type manager struct{ shim.Manager }

// addressFile is where a shim, and gVisor when it cleans up, look for the socket.
const addressFile = "address"

// Start runs this program again as the shim of one Pod's container, with the socket on which
// containerd finds it. One shim serves one container: gVisor's grouping is not used.
func (manager) Start(ctx context.Context, id string, opts shim.StartOpts) (shim.BootstrapParams, error) {
	params := shim.BootstrapParams{Version: 2, Protocol: "ttrpc"}
	address, err := shim.SocketAddress(ctx, opts.Address, id, opts.Debug)
	if err != nil {
		return params, fmt.Errorf("name the socket: %w", err)
	}
	params.Address = address
	socket, err := shim.NewSocket(address)
	if err != nil {
		return params, fmt.Errorf("make the socket: %w", err)
	}
	if err := start(ctx, id, address, opts); err != nil {
		return params, fmt.Errorf("start the shim: %w", err)
	}
	return params, nil
}
