package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// What stage-in leaves in the folder of checkpoints, beside the checkpoint itself.
const (
	// restoreDir is where a checkpoint is collected; wholeDir in it, once it is complete.
	restoreDir = reserved + "restore"
	wholeDir   = "whole"
	// restoredFile says which checkpoint was restored.
	restoredFile = reserved + "restored.json"
	maxRestored  = 4 << 10
)

// The trainer may run as another user than the stager, and it sorts out old checkpoints.
const (
	openFolder = 0o777
	openFile   = 0o666
)

// restored says which of the files in the folder of checkpoints came from the store. The
// trainer can write to it: it is believed only as far as that harms nobody but the
// trainer's own run.
type restored struct {
	// ID and Digest of the checkpoint.
	ID     string `json:"id"`
	Digest string `json:"digest"`
	// Name in the folder and fingerprint.
	Name  string      `json:"name"`
	Print fingerprint `json:"print"`
}

// restoring brings one checkpoint to the trainer's folder.
type restoring struct {
	*session
	options StageInOptions
	grant   staging.ResumeGrant
	// folder is that of the checkpoints.
	folder *os.Root
}

// restore makes the trainer's folder for checkpoints and brings the one to begin with
// there, whole or not at all. It gives its ID; empty for none.
func (s *session) restore(ctx context.Context, o StageInOptions, grant *staging.ResumeGrant) (string, error) {
	if o.ArtifactsDir == "" && grant == nil {
		return "", nil
	}
	folder, err := makeCheckpoints(o.ArtifactsDir)
	if grant == nil && errors.Is(err, fs.ErrNotExist) {
		return "", nil // A pod without a volume for artifacts.
	}
	if err != nil {
		return "", fail(staging.ExitUsage, err, "The folder for checkpoints can not be made (%s). The volume of the "+
			"artifacts must be mounted, writable.", Cause(err))
	}
	defer func() { _ = folder.Close() }() // Nothing is buffered in a folder's handle.
	if grant == nil {
		return "", nil
	}
	r := &restoring{session: s.at(""), options: o, grant: *grant, folder: folder}
	if err := r.connect(grant.Store, s.grants.resume(grant.ID)); err != nil {
		return "", err
	}
	if err := r.run(ctx); err != nil {
		return "", checkpointFailure(grant.ID, err)
	}
	return grant.ID, nil
}

// makeCheckpoints makes the folder for checkpoints unless it is there.
func makeCheckpoints(artifactsDir string) (*os.Root, error) {
	artifacts, err := os.OpenRoot(artifactsDir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = artifacts.Close() }()
	err = artifacts.Mkdir(staging.CheckpointFolder, openFolder)
	if errors.Is(err, fs.ErrExist) {
		return artifacts.OpenRoot(staging.CheckpointFolder)
	}
	if err != nil {
		return nil, err
	}
	folder, err := artifacts.OpenRoot(staging.CheckpointFolder)
	if err != nil {
		return nil, err
	}
	if err := openUp(folder, ".", openFolder); err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return folder, nil
}

// openUp gives what the stager has made a mode, whatever the umask says. It opens it:
// to change it by its name takes a system call (fchmodat2, of 2023) that a sandbox which
// does not know it may refuse.
func openUp(root *os.Root, name string, mode fs.FileMode) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(mode), f.Close())
}

// checkpointFailure says of a checkpoint what the download said of a dataset.
func checkpointFailure(id string, err error) error {
	var failure *Failure
	if !errors.As(err, &failure) {
		if refused(err) || errors.Is(err, errDiffers) || errors.Is(err, objectkey.ErrBadCheckpoint) {
			return damaged(id, err)
		}
		return err
	}
	switch failure.Exit {
	case staging.ExitDatasetCorrupt:
		return damaged(id, err)
	case staging.ExitDiskFull:
		return fail(staging.ExitDiskFull, err, "The volume of the artifacts has no room for the checkpoint %s. "+
			"Give the run a node or volume with more room.", id)
	}
	return err
}

func damaged(id string, err error) error {
	return fail(staging.ExitCheckpointCorrupt, err, "The checkpoint %s is damaged: what lies in the store is not what "+
		"its record says. Start a run that resumes from another checkpoint, or from none (spec.checkpoint).", id)
}

func (r *restoring) run(ctx context.Context) error {
	started := r.Clock.Now()
	part, err := r.part(ctx)
	if err != nil {
		return err
	}
	if r.done() {
		r.Log.Info("The checkpoint is there already", "checkpoint", r.grant.ID)
		return nil
	}
	m, err := r.bring(ctx, part)
	if err != nil {
		return err
	}
	name, err := r.publish()
	if err != nil {
		return err
	}
	r.note(name)
	r.Log.Info("The checkpoint is restored", "checkpoint", r.grant.ID, "files", m.objects, "bytes", m.bytes,
		"seconds", r.Clock.Since(started).Seconds())
	return nil
}

// part reads the checkpoint's record and gives this node's part: its own, or the only one.
func (r *restoring) part(ctx context.Context) (objectkey.CheckpointPartRecord, error) {
	var record objectkey.CheckpointRecord
	err := twice(func() error {
		return r.persist(ctx, func(ctx context.Context) error {
			data, err := r.getSmall(ctx, objectkey.CheckpointRecordKey(r.prefix, r.grant.ID), objectkey.MaxCheckpointRecord)
			if err != nil {
				return err
			}
			record, err = objectkey.DecodeCheckpointRecord(data, r.grant.Digest)
			if err != nil || record.ID != r.grant.ID {
				return errDiffers
			}
			return nil
		})
	})
	if err != nil {
		return objectkey.CheckpointPartRecord{}, err
	}
	if len(record.Parts) == 1 {
		return record.Parts[0], nil
	}
	for _, p := range record.Parts {
		if p.Node == r.Node.Index {
			return p, nil
		}
	}
	return objectkey.CheckpointPartRecord{}, fail(staging.ExitCheckpointCorrupt, nil, "The checkpoint %s was written by "+
		"%d nodes and has no part for node %d. Resume from it with as many nodes.", r.grant.ID, len(record.Parts), r.Node.Index)
}

