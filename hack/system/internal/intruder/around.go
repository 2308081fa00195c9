package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// around looks for what lies about: credentials, other processes, folders of others.
func around() map[string]attempt {
	return map[string]attempt{
		"files: a token of the account":      absent("/var/run/secrets/kubernetes.io/serviceaccount/token"),
		"files: the token for the broker":    absent(staging.TokenFile),
		"files: anything like a credential":  credentialFiles,
		"files: credentials in variables":    variables,
		"files: the node's kubelet":          absent("/var/lib/kubelet"),
		"files: the container engine":        absent("/run/containerd/containerd.sock"),
		"files: write to the root":           frozen("/evil"),
		"files: write to the system's files": frozen("/etc/evil"),
		"files: write beside its program":    besideProgram,
		"files: change the dataset":          changesDataset,
		"files: what else the dataset's volume has": func() (bool, string) {
			return failed(exists(filepath.Join(staging.DatasetDir, "..", "journal")))
		},
		"files: publish the stager's token by a link": links,
		"processes: of other containers":              otherProcesses,
		"processes: the files of the first":           foreignRoot,
	}
}

func exists(path string) error {
	_, err := os.Stat(path)
	return err
}

func absent(path string) attempt { return func() (bool, string) { return failed(exists(path)) } }

func writes(path string) attempt {
	return func() (bool, string) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
		if err == nil {
			err = f.Close()
		}
		return failed(err)
	}
}

// frozen wants a file system that nobody can write to: that one's user may not is the
// image's doing, and no wall.
func frozen(path string) attempt {
	return func() (bool, string) {
		err := os.WriteFile(path, nil, 0o600)
		return err != nil && (errors.Is(err, syscall.EROFS) || frozenRoot()), fmt.Sprint(err)
	}
}

// frozenRoot says whether nobody can write to the root: gVisor says first that this user
// may not.
func frozenRoot() bool {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[1] == "/" {
			return slices.Contains(strings.Split(fields[3], ","), "ro")
		}
	}
	return false
}

func besideProgram() (refused bool, detail string) {
	program, err := os.Executable()
	if err != nil {
		return false, err.Error()
	}
	return frozen(program + ".evil")()
}

// credentialFiles looks through all files of the container but the kernel's.
func credentialFiles() (refused bool, detail string) {
	var found []string
	seen := 0
	_ = filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what can't be read is no find
		}
		if entry.IsDir() {
			if slices.Contains([]string{"/proc", "/sys", "/dev"}, path) {
				return fs.SkipDir
			}
			return nil
		}
		seen++
		if !entry.Type().IsRegular() {
			return nil // the links that this program made
		}
		for _, word := range []string{"token", "secret", "credential", "kubeconfig", ".key", "id_rsa", ".aws"} {
			if strings.Contains(strings.ToLower(path), word) {
				found = append(found, path)
			}
		}
		return nil
	})
	return len(found) == 0, fmt.Sprintf("%d files, %d finds %q", seen, len(found), found)
}

func variables() (refused bool, detail string) {
	var found []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		for _, word := range []string{"TOKEN", "SECRET", "PASSWORD", "ACCESS_KEY", "AWS_", "CREDENTIAL", "MINIO"} {
			if strings.Contains(strings.ToUpper(name), word) && !strings.HasPrefix(name, "INTRUDER_") {
				found = append(found, name)
			}
		}
	}
	return len(found) == 0, fmt.Sprintf("%d variables, %d finds %q", len(os.Environ()), len(found), found)
}

func changesDataset() (refused bool, detail string) {
	return writes(filepath.Join(os.Getenv(staging.EnvDatasetDir), "evil"))()
}

// links makes links that the stager is meant to follow. Making them is free; the journey
// sees what was published.
func links() (refused bool, detail string) {
	folder := os.Getenv(staging.EnvArtifactsDir)
	for name, target := range map[string]string{
		"link-token": staging.TokenFile, "link-folder": staging.TokenDir, "link-environment": "/proc/1/environ",
	} {
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			return true, err.Error()
		}
	}
	return true, "the links are made; what they lead to must not be among the artifacts"
}

// pids are the processes that can be seen beside this one.
func pids() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	return found, nil
}

func otherProcesses() (refused bool, detail string) {
	found, err := pids()
	if err != nil {
		return failed(err)
	}
	return len(found) == 0 && os.Getpid() == 1, fmt.Sprintf("this is process %d, and %v are there", os.Getpid(), found)
}

// foreignRoot wants to come by the kernel's table of mounts to something of the node.
func foreignRoot() (refused bool, detail string) {
	text, err := os.ReadFile("/proc/1/mountinfo")
	if err != nil {
		return failed(err)
	}
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) > 4 && strings.Contains(fields[4], "lethe.dev") {
			return false, "mounted: " + fields[4]
		}
	}
	return failed(errors.Join(exists("/proc/1/root"+staging.TokenFile), exists("/proc/2/root")))
}
