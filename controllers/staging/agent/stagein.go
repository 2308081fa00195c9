package agent

import (
	"context"
	"path/filepath"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// stageInPatience is how long stage-in waits for something that is away.
const stageInPatience = 6 * time.Hour

// StageInOptions are what StageIn needs.
type StageInOptions struct {
	Options
	// DatasetDir is where the dataset appears. Its parent is the volume's root.
	DatasetDir string
	// FreeSpace asks for the room in a folder.
	FreeSpace func(folder string) (Space, error)
}

// StageIn brings the dataset to DatasetDir, verified against its manifest: whole or
// not at all. It may be repeated after a crash and goes on from what is there.
// Errors that it can explain are *Failure; cancelling ctx ends it early.
func StageIn(ctx context.Context, o StageInOptions) (staging.Report, error) {
	report := staging.Report{Step: staging.StepStageIn}
	started := o.Clock.Now()
	v, err := openVolume(o.DatasetDir)
	if err != nil {
		return report, err
	}
	defer v.close()
	s := newSession(o.Options, staging.StepStageIn, stageInPatience)
	grant, err := s.open(ctx)
	if err != nil {
		return report, err
	}
	m, err := s.fetchManifest(ctx, v, grant.ManifestDigest)
	if err != nil {
		return report, err
	}
	free, err := o.FreeSpace(filepath.Dir(o.DatasetDir))
	if err != nil {
		return report, volumeFailure("ask for the volume's room", err)
	}
	if err := v.room(m, free); err != nil {
		return report, err
	}
	s.Log.Info("Staging the dataset in", "files", m.objects, "bytes", m.bytes, "resumed", v.resumed)
	if err := newDownload(s, v, m).run(ctx); err != nil {
		return report, err
	}
	if err := v.publish(m.objects); err != nil {
		return report, err
	}
	s.Log.Info("The dataset is complete", "files", m.objects, "bytes", m.bytes,
		"seconds", o.Clock.Since(started).Seconds())
	report.ManifestDigest, report.Objects, report.Bytes = m.digest, m.objects, m.bytes
	return report, nil
}
