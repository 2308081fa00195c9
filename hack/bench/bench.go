package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

const (
	namespace    = "bench"
	uid          = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
	neighbourUID = "6f9619ff-8b86-4011-b42d-00c04fc964fe"
	// fillers put objects at once.
	fillers = 16
)

// prefix is what the methods empty.
var prefix = objectkey.OwnerPrefix(namespace, uid)

// keyOf is the key of an object: 1,000 in a folder.
func keyOf(i int) string { return objectkey.Data(prefix, fmt.Sprintf("%05d/%08d.bin", i/1000, i)) }

func target(bucket, store string) erasure.Target {
	return erasure.Target{Bucket: bucket, Prefix: prefix, UID: uid, Store: store}
}

// bench is a server with a template.
type bench struct {
	options
	env     environment
	rclone  string
	server  *objectstoretest.MinIO
	client  *objectstore.Client
	auditor *audit.Auditor
	ca      string // a file
	// template is the folder of the template bucket on the server's drive.
	template string
}

// prepare starts the server and puts the template.
func (b *bench) prepare(s *script) error {
	b.server = objectstoretest.StartMinIO(s)
	b.client = b.server.Client(s, b.server.Root)
	b.ca = filepath.Join(s.TempDir(), "ca.crt")
	if err := os.WriteFile(b.ca, b.server.CA, 0o600); err != nil {
		return fmt.Errorf("write authority: %w", err)
	}
	var err error
	b.auditor, err = audit.New(audit.Config{
		Endpoint: b.server.Endpoint, CABundle: b.server.CA, Credentials: objectstore.Static(b.server.Root),
	})
	if err != nil {
		return err
	}
	start := time.Now()
	template := b.server.PlainBucket(s, b.kind())
	b.template = filepath.Join(b.server.Drive, template)
	if err := b.fill(s.Context(), template); err != nil {
		return fmt.Errorf("fill the template: %w", err)
	}
	fmt.Fprintf(b.env.stdout, "%d objects put in %s\n", b.objects, time.Since(start).Round(time.Second))
	return nil
}

func (b *bench) kind() objectstoretest.Kind {
	if b.versioned {
		return objectstoretest.Versioned
	}
	return objectstoretest.Unversioned
}

func (b *bench) fill(ctx context.Context, bucket string) error {
	contents := make([]byte, b.size)
	_, _ = rand.Read(contents) // It never fails.
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fillers)
	keys := func(yield func(string) bool) {
		for i := range b.objects {
			if !yield(keyOf(i)) {
				return
			}
		}
		yield(objectkey.Data(objectkey.OwnerPrefix(namespace, neighbourUID), "neighbour"))
	}
	for key := range keys {
		group.Go(func() error {
			return b.client.Put(ctx, bucket, key, bytes.NewReader(contents), int64(len(contents)), objectstore.PutOptions{})
		})
	}
	return group.Wait()
}

// measure lets a method empty a copy of the template.
func (b *bench) measure(s *script, method string) (sample, error) {
	ctx := s.Context()
	bucket, store, err := b.copy(s)
	if err != nil {
		return sample{}, fmt.Errorf("copy the template: %w", err)
	}
	var got sample
	switch method {
	case rclonePurge, rcloneDelete:
		got, err = b.runRclone(ctx, method, bucket)
	default:
		var o outcome
		o, err = runOrder(ctx, b.env, order{
			Method: method, Endpoint: b.server.Endpoint, CA: b.ca, Credentials: b.server.Root, Target: target(bucket, store),
		})
		got = o.sample
		if method == bare {
			got.took = time.Duration(o.Seconds * float64(time.Second))
			got.listing = time.Duration(o.Listing * float64(time.Second))
		}
	}
	if err != nil {
		return sample{}, err
	}
	return got, b.check(ctx, bucket)
}

// check looks whether the method has done its work and nothing else, and cleans up.
func (b *bench) check(ctx context.Context, bucket string) error {
	empty, err := b.auditor.Empty(ctx, bucket, prefix)
	if err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("there is something left")
	}
	if empty, err = b.auditor.Empty(ctx, bucket, objectkey.OwnerPrefix(namespace, neighbourUID)); err != nil || empty {
		return fmt.Errorf("the neighbour's object is gone: %w", err)
	}
	return b.emptyTrash()
}

// copy makes a bucket with the files of the template, and gives what the store calls
// itself in it.
func (b *bench) copy(s *script) (bucket, store string, err error) {
	ctx := s.Context()
	bucket = b.server.PlainBucket(s, b.kind())
	if store, err = erasure.EnsureIdentity(ctx, b.client, bucket, "", rand.Reader); err != nil {
		return "", "", err
	}
	from, to := filepath.Join(b.template, namespace), filepath.Join(b.server.Drive, bucket, namespace)
	text, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput() //nolint:gosec // G204: our own folders.
	if err != nil {
		return "", "", fmt.Errorf("%w: %s", err, strings.TrimSpace(string(text)))
	}
	n := 0
	for _, err := range b.client.ListVersions(ctx, bucket, prefix) {
		if err != nil {
			return "", "", err
		}
		n++
	}
	if n != b.objects {
		return "", "", fmt.Errorf("the copy lists %d objects, not %d", n, b.objects)
	}
	syscall.Sync()
	return bucket, store, nil
}

// emptyTrash removes what MinIO would remove by and by, and waits until nothing is
// left to write.
func (b *bench) emptyTrash() error {
	trash := filepath.Join(b.server.Drive, ".minio.sys", "tmp", ".trash")
	for range 10 {
		entries, err := os.ReadDir(trash)
		if err != nil {
			return fmt.Errorf("look into the trash: %w", err)
		}
		if len(entries) == 0 {
			break
		}
		for _, entry := range entries {
			_ = os.RemoveAll(filepath.Join(trash, entry.Name())) // MinIO does so at the same time.
		}
	}
	syscall.Sync()
	return nil
}
