package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// fill puts a load into the store, as a sealed dataset, and its files on the disk.
func (b *stageBench) fill(s *script, l load) (staged, error) {
	data := staged{load: l}
	put := func(ctx context.Context, i int) error {
		p := l.contents(i)
		return b.client.Put(ctx, b.bucket, objectkey.Data(data.prefix(), l.path(i)), p.reader(), p.size, objectstore.PutOptions{})
	}
	if err := each(s.Context(), l.count, fillers, put); err != nil {
		return data, err
	}
	manifest, digest, err := l.manifest()
	if err != nil {
		return data, err
	}
	data.digest = digest
	err = b.client.Put(s.Context(), b.bucket, objectkey.Manifest(data.prefix()), bytes.NewReader(manifest), int64(len(manifest)), objectstore.PutOptions{})
	if err != nil {
		return data, err
	}
	if data.artifacts, err = b.newFolder(); err != nil {
		return data, err
	}
	s.Cleanup(func() { _ = os.RemoveAll(data.artifacts) })
	return data, l.write(data.artifacts)
}

func (b *stageBench) newFolder() (string, error) {
	folder, err := os.MkdirTemp(b.folder, "lethe-bench-")
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	return folder, nil
}

// write makes the files.
func (l load) write(folder string) error {
	for i := range l.count {
		name := filepath.Join(folder, filepath.FromSlash(l.path(i)))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		f, err := os.Create(name)
		if err != nil {
			return fmt.Errorf("make a file: %w", err)
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{f}, l.contents(i).reader(), make([]byte, 1<<20))
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write a file: %w", err)
		}
	}
	return nil
}

// check fails unless the folder holds the files and nothing else.
func (l load) check(folder string) error {
	found := 0
	err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found++
		}
		return err
	})
	if err != nil || found != l.count {
		return fmt.Errorf("%d files are there, not %d: %w", found, l.count, err)
	}
	got, want := make([]byte, 1<<20), make([]byte, 1<<20)
	for i := range l.count {
		f, err := os.Open(filepath.Join(folder, filepath.FromSlash(l.path(i))))
		if err != nil {
			return fmt.Errorf("open a file: %w", err)
		}
		err = same(f, l.contents(i).reader(), got, want)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("file %d: %w", i, err)
		}
	}
	return nil
}

// same compares what two readers give.
func same(a, b io.Reader, bufferA, bufferB []byte) error {
	for {
		n, errA := io.ReadFull(a, bufferA)
		m, errB := io.ReadFull(b, bufferB)
		if !bytes.Equal(bufferA[:n], bufferB[:m]) || !errors.Is(errA, errB) {
			return errors.New("it has other contents")
		}
		if errA != nil {
			return nil //nolint:nilerr // Both have ended.
		}
	}
}

