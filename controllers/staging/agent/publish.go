package agent

import (
	"context"
	"math"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// Publish uploads every file of a folder and then their manifest, for somebody who is no
// pod: there is no trainer to wait for, and nothing is left out. It may be repeated.
// Errors that it can explain are *Failure; cancelling ctx ends it early.
func Publish(ctx context.Context, o Options, folder string) (staging.Report, error) {
	report := staging.Report{Step: staging.StepStageOut}
	found, err := collect(folder, "", math.MaxInt)
	if err != nil {
		return report, err
	}
	defer found.close()
	s := newSession(o, staging.StepStageOut, stageOutPatience)
	if _, err := s.open(ctx); err != nil {
		return report, err
	}
	sum, err := (&upload{session: s, files: found}).run(ctx)
	if err != nil {
		return report, err
	}
	report.Published = true
	report.ManifestDigest, report.Objects, report.Bytes = sum.Digest, sum.Objects, sum.Bytes
	return report, nil
}
