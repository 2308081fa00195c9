package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// DebianPackage is a package of the distribution and why the lab wants it.
type DebianPackage struct {
	Name string
	Why  string
	// Program or File tells whether it is there: a name to find on PATH, or a path, which
	// may have a * for a version.
	Program string
	File    string
	// Settings is a file that has to be there while the package is installed, and only
	// then, and SettingsText what it says.
	Settings, SettingsText string
}

var (
	compiler    = DebianPackage{Name: "gcc", Why: "runc is built with cgo", Program: "gcc"}
	libcHeaders = DebianPackage{Name: "libc6-dev", Why: "runc is built with cgo", File: "/usr/include/stdlib.h"}
	pkgConfig   = DebianPackage{Name: "pkg-config", Why: "runc's build finds libseccomp with it", Program: "pkg-config"}
	libseccomp  = DebianPackage{Name: "libseccomp-dev", Why: "runc enforces seccomp profiles with it", File: "/usr/include/seccomp.h"}
	iptables    = DebianPackage{Name: "iptables", Why: "kube-proxy and the CNI plugins program it", Program: "iptables"}
	chromium    = DebianPackage{Name: "chromium", Why: "the portal's journeys run in it, without a window", Program: "chromium"}
	fonts       = DebianPackage{Name: "fonts-dejavu-core", Why: "pictures of pages need letters", File: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"}
	npm         = DebianPackage{Name: "npm", Why: "axe-core comes from the npm registry", Program: "npm"}
	iproute     = DebianPackage{Name: "iproute2", Why: "the lab's bridge is made with it", Program: "ip"}
)

// postgresql is the server that tests start by themselves, as a user of theirs and in a
// folder of theirs. Its package would make and start a database of its own; the settings
// keep it from that.
var postgresql = DebianPackage{
	Name: "postgresql", Why: "the portal's store is tested on a server of its own",
	File:     "/usr/lib/postgresql/*/bin/postgres",
	Settings: "/etc/postgresql-common/createcluster.d/lethe.conf", SettingsText: "create_main_cluster = false\n",
}

func (p DebianPackage) present() bool {
	if p.File != "" {
		found, err := filepath.Glob(p.File)
		return err == nil && len(found) > 0
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
		remove, err := placeSettings(packages)
		if err != nil {
			return "", err
		}
		return "installed", errors.Join(b.aptInstall(ctx, names), remove())
	})
}

// placeSettings writes the settings that packages are to be installed with, and gives
// what takes them away again.
func placeSettings(packages []DebianPackage) (remove func() error, err error) {
	var placed []string
	remove = func() error {
		var errs []error
		for _, path := range placed {
			errs = append(errs, os.Remove(path))
			_ = os.Remove(filepath.Dir(path)) // Only when it is empty, and so was ours.
		}
		return errors.Join(errs...)
	}
	for _, p := range packages {
		if p.Settings == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p.Settings), 0o755); err != nil { //nolint:gosec // G301: as the package makes it.
			return nil, errors.Join(fmt.Errorf("make a folder for the settings of %s: %w", p.Name, err), remove())
		}
		if err := os.WriteFile(p.Settings, []byte(p.SettingsText), 0o644); err != nil { //nolint:gosec // G306: as the package makes it.
			return nil, errors.Join(fmt.Errorf("write the settings of %s: %w", p.Name, err), remove())
		}
		placed = append(placed, p.Settings)
	}
	return remove, nil
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
