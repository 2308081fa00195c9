package components

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/lethe-dev/lethe/hack/lab/files"
	"github.com/lethe-dev/lethe/hack/lab/site"
)

//go:embed config
var configFiles embed.FS

// values is what the configuration files are filled in with.
type values struct {
	State, PKI, CA, ContainerdSocket                         string
	Bridge, NodeIP, NodeName, PodCIDR, PodFirstIP, PodLastIP string
	DNSIP, CgroupRoot, Namespace, PauseImage, EncryptionKey  string
	Nameservers                                              []string
}

// WriteConfig fills in every configuration file below the state folder.
func WriteConfig(s site.Site, encryptionKey, pauseImage string) error {
	servers, err := hostNameservers("/etc/resolv.conf")
	if err != nil {
		return err
	}
	v := values{
		State: s.State, PKI: s.Path("pki"), CA: s.CA(), ContainerdSocket: s.ContainerdSocket(),
		Bridge: site.Bridge, NodeIP: site.NodeIP, NodeName: site.NodeName, PodCIDR: site.PodCIDR,
		PodFirstIP: site.PodFirstIP, PodLastIP: site.PodLastIP, DNSIP: site.DNSIP,
		CgroupRoot: site.CgroupRoot, Namespace: site.Namespace, PauseImage: pauseImage,
		EncryptionKey: encryptionKey, Nameservers: servers,
	}
	return fs.WalkDir(configFiles, "config", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return writeConfig(s, path, v)
	})
}

func writeConfig(s site.Site, path string, v values) error {
	name := filepath.Base(path)
	filled, err := template.New(name).Option("missingkey=error").ParseFS(configFiles, path)
	if err != nil {
		return fmt.Errorf("parse configuration %s: %w", name, err)
	}
	var content bytes.Buffer
	if err := filled.Execute(&content, v); err != nil {
		return fmt.Errorf("fill in configuration %s: %w", name, err)
	}
	return files.WriteSecret(configFile(s, name), content.Bytes())
}

// configFile is where a configuration lies; the CNI wants a folder of its own.
func configFile(s site.Site, name string) string {
	if strings.HasSuffix(name, ".conflist") {
		return s.Path("etc", "cni", name)
	}
	return s.Path("etc", name)
}

// hostNameservers returns the machine's name servers that a pod can reach too.
func hostNameservers(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read name servers: %w", err)
	}
	return reachableNameservers(string(data)), nil
}

func reachableNameservers(resolvConf string) []string {
	var servers []string
	for line := range strings.Lines(resolvConf) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if ip := net.ParseIP(fields[1]); ip != nil && !ip.IsLoopback() {
			servers = append(servers, fields[1])
		}
	}
	return servers
}
