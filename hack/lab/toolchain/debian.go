package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// DebianPackage is a package of the distribution and why the lab wants it.
type DebianPackage struct {
	Name string
	Why  string
	// Program or File tells whether it is there: a name to find on PATH, or a path.
	Program string
	File    string
}

var (
	compiler    = DebianPackage{Name: "gcc", Why: "runc is built with cgo", Program: "gcc"}
	libcHeaders = DebianPackage{Name: "libc6-dev", Why: "runc is built with cgo", File: "/usr/include/stdlib.h"}
	pkgConfig   = DebianPackage{Name: "pkg-config", Why: "runc's build finds libseccomp with it", Program: "pkg-config"}
	libseccomp  = DebianPackage{Name: "libseccomp-dev", Why: "runc enforces seccomp profiles with it", File: "/usr/include/seccomp.h"}
	iptables    = DebianPackage{Name: "iptables", Why: "kube-proxy and the CNI plugins program it", Program: "iptables"}
	iproute     = DebianPackage{Name: "iproute2", Why: "the lab's bridge is made with it", Program: "ip"}
)

func (p DebianPackage) present() bool {
	if p.File != "" {
		_, err := os.Stat(p.File)
		return err == nil
	}
	_, err := exec.LookPath(p.Program)
	return err == nil
}

// missingPackages returns, each once, the packages these tools lack.
func missingPackages(tools []Tool) []DebianPackage {
	seen := map[string]bool{}
	var missing []DebianPackage
	for _, t := range tools {
		for _, p := range t.Debian {
			if !seen[p.Name] && !p.present() {
				missing = append(missing, p)
			}
			seen[p.Name] = true
		}
	}
	return missing
}

// installPackages makes the packages present, or says exactly what a person
// has to install where it may not or cannot.
func (b Builder) installPackages(ctx context.Context, packages []DebianPackage) error {
	if len(packages) == 0 {
		return nil
	}
	names := make([]string, len(packages))
	for i, p := range packages {
		names[i] = p.Name
		b.Console.Say("  needs the Debian package %s: %s", p.Name, p.Why)
	}
	if err := canInstall(); err != nil {
		return fmt.Errorf("%w; as root, on Debian: apt-get update && apt-get install -y --no-install-recommends %s",
			err, strings.Join(names, " "))
	}
	return b.Console.Step("apt "+strings.Join(names, " "), func() (string, error) {
		return "installed", b.aptInstall(ctx, names)
	})
}

func canInstall() error {
	if os.Geteuid() != 0 {
		return errors.New("not root, so packages can't be installed")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("no apt-get here, so packages can't be installed")
	}
	return nil
}

// aptInstall tries with the package lists as they are, and fetches them only
// when that fails: a machine without lists can't install anything, and one
// with lists is spared the download.
func (b Builder) aptInstall(ctx context.Context, names []string) error {
	install := append([]string{"apt-get", "install", "-y", "--no-install-recommends"}, names...)
	if b.logged(ctx, "apt", nil, "", install...) == nil {
		return nil
	}
	if err := b.logged(ctx, "apt", nil, "", "apt-get", "update"); err != nil {
		return err
	}
	return b.logged(ctx, "apt", nil, "", install...)
}
