// Package site says where the lab lives: its folders, addresses and names.
//
// There is one lab per machine, whatever clone of the repository started it:
// its state has a fixed place and its programs are copied there, so that any
// clone can take it over or take it down, also when the first clone is gone.
package site

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Names and addresses of the one lab of a machine.
const (
	DefaultState = "/var/lib/lethe-lab"
	NodeName     = "lethe-lab"
	Bridge       = "lethe0"
	NodeIP       = "10.77.0.1"
	NodeCIDR     = "10.77.0.1/16"
	PodCIDR      = "10.77.0.0/16"
	PodFirstIP   = "10.77.1.1"
	PodLastIP    = "10.77.255.254"
	ServiceCIDR  = "10.78.0.0/16"
	ServiceIP    = "10.78.0.1"
	DNSIP        = "10.78.0.10"
	APIServer    = "https://10.77.0.1:6443"
	StoreAddress = "10.77.0.1:9000"
	StoreURL     = "https://" + StoreAddress
	// Namespace holds the operator and the Secret with its store credentials.
	Namespace = "lethe-system"
	// CgroupRoot is the cgroup, below each hierarchy's root, that holds all pods.
	CgroupRoot = "lethe-lab"
	// Marker is the environment variable, set to the state folder, by which
	// every process of the lab is known again after a crash.
	Marker = "LETHE_LAB"
	// GPUs is the number of fake GPUs on the node.
	GPUs = 4
)

const rootModule = "module github.com/lethe-dev/lethe"

// Site is one place where a lab can be: a repository, its cache of built
// tools, and the state folder of the running lab.
type Site struct {
	Repo  string
	Cache string
	State string
}

// Find locates the repository above dir and reads the overrides LETHE_CACHE
// (default: .cache in the repository; a relative path is taken from there) and
// LETHE_LAB_STATE (for tests only).
func Find(dir string, env func(string) string) (Site, error) {
	repo, err := findRepo(dir)
	if err != nil {
		return Site{}, err
	}
	cache := env("LETHE_CACHE")
	switch {
	case cache == "":
		cache = filepath.Join(repo, ".cache")
	case !filepath.IsAbs(cache):
		cache = filepath.Join(repo, cache)
	}
	state := env("LETHE_LAB_STATE")
	if state == "" {
		state = DefaultState
	}
	return Site{Repo: repo, Cache: cache, State: state}, nil
}

func findRepo(dir string) (string, error) {
	for {
		is, err := declares(filepath.Join(dir, "go.mod"), rootModule)
		if err != nil {
			return "", err
		}
		if is {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod with %q here or above: run lab inside a clone of the repository", rootModule)
		}
		dir = parent
	}
}

func declares(gomod, line string) (bool, error) {
	f, err := os.Open(gomod)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find repository: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == line {
			return true, nil
		}
	}
	return false, lines.Err()
}

// LabDir is the folder of the lab's own Go module.
func (s Site) LabDir() string { return filepath.Join(s.Repo, "hack", "lab") }

// CacheBin holds the built tools; it outlives the lab.
func (s Site) CacheBin() string { return filepath.Join(s.Cache, "bin") }

// Path is a path below the state folder.
func (s Site) Path(elem ...string) string {
	return filepath.Join(append([]string{s.State}, elem...)...)
}

// Bin is the path of a program in the running lab's own bin folder.
func (s Site) Bin(name string) string { return s.Path("bin", name) }

// Log is the path of a component's log.
func (s Site) Log(component string) string { return s.Path("logs", component+".log") }

// Admin is the path of the cluster administrator's kubeconfig.
func (s Site) Admin() string { return s.Path("admin.kubeconfig") }

// CA is the path of the certificate that signed every serving certificate.
func (s Site) CA() string { return s.Path("pki", "ca.crt") }

// ContainerdSocket is where kubelet, ctr and the lab reach containerd.
func (s Site) ContainerdSocket() string { return s.Path("run", "containerd", "containerd.sock") }
