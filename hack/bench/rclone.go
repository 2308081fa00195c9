package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// rcloneModule is the rival.
const rcloneModule = "github.com/rclone/rclone@v1.76.0"

// ensureRclone gives the path of rclone, and builds it if it is not there.
func ensureRclone(ctx context.Context, env environment) (string, error) {
	cache := env.getenv("LETHE_CACHE")
	if cache == "" {
		root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
		if err != nil {
			return "", fmt.Errorf("find the repository: %w", err)
		}
		cache = filepath.Join(strings.TrimSpace(string(root)), ".cache")
	}
	bin := filepath.Join(cache, "bin")
	path := filepath.Join(bin, "rclone")
	_, err := os.Stat(path)
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("look for rclone: %w", err)
	}
	fmt.Fprintf(env.stdout, "building %s, which takes minutes\n", rcloneModule)
	build := exec.CommandContext(ctx, "go", "install", rcloneModule)
	build.Env = append(os.Environ(), "GOBIN="+bin)
	build.Stderr = env.stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build rclone: %w", err)
	}
	return path, nil
}

// runRclone empties the prefix by one of rclone's commands. Its configuration is
// all in its environment.
func (b *bench) runRclone(ctx context.Context, method, bucket string) (sample, error) {
	command := strings.TrimPrefix(method, "rclone ")
	args := []string{
		command, "bench:" + bucket + "/" + strings.TrimSuffix(prefix, "/"),
		"--checkers=64", "--transfers=64", "--fast-list", "--s3-no-check-bucket", "--s3-list-chunk=1000", "--retries=1",
	}
	if command == "delete" && b.versioned {
		args = append(args, "--s3-versions")
	}
	got, _, err := runProcess(ctx, b.env, []string{
		"RCLONE_CONFIG=/dev/null",
		"RCLONE_CA_CERT=" + b.ca,
		"RCLONE_CONFIG_BENCH_TYPE=s3",
		"RCLONE_CONFIG_BENCH_PROVIDER=Minio",
		"RCLONE_CONFIG_BENCH_ENDPOINT=" + b.server.Endpoint,
		"RCLONE_CONFIG_BENCH_REGION=us-east-1",
		"RCLONE_CONFIG_BENCH_ACCESS_KEY_ID=" + b.server.Root.AccessKeyID,
		"RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY=" + b.server.Root.SecretAccessKey,
	}, b.rclone, args...)
	return got, err
}
