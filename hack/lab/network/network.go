// Package network makes the lab's bridge and takes away every trace of it:
// links, rules of packet filters, and kernel settings.
//
// The node's address lies on the bridge that the pods are plugged into, so
// that API server and MinIO are reached at one address from pods and host
// alike. Rules are removed by name, one by one: the machine may have others.
package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/lethe-dev/lethe/hack/lab/site"
)

// EnsureBridge makes the bridge with the node's address. Idempotent.
func EnsureBridge(ctx context.Context) (created bool, err error) {
	if _, err := os.Stat("/sys/class/net/" + site.Bridge); err == nil {
		return false, nil
	}
	for _, args := range [][]string{
		{"link", "add", site.Bridge, "type", "bridge"},
		{"address", "add", site.NodeCIDR, "dev", site.Bridge},
		{"link", "set", site.Bridge, "up"},
	} {
		if _, err := run(ctx, "", "ip", args...); err != nil {
			return false, err
		}
	}
	return true, nil
}

// RemoveLinks deletes the pods' links and the bridge, and returns their names.
func RemoveLinks(ctx context.Context) ([]string, error) {
	links, err := Links()
	if err != nil {
		return nil, err
	}
	for i, link := range links {
		// A pod's link goes by itself when its network namespace does.
		if _, err := run(ctx, "", "ip", "link", "delete", link); err != nil && exists(link) {
			return links[:i], err
		}
	}
	return links, nil
}

func exists(link string) bool {
	_, err := os.Stat("/sys/class/net/" + link)
	return err == nil
}

// Links returns the lab's links: those plugged into the bridge, and it.
func Links() ([]string, error) {
	ports, err := filepath.Glob("/sys/class/net/" + site.Bridge + "/brif/*")
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var links []string
	for _, port := range ports {
		links = append(links, filepath.Base(port))
	}
	if exists(site.Bridge) {
		links = append(links, site.Bridge)
	}
	return links, nil
}

// families are the packet filters that the lab's parts write to.
var families = []string{"iptables", "ip6tables"}

// RemoveRules deletes the lab's chains and jumps and returns how many.
func RemoveRules(ctx context.Context) (int, error) {
	removed := 0
	for _, family := range families {
		tables, err := savedRules(ctx, family)
		if err != nil {
			return removed, err
		}
		if len(tables) == 0 {
			continue
		}
		if _, err := run(ctx, removal(tables), family+"-restore", "--noflush", "--wait=10"); err != nil {
			return removed, err
		}
		removed += count(tables)
	}
	empty, err := removeEmptyTables()
	return removed + empty, err
}

// CountRules returns how many chains and jumps of the lab there are.
func CountRules(ctx context.Context) (int, error) {
	total := 0
	for _, family := range families {
		tables, err := savedRules(ctx, family)
		if err != nil {
			return 0, err
		}
		total += count(tables)
	}
	return total, nil
}

func count(tables []table) int {
	total := 0
	for _, t := range tables {
		total += len(t.chains) + len(t.rules)
	}
	return total
}

func savedRules(ctx context.Context, family string) ([]table, error) {
	if _, err := exec.LookPath(family + "-save"); errors.Is(err, exec.ErrNotFound) {
		return nil, nil // What was never installed wrote nothing.
	}
	saved, err := run(ctx, "", family+"-save")
	if err != nil {
		return nil, err
	}
	return ownedRules(saved), nil
}

func run(ctx context.Context, stdin, program string, args ...string) (string, error) {
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // G204: fixed programs.
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out.String(), nil
}
