package broker

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// checkpoint answers staging.PathCheckpoint: when the checkpoint is in the run's
// status. Nothing about it is remembered; it is rare, and later attempts count on it.
func (s *Server) checkpoint(ctx context.Context, r *http.Request) (any, error) {
	caller, err := s.pod(ctx, r)
	if err != nil {
		return nil, err
	}
	if !s.checkpointPace.allow(caller.podUID, s.clock.Now()) {
		return nil, tooMany()
	}
	var ask staging.CheckpointRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	c, err := s.follow(ctx, caller, leaving)
	if err != nil {
		return nil, err
	}
	if c.node > 0 {
		return nil, forbidden("a checkpoint is told by the first node of its run, when the parts of all are stored")
	}
	if err := checkCheckpoint(ask, c.attempt); err != nil {
		return nil, err
	}
	return staging.CheckpointAnswer{}, s.recorder.checkpoint(ctx, c.member, ask)
}

// checkCheckpoint says whether a checkpoint can be this attempt's.
func checkCheckpoint(ask staging.CheckpointRequest, attempt int32) error {
	count := func(n int64) bool { return n >= 0 && n <= maxCount }
	switch {
	case !objectkey.ValidCheckpointID(ask.ID) || !digestPattern.MatchString(ask.Digest):
		return malformed("id and digest are those of a checkpoint's record")
	case !count(ask.Step) || !count(ask.Objects) || !count(ask.Bytes):
		return malformed("step, objects and bytes are counts")
	// An ID starts with its attempt; see objectkey.CheckpointID.
	case !strings.HasPrefix(objectkey.CheckpointID(int(attempt), 0), ask.ID[:strings.Index(ask.ID, "-")+1]):
		return forbidden("the checkpoint is named after another attempt than the pod's")
	}
	return nil
}

// withCheckpoint adds a checkpoint to those that are known, of which as many are kept
// as the run wants, and reports false if it is known already. What is not newer than
// the newest is refused.
func withCheckpoint(run *v1alpha1.TrainingRun, ask staging.CheckpointRequest, now time.Time) ([]v1alpha1.Checkpoint, bool, error) {
	known := run.Status.Checkpoints
	for i := range known {
		if known[i].ID == ask.ID && known[i].Digest == ask.Digest {
			return known, false, nil
		}
	}
	if last := newest(known); last != nil && ask.ID <= last.ID {
		return nil, false, gone(staging.ProblemReplayed, "the run has this checkpoint otherwise, or a newer one")
	}
	all := append(slices.Clone(known), v1alpha1.Checkpoint{
		ID: ask.ID, Step: ask.Step, Digest: ask.Digest, Objects: ask.Objects, Bytes: ask.Bytes,
		Time: metav1.NewTime(now).Rfc3339Copy(),
	})
	if keep := run.Spec.Checkpoint.Keep(); len(all) > keep {
		all = all[len(all)-keep:]
	}
	return all, true, nil
}
