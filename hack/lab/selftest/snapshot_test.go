package selftest

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// places are where Kubernetes' parts write beside the lab's state folder.
var places = []string{
	"/var/lib/*", "/var/lib/kubelet/*", "/var/lib/cni/*", "/var/log/containers", "/var/log/pods",
	"/run/*", "/run/netns/*", "/run/containerd/*", "/etc/cni/*", "/etc/kubernetes", "/opt/*", "/usr/libexec/kubernetes",
}

// counters are the only part of an iptables-save that changes by itself.
var counters = regexp.MustCompile(`\[\d+:\d+\]`)

// settings are the kernel settings that the lab or kubelet change.
var settings = []string{
	"net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/bridge/bridge-nf-call-iptables",
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// snapshot is what of the machine a lab could change.
func snapshot(t *testing.T) map[string][]string {
	t.Helper()
	return map[string][]string{
		"mounts":    mounts(t),
		"links":     glob(t, "/sys/class/net/*"),
		"iptables":  rules(t, "iptables-save"),
		"ip6tables": rules(t, "ip6tables-save"),
		"cgroups":   cgroups(t),
		"processes": processes(t),
		"places":    glob(t, places...),
		"settings":  kernelSettings(t),
	}
}

func mounts(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		points = append(points, strings.Fields(line)[4])
	}
	slices.Sort(points)
	return points
}

func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, paths...)
	}
	return all
}

func rules(t *testing.T, program string) []string {
	t.Helper()
	out, err := exec.CommandContext(context.Background(), program).Output()
	if err != nil {
		t.Fatalf("run %s: %v", program, err)
	}
	var lines []string
	for line := range strings.Lines(counters.ReplaceAllString(string(out), "")) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// cgroups leaves out what other programs do: only names that the lab's could have.
func cgroups(t *testing.T) []string {
	t.Helper()
	names := regexp.MustCompile(`lethe|kube|containerd|k8s\.io|cri-`)
	var dirs []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && names.MatchString(path) {
			dirs = append(dirs, path)
		}
		return nil // A cgroup may go while we look.
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// processes are those whose program lies, or lay, in the lab's folder or a container.
func processes(t *testing.T) []string {
	t.Helper()
	var programs []string
	for _, link := range glob(t, "/proc/[0-9]*/exe") {
		program, err := os.Readlink(link)
		if err == nil && (strings.HasPrefix(program, "/var/lib/lethe-lab/") || program == "/pause") {
			programs = append(programs, program)
		}
	}
	return programs
}

func kernelSettings(t *testing.T) []string {
	t.Helper()
	var values []string
	for _, name := range settings {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err == nil {
			values = append(values, name+"="+strings.TrimSpace(string(value)))
		}
	}
	return values
}
