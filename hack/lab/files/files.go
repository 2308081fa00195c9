// Package files writes the lab's files so that only a changed file is touched:
// some programs watch theirs and restart when it is merely written again.
package files

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// WriteSecret makes path hold content, readable by root only, and does nothing
// when it does already. The folder is made if needed.
func WriteSecret(path string, content []byte) error {
	have, err := os.ReadFile(path)
	if err == nil && bytes.Equal(have, content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make folder of %s: %w", filepath.Base(path), err)
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("put %s in place: %w", filepath.Base(path), err)
	}
	return nil
}
