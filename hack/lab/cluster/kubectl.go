// Package cluster puts into Kubernetes what the lab's users expect there, and
// waits until the node and its services work.
package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/lethe-dev/lethe/hack/lab/site"
)

// Kubectl runs kubectl as the cluster's administrator and returns its output.
func Kubectl(ctx context.Context, s site.Site, stdin string, args ...string) (string, error) {
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, s.Bin("kubectl"), args...) //nolint:gosec // G204: our own program.
	cmd.Env = []string{"KUBECONFIG=" + s.Admin(), "HOME=" + s.Path("run")}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return out.String(), nil
}
