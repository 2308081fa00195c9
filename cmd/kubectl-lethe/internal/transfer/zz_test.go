package transfer

import (
	"strings"
	"testing"
	"time"
)

func TestUploadWhole(t *testing.T) {
	w, dir := newWorld(), t.TempDir()
	w.refuse = func(key string) error {
		if !strings.Contains(key, "/data/") && !strings.Contains(key, "manifest.jsonl") { t.Logf("writes %s", key) }
		return nil
	}
	write(t, dir, map[string]string{"checkpoints/step-5/model": "x", "progress.jsonl": "{\"step\":1}\n", "a": "b"})
	folder, _ := Survey(dir)
	j, _ := OpenJournal(t.TempDir(), "uid", false)
	start := time.Now()
	sum, err := Upload(t.Context(), w.options(), dataset, folder, j)
	t.Log(sum, err, w.notices, w.puts, time.Since(start))
}
