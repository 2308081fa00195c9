package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// stageInPatience is how long stage-in waits for something that is away.
	stageInPatience = 6 * time.Hour
	// minWait is kept between two questions for something that has not happened yet,
	// should the broker not hold its answers back.
	minWait = time.Second
)

// StageInOptions are what StageIn needs.
type StageInOptions struct {
	Options
	// DatasetDir is where the dataset appears. Its parent is the volume's root.
	DatasetDir string
	// ArtifactsDir is the folder that the trainer writes to: a checkpoint to begin with
	// goes there. Without one there can be none.
	ArtifactsDir string
	// FreeSpace asks for the room in a folder.
	FreeSpace func(folder string) (Space, error)
	// Shard brings only this node's share of the dataset.
	Shard bool
	// Hosts are the names of all nodes, if there is more than one, and GPUs the number on
	// each, for the list that launchers read.
	Hosts []string
	GPUs  int
}

// StageIn brings the dataset to DatasetDir, verified against its manifest, and then the
// checkpoint to begin with, each whole or not at all. One of several nodes then waits
// for the others. It may be repeated after a crash and goes on from what is there.
// Errors that it can explain are *Failure; cancelling ctx ends it early.
func StageIn(ctx context.Context, o StageInOptions) (staging.Report, error) {
	report := staging.Report{Step: staging.StepStageIn}
	v, err := openVolume(o.DatasetDir)
	if err != nil {
		return report, err
	}
	defer v.close()
	if o.Shard {
		v.share = share{count: int64(o.Node.Count), index: int64(o.Node.Index)}
	}
	if err := v.hostfile(o.Hosts, o.GPUs); err != nil {
		return report, err
	}
	s := newSession(o.Options, staging.StepStageIn, stageInPatience)
	grant, err := s.open(ctx)
	if err != nil {
		return report, err
	}
	m, err := s.bringDataset(ctx, o, v, grant.ManifestDigest)
	if err != nil {
		return report, err
	}
	report.Checkpoint, err = s.restore(ctx, o, grant.Resume)
	if err != nil {
		return report, err
	}
	report.ManifestDigest, report.Objects, report.Bytes = m.digest, m.objects, m.bytes
	return report, s.awaitGang(ctx)
}

func (s *session) bringDataset(ctx context.Context, o StageInOptions, v *volume, pinned string) (manifest, error) {
	started := o.Clock.Now()
	m, err := s.fetchManifest(ctx, v, pinned)
	if err != nil {
		return m, err
	}
	free, err := o.FreeSpace(filepath.Dir(o.DatasetDir))
	if err != nil {
		return m, volumeFailure("ask for the volume's room", err)
	}
	if err := v.room(m, free); err != nil {
		return m, err
	}
	s.Log.Info("Staging the dataset in", "files", m.objects, "bytes", m.bytes, "resumed", v.resumed)
	if err := newDownload(s, v, m).run(ctx); err != nil {
		return m, err
	}
	if err := v.publish(m.objects); err != nil {
		return m, err
	}
	s.Log.Info("The dataset is complete", "files", m.objects, "bytes", m.bytes,
		"seconds", o.Clock.Since(started).Seconds())
	return m, nil
}

// hostfile writes the list of nodes, if there is more than one. A node without GPUs has
// one slot.
func (v *volume) hostfile(hosts []string, gpus int) error {
	if len(hosts) < 2 {
		return nil
	}
	var list strings.Builder
	for _, host := range hosts {
		_, _ = fmt.Fprintf(&list, "%s slots=%d\n", host, max(gpus, 1)) // Never fails.
	}
	err := v.folder(staging.RunFolder)
	name := staging.RunFolder + "/" + filepath.Base(staging.Hostfile)
	if err == nil {
		err = v.root.WriteFile(name+".tmp", []byte(list.String()), fileMode)
	}
	if err == nil {
		err = v.root.Rename(name+".tmp", name)
	}
	return volumeFailure("write the list of nodes", err)
}

// awaitGang waits until all nodes are there, so that no trainer waits for others in vain.
func (s *session) awaitGang(ctx context.Context) error {
	if s.Node.Count < 2 {
		return nil
	}
	s.Log.Info("Waiting for the other nodes", "nodes", s.Node.Count)
	return s.await(ctx, func(ctx context.Context) (bool, error) {
		status, err := s.Broker.Gang(ctx)
		return status.Ready, err
	})
}

// await asks the broker until something has happened.
func (s *session) await(ctx context.Context, ask func(context.Context) (bool, error)) error {
	for {
		happened := false
		asked := s.Clock.Now()
		err := s.grants.peer.try(ctx, func(ctx context.Context) error {
			var err error
			if happened, err = ask(ctx); err != nil {
				return brokerFailure(ctx, err)
			}
			return nil
		})
		if err != nil || happened {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if rest := minWait - s.Clock.Since(asked); rest > 0 {
			if err := sleep(ctx, s.Clock, rest); err != nil {
				return err
			}
		}
	}
}