// measureIn lets a method bring a load's files to a new folder.
func (b *stageBench) measureIn(s *script, data staged, method string) (sample, error) {
	folder, err := b.newFolder()
	if err != nil {
		return sample{}, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	syscall.Sync()
	if method == rival {
		got, err := b.runRclone(s.Context(), b.remote(data.prefix()+"data"), filepath.Join(folder, staging.DatasetFolder))
		if err != nil {
			return got, err
		}
		return got, data.check(filepath.Join(folder, staging.DatasetFolder))
	}
	o := b.order(data, inward)
	o.Folder = folder
	if o.Hash = method == hashed; o.Hash || method == bare {
		return b.runBare(s.Context(), o)
	}
	got, digest, err := b.stager.run(s.Context(), o)
	switch {
	case err != nil:
		return got, err
	case digest != data.digest:
		return got, errors.New("it reports another digest")
	}
	return got, data.check(filepath.Join(folder, staging.DatasetFolder))
}

// measureOut lets a method put a load's files to a new prefix.
func (b *stageBench) measureOut(s *script, data staged, method string) (sample, error) {
	b.runs++
	prefix := fmt.Sprintf("%s/run-%d/", namespace, b.runs)
	defer b.remove(prefix)
	if method != bare { // A trainer has just written them, so that they are in the page cache.
		if err := data.check(data.artifacts); err != nil {
			return sample{}, fmt.Errorf("read the artifacts: %w", err)
		}
	}
	syscall.Sync()
	if method == rival {
		got, err := b.runRclone(s.Context(), data.artifacts, b.remote(prefix+"data"))
		if err != nil {
			return got, err
		}
		return got, b.checkStored(s.Context(), data, prefix)
	}
	o := b.order(data, outward)
	o.Prefix, o.Folder = prefix, data.artifacts
	if method == bare {
		got, err := b.runBare(s.Context(), o)
		if err != nil {
			return got, err
		}
		return got, b.checkStored(s.Context(), data, prefix)
	}
	got, digest, err := b.stager.run(s.Context(), o)
	if err == nil {
		err = b.checkStored(s.Context(), data, prefix)
	}
	if err != nil {
		return got, err
	}
	if digest != data.digest {
		return got, errors.New("it reports another digest")
	}
	return got, b.checkPublished(s, data, prefix)
}

// checkStored looks whether all objects are there, by name and size.
func (b *stageBench) checkStored(ctx context.Context, data staged, prefix string) error {
	n := 0
	for object, err := range b.client.List(ctx, b.bucket, objectkey.Data(prefix, "")) {
		if err != nil {
			return err
		}
		if n >= data.count || object.Key != objectkey.Data(prefix, data.path(n)) || object.Size != data.size {
			return fmt.Errorf("object %d is not what it should be", n)
		}
		n++
	}
	if n != data.count {
		return fmt.Errorf("%d objects are there, not %d", n, data.count)
	}
	return nil
}

// checkPublished brings what was published back, once for each load.
func (b *stageBench) checkPublished(s *script, data staged, prefix string) error {
	if b.checked[data.name] {
		return nil
	}
	b.checked[data.name] = true
	folder, err := b.newFolder()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	o := b.order(data, inward)
	o.Prefix, o.Folder = prefix, folder
	if _, _, err := b.stager.run(s.Context(), o); err != nil {
		return fmt.Errorf("bring it back: %w", err)
	}
	return data.check(filepath.Join(folder, staging.DatasetFolder))
}

// remove empties a prefix, and MinIO's trash, on the drive.
func (b *stageBench) remove(prefix string) {
	_ = os.RemoveAll(filepath.Join(b.server.Drive, b.bucket, filepath.FromSlash(prefix)))
	_ = (&bench{server: b.server}).emptyTrash()
}

func (b *stageBench) order(data staged, direction string) stageOrder {
	return stageOrder{
		Direction: direction, Endpoint: b.server.Endpoint, CA: b.ca, Credentials: b.credentials,
		Bucket: b.bucket, Prefix: data.prefix(), Key: b.key, Digest: data.digest, Count: data.count, Size: data.size,
	}
}

// runBare has a process of its own do what is ordered, and is charged only for its
// requests.
func (b *stageBench) runBare(ctx context.Context, o stageOrder) (sample, error) {
	self, variable, err := o.command()
	if err != nil {
		return sample{}, err
	}
	var stdout bytes.Buffer
	command := b.env.command(ctx, []string{variable}, self, stageChildName)
	command.Stdout = &stdout
	got, err := measure(command)
	if err != nil {
		return got, err
	}
	var said stageAnswer
	if err := json.Unmarshal(stdout.Bytes(), &said); err != nil {
		return got, fmt.Errorf("understand the child: %w", err)
	}
	got.took = time.Duration(said.Seconds * float64(time.Second))
	return got, nil
}

// remoteName is what rclone calls the store.
const remoteName = "bench:"

// remote is a place in the store as rclone names it.
func (b *stageBench) remote(prefix string) string { return remoteName + b.bucket + "/" + prefix }

// runRclone copies with the flags that were found to be rclone's fastest here. None
// of them takes away a check that it would make of data under a key.
func (b *stageBench) runRclone(ctx context.Context, from, to string) (sample, error) {
	args := []string{
		"copy", from, to,
		"--transfers=32", "--checkers=32", "--fast-list", "--s3-no-check-bucket", "--s3-list-chunk=1000", "--retries=1",
		"--use-server-modtime", "--s3-disable-checksum",
		"--multi-thread-streams=4", "--multi-thread-cutoff=16Mi", "--multi-thread-chunk-size=16Mi",
		"--s3-upload-concurrency=4", "--s3-chunk-size=16Mi", "--buffer-size=1Mi",
	}
	if strings.HasPrefix(from, remoteName) {
		args = append(args, "--s3-no-head-object")
	} else {
		args = append(args, "--s3-no-head")
	}
	return measure(b.env.command(ctx, []string{
		"RCLONE_CONFIG=/dev/null",
		"RCLONE_CA_CERT=" + b.ca,
		"RCLONE_CONFIG_BENCH_TYPE=s3",
		"RCLONE_CONFIG_BENCH_PROVIDER=Minio",
		"RCLONE_CONFIG_BENCH_ENDPOINT=" + b.server.Endpoint,
		"RCLONE_CONFIG_BENCH_REGION=us-east-1",
		"RCLONE_CONFIG_BENCH_ACCESS_KEY_ID=" + b.credentials.AccessKeyID,
		"RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY=" + b.credentials.SecretAccessKey,
		"RCLONE_CONFIG_BENCH_SESSION_TOKEN=" + b.credentials.SessionToken,
		"RCLONE_CONFIG_BENCH_SSE_CUSTOMER_ALGORITHM=AES256",
		"RCLONE_CONFIG_BENCH_SSE_CUSTOMER_KEY_BASE64=" + base64.StdEncoding.EncodeToString(b.key),
	}, b.rclonePath, args...))
}
