// Command intruder is a trainer that tries to get out of its container, and into what is
// not its own. It changes nothing when it succeeds, and writes what came of each attempt
// into its artifacts, for a journey to read.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// File is the artifact with the outcomes: JSON lines.
const file = "attempts.jsonl"

// outcome is what came of an attempt.
type outcome struct {
	Name    string `json:"name"`
	Refused bool   `json:"refused"`
	// Detail says what the refusal was, or what was got.
	Detail string `json:"detail"`
}

// attempt reports whether it was refused, and what was seen.
type attempt func() (refused bool, detail string)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "intruder:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := settle(); err != nil {
		return err
	}
	folder := os.Getenv(staging.EnvArtifactsDir)
	f, err := os.Create(filepath.Join(folder, file))
	if err != nil {
		return fmt.Errorf("create the report: %w", err)
	}
	lines := json.NewEncoder(f)
	for _, all := range []map[string]attempt{around(), kernel(), network(os.Getenv), {"record: the kernel": version}} {
		for name, try := range all {
			refused, detail := try()
			if err := lines.Encode(outcome{name, refused, detail}); err != nil {
				return fmt.Errorf("write the report: %w", err)
			}
			fmt.Println(name, refused, detail)
		}
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// version tells which kernel this is.
func version() (refused bool, detail string) {
	text, err := os.ReadFile("/proc/version")
	if err != nil {
		return false, err.Error()
	}
	return false, string(text)
}

// settle writes where a trainer may: what it must not do comes after.
func settle() error {
	for _, folder := range []string{os.Getenv(staging.EnvHome), os.Getenv(staging.EnvCacheHome), staging.ScratchDir} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("make a folder of its own: %w", err)
		}
		if err := os.WriteFile(filepath.Join(folder, "settings"), nil, 0o600); err != nil {
			return fmt.Errorf("write its own settings: %w", err)
		}
	}
	return nil
}

// failed takes an error for a refusal.
func failed(err error) (refused bool, detail string) {
	if err == nil {
		return false, "it was done"
	}
	return true, err.Error()
}
