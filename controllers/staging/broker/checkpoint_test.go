package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// kept is a checkpoint as a status has it.
func kept(attempt, n int) v1alpha1.Checkpoint {
	return v1alpha1.Checkpoint{
		ID: objectkey.CheckpointID(attempt, n), Digest: digestOf('a'), Step: int64(n), Objects: 1, Bytes: 2,
		Time: metav1.NewTime(time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)),
	}
}

func TestCheckpointsAreWrittenWhenTheAnswerComes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		keep  int32
		known []v1alpha1.Checkpoint
		want  []v1alpha1.Checkpoint
	}{
		"the first":                           {2, nil, []v1alpha1.Checkpoint{kept(2, 7)}},
		"beside an older attempt's":           {2, []v1alpha1.Checkpoint{kept(1, 9)}, []v1alpha1.Checkpoint{kept(1, 9), kept(2, 7)}},
		"in place of what is not to be kept":  {2, []v1alpha1.Checkpoint{kept(2, 1), kept(2, 2)}, []v1alpha1.Checkpoint{kept(2, 2), kept(2, 7)}},
		"alone, if one is to be kept":         {1, []v1alpha1.Checkpoint{kept(2, 1), kept(2, 2)}, []v1alpha1.Checkpoint{kept(2, 7)}},
		"among as many as can be":             {16, []v1alpha1.Checkpoint{kept(2, 1), kept(2, 2)}, []v1alpha1.Checkpoint{kept(2, 1), kept(2, 2), kept(2, 7)}},
		"once, if it is there already":        {2, []v1alpha1.Checkpoint{kept(2, 2), kept(2, 7)}, []v1alpha1.Checkpoint{kept(2, 2), kept(2, 7)}},
		"once, if a newer one is there, too":  {2, []v1alpha1.Checkpoint{kept(2, 7), kept(2, 8)}, []v1alpha1.Checkpoint{kept(2, 7), kept(2, 8)}},
		"once, also in a list that is longer": {1, []v1alpha1.Checkpoint{kept(2, 7), kept(2, 8)}, []v1alpha1.Checkpoint{kept(2, 7), kept(2, 8)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.attempt(2)
			w.run.Spec.Checkpoint.KeepLast = ptr.To(tc.keep)
			w.run.Status.Checkpoints = tc.known
			ask := stored(7)
			ask.ID = objectkey.CheckpointID(2, 7)
			if err := w.start(t).Checkpoint(t.Context(), ask); err != nil {
				t.Fatal(err)
			}
			got := w.status(t).Checkpoints
			for i := range got {
				got[i].Time.Time = got[i].Time.UTC()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("checkpoints (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckpointsThatAreRefused(t *testing.T) {
	t.Parallel()
	with := func(change func(*staging.CheckpointRequest)) func(*world) staging.CheckpointRequest {
		return func(*world) staging.CheckpointRequest {
			ask := stored(7)
			change(&ask)
			return ask
		}
	}
	among := func(known ...v1alpha1.Checkpoint) func(*world) staging.CheckpointRequest {
		return func(w *world) staging.CheckpointRequest {
			w.run.Status.Checkpoints = known
			return stored(7)
		}
	}
	other := kept(1, 7)
	other.Digest = digestOf('b')
	cases := map[string]struct {
		ask    func(*world) staging.CheckpointRequest
		reason string
	}{
		"no name":                        {with(func(c *staging.CheckpointRequest) { c.ID = "" }), staging.ProblemMalformed},
		"a name that is a path":          {with(func(c *staging.CheckpointRequest) { c.ID = "../../other" }), staging.ProblemMalformed},
		"a name of another form":         {with(func(c *staging.CheckpointRequest) { c.ID = "0001-7" }), staging.ProblemMalformed},
		"no digest":                      {with(func(c *staging.CheckpointRequest) { c.Digest = "" }), staging.ProblemMalformed},
		"a digest of another kind":       {with(func(c *staging.CheckpointRequest) { c.Digest = "md5:00" }), staging.ProblemMalformed},
		"a negative step":                {with(func(c *staging.CheckpointRequest) { c.Step = -1 }), staging.ProblemMalformed},
		"negative bytes":                 {with(func(c *staging.CheckpointRequest) { c.Bytes = -1 }), staging.ProblemMalformed},
		"more objects than can be":       {with(func(c *staging.CheckpointRequest) { c.Objects = 1 << 60 }), staging.ProblemMalformed},
		"an attempt's before":            {with(func(c *staging.CheckpointRequest) { c.ID = "0000-000007" }), staging.ProblemForbidden},
		"an attempt's after":             {with(func(c *staging.CheckpointRequest) { c.ID = "0002-000007" }), staging.ProblemForbidden},
		"the greatest name there is":     {with(func(c *staging.CheckpointRequest) { c.ID = "9999-999999" }), staging.ProblemForbidden},
		"older than the newest":          {among(kept(1, 8)), staging.ProblemReplayed},
		"older than what is not sorted":  {among(kept(1, 8), kept(1, 2)), staging.ProblemReplayed},
		"another one of the same name":   {among(other), staging.ProblemReplayed},
		"not the first node's":           {func(w *world) staging.CheckpointRequest { w.nodes(2, 1); return stored(7) }, staging.ProblemForbidden},
		"of a run that the status ended": {func(w *world) staging.CheckpointRequest { w.run.Status.State = v1alpha1.RunSucceeded; return stored(7) }, staging.ProblemRunEnded},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			ask := tc.ask(w)
			before := len(w.run.Status.Checkpoints)
			err := w.start(t).Checkpoint(t.Context(), ask)
			if got := problemOf(t, err).Reason; got != tc.reason {
				t.Errorf("reason %q, want %q", got, tc.reason)
			}
			if w.writes.count() != 0 || len(w.status(t).Checkpoints) != before {
				t.Error("something was written")
			}
		})
	}
}

func TestACheckpointTakesProgressAlong(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	w.tell(t, c, message(1))
	w.settled(t, 1)
	w.tell(t, c, message(2))
	eventually(t, "it waits", w.quiet)
	w.clock.Step(staging.ProgressInterval / 2)
	if err := c.Checkpoint(t.Context(), stored(1)); err != nil {
		t.Fatal(err)
	}
	status := w.status(t)
	if len(status.Checkpoints) != 1 || *status.Progress.Step != 2 || w.writes.count() != 2 {
		t.Errorf("after %d writes: %+v, want the checkpoint and the message that was held back", w.writes.count(), status)
	}
	w.clock.Step(staging.ProgressInterval / 2)
	w.settled(t, 2)
	// What comes then waits for an interval from the checkpoint's write.
	w.tell(t, c, message(3))
	eventually(t, "it waits", w.quiet)
	if got := w.writes.count(); got != 2 {
		t.Errorf("%d writes, want 2", got)
	}
	w.clock.Step(staging.ProgressInterval / 2)
	w.settled(t, 3)
	if status = w.status(t); len(status.Checkpoints) != 1 || *status.Progress.Step != 3 {
		t.Errorf("status %+v, want both", status)
	}
}

func TestACheckpointIsNotTakenWhenItCanNotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.writes.fail = func(n int) error {
		if n == 1 {
			return errBroken
		}
		return nil
	}
	c := w.start(t)
	if got := problemOf(t, c.Checkpoint(t.Context(), stored(1))); got.Reason != staging.ProblemUnavailable {
		t.Errorf("got %+v, want %s", got, staging.ProblemUnavailable)
	}
	if err := c.Checkpoint(t.Context(), stored(1)); err != nil {
		t.Errorf("again: %v", err)
	}
	if got := ids(w.status(t).Checkpoints); len(got) != 1 {
		t.Errorf("checkpoints %v, want one", got)
	}
}
