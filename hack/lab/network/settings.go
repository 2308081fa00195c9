package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/hack/lab/files"
)

// settings are the kernel settings that the lab needs (a value) or that
// kubelet changes at its start (empty).
var settings = map[string]string{
	"net/ipv4/ip_forward":                "1",
	"net/bridge/bridge-nf-call-iptables": "1",
	"net/ipv4/conf/all/route_localnet":   "",
	"vm/overcommit_memory":               "",
	"vm/panic_on_oom":                    "",
	"kernel/panic":                       "",
	"kernel/panic_on_oops":               "",
	"kernel/keys/root_maxkeys":           "",
	"kernel/keys/root_maxbytes":          "",
}

// ApplySettings sets what the lab needs, having saved to path what there was
// before; an earlier save is kept, for it is the true one.
func ApplySettings(path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := saveSettings(path); err != nil {
			return err
		}
	}
	for name, value := range settings {
		if value == "" {
			continue
		}
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil { //nolint:gosec // G306: a kernel setting.
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

func saveSettings(path string) error {
	before := map[string]string{}
	for name := range settings {
		value, err := os.ReadFile("/proc/sys/" + name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read setting %s: %w", name, err)
		}
		before[name] = strings.TrimSpace(string(value))
	}
	data, err := json.Marshal(before)
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	return files.WriteSecret(path, data)
}

// RestoreSettings puts back what ApplySettings saved and returns the names of
// what differed. Without a save there is nothing to do.
func RestoreSettings(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read saved settings: %w", err)
	}
	var before map[string]string
	if err := json.Unmarshal(data, &before); err != nil {
		return nil, fmt.Errorf("parse saved settings: %w", err)
	}
	var changed []string
	for name, value := range before {
		now, err := os.ReadFile("/proc/sys/" + name)
		if err != nil || strings.TrimSpace(string(now)) == value {
			continue
		}
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil { //nolint:gosec // G306: a kernel setting.
			return changed, fmt.Errorf("restore %s: %w", name, err)
		}
		changed = append(changed, name)
	}
	slices.Sort(changed)
	return changed, nil
}
