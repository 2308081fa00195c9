// Command bulk is a trainer that learns nothing: it leaves artifacts of a size
// that a journey needs, or one that can't be published.
package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// Settings, as environment variables.
const (
	// envMiB is the size of the one artifact in MiB.
	envMiB = "BULK_MIB"
	// envUnreadable, if set, names a second artifact that nobody may read.
	envUnreadable = "BULK_UNREADABLE"
)

func main() {
	if err := run(os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "bulk:", err)
		os.Exit(1)
	}
}

func run(env func(string) string) error {
	folder := env(staging.EnvArtifactsDir)
	size, err := strconv.ParseInt(env(envMiB), 10, 64)
	if err != nil {
		return fmt.Errorf("read %s: %w", envMiB, err)
	}
	if err := write(filepath.Join(folder, "bulk.bin"), size<<20); err != nil {
		return err
	}
	if name := env(envUnreadable); name != "" {
		return os.WriteFile(filepath.Join(folder, name), []byte("nobody reads this"), 0)
	}
	return nil
}

// write fills a file with bytes that don't compress, the same ones each time.
func write(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	if _, err := io.CopyN(out, rand.NewChaCha8([32]byte{}), size); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return f.Close()
}
