// Command fake-gpu-plugin is a kubelet device plugin that advertises GPUs that
// do not exist. Scheduling, quota and accounting of nvidia.com/gpu become real
// by it on a machine without a GPU; no computation does. A container that gets
// such devices sees only the environment variable NVIDIA_VISIBLE_DEVICES.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	count := flag.Int("count", 4, "how many `GPUs` to pretend")
	resource := flag.String("resource", "nvidia.com/gpu", "`name` of the extended resource")
	dir := flag.String("plugin-dir", "/var/lib/kubelet/device-plugins", "kubelet's device plugin `folder`")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	plugin := newPlugin(*dir, *resource, *count)
	if err := plugin.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fake-gpu-plugin:", err)
		os.Exit(1)
	}
}
