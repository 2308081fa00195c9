// Package teardown takes the lab away until nothing of it is left, whatever
// state it is in: never started, half started, crashed, or killed part by part.
//
// It believes no record. Processes are found by the marker in their
// environment and by their cgroup, mounts by their place, links by the bridge
// they are plugged into, rules by the names of their chains. Order: nobody may
// be left who could make anew what was just removed. At the end it looks
// again, and what is still there is an error.
package teardown

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/console"
	"github.com/lethe-dev/lethe/hack/lab/daemon"
	"github.com/lethe-dev/lethe/hack/lab/network"
	"github.com/lethe-dev/lethe/hack/lab/site"
)

// SettingsFile is where the kernel settings from before the lab are kept.
const SettingsFile = "settings.json"

// killFor bounds the killing of all processes.
const killFor = 15 * time.Second

// outside are folders and files beyond the state folder that Kubernetes'
// parts make at fixed places. Folders are only removed when empty.
var outside = []string{
	"/var/lib/kubelet/device-plugins/kubelet.sock",
	"/var/lib/kubelet/device-plugins/lethe-fake-gpu.sock",
	"/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint",
	"/var/lib/kubelet/device-plugins",
	"/var/lib/kubelet",
	"/var/log/containers",
	"/var/log/pods",
	"/var/lib/cni/results",
	"/var/lib/cni",
	"/run/mount",
}

// litter are patterns of files at fixed places that carry the lab's name.
var litter = []string{
	"/var/lib/cni/results/" + site.NodeName + "-*",
}

// Down removes the lab of this site and says what it removed.
func Down(ctx context.Context, s site.Site, c *console.Console) error {
	if os.Geteuid() != 0 {
		return errors.New("take the lab down as root")
	}
	for _, step := range []struct {
		name string
		do   func() (string, error)
	}{
		{"processes", func() (string, error) { return killAll(ctx, s) }},
		{"mounts", func() (string, error) { return unmountAll(s) }},
		{"network links", func() (string, error) {
			links, err := network.RemoveLinks(ctx)
			return list(links), err
		}},
		{"packet filter rules", func() (string, error) {
			n, err := network.RemoveRules(ctx)
			return number(n), err
		}},
		{"cgroups", func() (string, error) { return removeCgroups(ctx) }},
		{"kernel settings", func() (string, error) {
			names, err := network.RestoreSettings(s.Path(SettingsFile))
			return list(names), err
		}},
		{"files", func() (string, error) { return removeFiles(s) }},
	} {
		if err := c.Step(step.name, step.do); err != nil {
			return fmt.Errorf("remove %s: %w", step.name, err)
		}
	}
	return Verify(ctx, s)
}

// killAll kills without asking, for nothing that the processes could still
// save is kept. It looks again until no new one appears.
func killAll(ctx context.Context, s site.Site) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, killFor)
	defer cancel()
	killed := 0
	for {
		found, err := daemon.Find(site.Marker+"="+s.State, site.CgroupRoot)
		if err != nil {
			return "", err
		}
		if len(found) == 0 {
			return number(killed), nil
		}
		for _, p := range found {
			if err := p.Kill(syscall.SIGKILL); err != nil {
				return "", err
			}
		}
		for _, p := range found {
			if !daemon.Gone(ctx, p, killFor) {
				return "", fmt.Errorf("process %d (%s) does not end", p.PID, p.Name())
			}
		}
		killed += len(found)
	}
}

func removeFiles(s site.Site) (string, error) {
	var removed []string
	if _, err := os.Lstat(s.State); err == nil {
		removed = append(removed, s.State)
	}
	if err := os.RemoveAll(s.State); err != nil {
		return "", fmt.Errorf("remove %s: %w", s.State, err)
	}
	if err := removeLitter(s); err != nil {
		return "", err
	}
	for _, path := range outside {
		if os.Remove(path) == nil {
			removed = append(removed, path)
		}
	}
	return number(len(removed)), nil
}

// removeLitter removes the lab's own files from folders that others use too:
// what carries its name, and links to logs that are gone now.
func removeLitter(s site.Site) error {
	for _, pattern := range litter {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("list %s: %w", pattern, err)
		}
		for _, path := range paths {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove litter: %w", err)
			}
		}
	}
	links, err := filepath.Glob("/var/log/containers/*.log")
	if err != nil {
		return fmt.Errorf("list log links: %w", err)
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(target, s.State+"/") {
			continue
		}
		if err := os.Remove(link); err != nil {
			return fmt.Errorf("remove log link: %w", err)
		}
	}
	return nil
}

// Verify returns an error that names whatever of the lab is still there.
func Verify(ctx context.Context, s site.Site) error {
	var left []string
	processes, err := daemon.Find(site.Marker+"="+s.State, site.CgroupRoot)
	if err != nil {
		return err
	}
	for _, p := range processes {
		left = append(left, fmt.Sprintf("process %d (%s)", p.PID, p.Name()))
	}
	mounts, err := labMounts(s)
	if err != nil {
		return err
	}
	links, err := network.Links()
	if err != nil {
		return err
	}
	groups, err := labCgroups()
	if err != nil {
		return err
	}
	rules, err := network.CountRules(ctx)
	if err != nil {
		return err
	}
	left = append(left, mounts...)
	left = append(left, links...)
	left = append(left, groups...)
	if rules > 0 {
		left = append(left, fmt.Sprintf("%d packet filter rules", rules))
	}
	if _, err := os.Lstat(s.State); err == nil {
		left = append(left, s.State)
	}
	if len(left) > 0 {
		return fmt.Errorf("still there: %s", strings.Join(left, ", "))
	}
	return nil
}

func list(names []string) string {
	if len(names) > 2 {
		return number(len(names))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

func number(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprintf("%d removed", n)
}