// bring collects the files of the part, each verified, as stage-in does with a dataset.
func (r *restoring) bring(ctx context.Context, part objectkey.CheckpointPartRecord) (manifest, error) {
	if err := r.folder.MkdirAll(restoreDir, openFolder); err != nil {
		return manifest{}, volumeFailure("prepare the checkpoint's folder", err)
	}
	root, err := r.folder.OpenRoot(restoreDir)
	if err != nil {
		return manifest{}, volumeFailure("prepare the checkpoint's folder", err)
	}
	v := &volume{root: root, target: wholeDir}
	defer v.close()
	if err := v.prepare(); err != nil {
		return manifest{}, volumeFailure("prepare the checkpoint's folder", err)
	}
	s := r.at(objectkey.CheckpointPart(r.prefix, r.grant.ID, part.Node))
	m, err := s.fetchManifest(ctx, v, part.ManifestDigest)
	if err != nil {
		return manifest{}, err
	}
	free, err := r.options.FreeSpace(filepath.Join(r.options.ArtifactsDir, staging.CheckpointFolder))
	if err != nil {
		return manifest{}, volumeFailure("ask for the volume's room", err)
	}
	if err := v.room(m, free); err != nil {
		return manifest{}, err
	}
	r.Log.Info("Restoring the checkpoint", "checkpoint", r.grant.ID, "files", m.objects, "bytes", m.bytes, "resumed", v.resumed)
	if err := newDownload(s, v, m).run(ctx); err != nil {
		return manifest{}, err
	}
	return m, v.publish(m.objects)
}

// publish gives the checkpoint to the trainer by one rename and gives its name.
func (r *restoring) publish() (string, error) {
	whole := path.Join(restoreDir, wholeDir)
	entries, err := fs.ReadDir(r.folder.FS(), whole)
	if err != nil {
		return "", volumeFailure("read the checkpoint's folder", err)
	}
	if len(entries) != 1 || unfinished(entries[0].Name()) {
		return "", errDiffers // No stage-out has stored such a one.
	}
	name := entries[0].Name()
	if err := r.unlock(whole); err != nil {
		return "", volumeFailure("give the checkpoint to the trainer", err)
	}
	err = r.folder.RemoveAll(name) // Of a try before this one.
	if err == nil {
		err = r.folder.Rename(path.Join(whole, name), name)
	}
	if err == nil {
		err = r.folder.RemoveAll(restoreDir)
	}
	return name, volumeFailure("give the checkpoint to the trainer", err)
}

// unlock lets the trainer change and remove what was restored.
func (r *restoring) unlock(whole string) error {
	return fs.WalkDir(r.folder.FS(), whole, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return openUp(r.folder, path, openFolder)
		default:
			return openUp(r.folder, path, openFile)
		}
	})
}

// note writes down what was restored, so that it is neither fetched again nor stored
// again. Without the note that is all that happens.
func (r *restoring) note(name string) {
	mark, err := printOf(r.folder, name)
	if err == nil {
		err = writeRestored(r.folder, restored{ID: r.grant.ID, Digest: r.grant.Digest, Name: name, Print: mark})
	}
	if err != nil {
		r.Log.Warn("The name of the restored checkpoint can not be written down", "cause", Cause(err))
	}
}

// done says whether an earlier try restored the checkpoint, and nothing changed it since.
func (r *restoring) done() bool {
	note, ok := readRestored(r.folder)
	if !ok || note.ID != r.grant.ID || note.Digest != r.grant.Digest {
		return false
	}
	mark, err := printOf(r.folder, note.Name)
	return err == nil && mark == note.Print
}

func printOf(folder *os.Root, name string) (fingerprint, error) {
	info, err := folder.Lstat(name)
	if err != nil {
		return fingerprint{}, err
	}
	c, err := examine(folder, name, info)
	return c.print, err
}

func writeRestored(folder *os.Root, note restored) error {
	data, err := json.Marshal(note)
	if err != nil {
		return err
	}
	if err := folder.WriteFile(restoredFile+".tmp", data, fileMode); err != nil {
		return err
	}
	return folder.Rename(restoredFile+".tmp", restoredFile)
}

// readRestored reports false for a note that is missing or none.
func readRestored(folder *os.Root) (restored, bool) {
	var note restored
	f, err := folder.OpenFile(restoredFile, openGently, 0)
	if err != nil {
		return note, false
	}
	defer func() { _ = f.Close() }() // It was only read.
	data, err := io.ReadAll(io.LimitReader(f, maxRestored))
	if err != nil || json.Unmarshal(data, &note) != nil {
		return restored{}, false
	}
	return note, note.Name != "" && !unfinished(note.Name)
}

// refusedAsAbsent says whether an object is not there, as far as we may know: a store
// that lets us read but not list may call that a refusal.
func refusedAsAbsent(err error) bool {
	return errors.Is(err, objectstore.ErrNotFound) || errors.Is(err, objectstore.ErrDenied)
}
