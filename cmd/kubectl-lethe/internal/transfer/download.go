package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// collected is the name of the files' folder in the working folder.
const collected = "files"

// Download brings the artifacts of a run to a folder that is empty or does not
// exist yet, verified and whole or not at all. It may be repeated and goes on from
// what is there. Errors wrap ErrFolder when the folder can not be used.
func Download(ctx context.Context, o Options, run *v1alpha1.TrainingRun, dir string) (Sum, error) {
	target, err := openTarget(dir, "lethe-"+string(run.UID))
	if err != nil {
		return Sum{}, err
	}
	defer target.close()
	artifacts := run.Status.Artifacts
	o.Meter.Expect(artifacts.Objects, artifacts.Bytes)
	sum, err := target.fetch(ctx, o, downloading{
		broker: o.Broker, namespace: run.Namespace, name: run.Name, digest: artifacts.ManifestDigest,
	}, target.work)
	if err != nil {
		return Sum{}, err
	}
	return sum, target.publish(filepath.Join(target.work, collected))
}

// fetch collects what a manifest lists, verified, in a folder of the parent: in the
// folder collected in it, whole or not at all.
func (t *target) fetch(ctx context.Context, o Options, step downloading, work string) (Sum, error) {
	wrap := func(store agent.Store, prefix string) agent.Store {
		return countingStore{Store: store, prefix: prefix, meter: o.Meter}
	}
	folder := filepath.Join(t.parent, work)
	report, err := agent.StageIn(ctx, agent.StageInOptions{
		Options:    o.agentOptions(step, staging.StepStageIn, "", wrap),
		DatasetDir: filepath.Join(folder, collected),
		FreeSpace:  agent.FreeSpace,
	})
	if err != nil {
		return Sum{}, explain(ctx, err, "download to "+filepath.Join(t.parent, t.name),
			"something else writes to "+folder+"; remove it and start again")
	}
	return Sum{Files: report.Objects, Bytes: report.Bytes, Digest: report.ManifestDigest}, nil
}

// target is the folder to download to. Whatever is moved or removed goes through
// os.Root, so that no link leads out of the parent.
type target struct {
	parent string
	root   *os.Root
	name   string
	// work is the working folder's name in root.
	work string
}

func openTarget(dir, id string) (*target, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	t := &target{parent: filepath.Dir(path), name: filepath.Base(path)}
	t.work = "." + t.name + "." + id
	if t.parent == path {
		return nil, fmt.Errorf("%w: %s has no parent to collect the files in", ErrFolder, dir)
	}
	if err := os.MkdirAll(t.parent, 0o755); err != nil { //nolint:gosec // The person's umask decides.
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if t.root, err = os.OpenRoot(t.parent); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if err := t.prepare(); err != nil {
		t.close()
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	return t, nil
}

func (t *target) close() { _ = t.root.Close() } // Nothing is buffered in a folder's handle.

func (t *target) prepare() error {
	if err := t.vacant(); err != nil {
		return err
	}
	err := t.root.Mkdir(t.work, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := t.root.Lstat(t.work)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not what an earlier download left; remove it", filepath.Join(t.parent, t.work))
	}
	return nil
}

// vacant fails unless the target does not exist or is an empty folder.
func (t *target) vacant() error {
	info, err := t.root.Lstat(t.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s exists and is not a folder; choose another name", t.name)
	}
	folder, err := t.root.Open(t.name)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // It was only read.
	if _, err := folder.ReadDir(1); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("%s is not empty; choose another name, nothing there is overwritten", t.name), err)
	}
	return nil
}

// publish moves the verified files, which are in a folder below the working one, to
// their place.
func (t *target) publish(files string) error {
	if err := t.root.Remove(t.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: make room for the files: %w", ErrFolder, err)
	}
	if err := t.root.Rename(files, t.name); err != nil {
		return fmt.Errorf("%w: move the files to their place: %w", ErrFolder, err)
	}
	if err := t.root.RemoveAll(t.work); err != nil {
		return fmt.Errorf("remove the working folder: %w", err)
	}
	return nil
}
