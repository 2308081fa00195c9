package broker

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

const otherUID = "22222222-aaaa-4aaa-8aaa-000000000003"

// resumesFrom makes the run start from another one's checkpoint; an empty ID is the newest.
func (w *world) resumesFrom(id string, known ...v1alpha1.Checkpoint) {
	w.run.Spec.Checkpoint.Resume = v1alpha1.ResumeFrom
	w.run.Spec.Checkpoint.From = &v1alpha1.CheckpointReference{RunName: "run-b", ID: id}
	w.other = &v1alpha1.TrainingRun{ObjectMeta: owned("run-b", otherUID, "", "", "", "")}
	w.other.Status.State, w.other.Status.Checkpoints = v1alpha1.RunRunning, known
}

func TestWhatAPodBeginsWith(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*world)
		// run and id are empty for nothing.
		run, id string
	}{
		"nothing, in a run that has stored nothing": {},
		"its run's newest": {
			func(w *world) { w.attempt(3); w.run.Status.Checkpoints = []v1alpha1.Checkpoint{kept(1, 5), kept(2, 1)} }, runUID, "0002-000001",
		},
		"its run's newest, in a pod that takes another's place in the first attempt": {
			func(w *world) { w.run.Status.Checkpoints = []v1alpha1.Checkpoint{kept(1, 5)} }, runUID, "0001-000005",
		},
		"nothing, if its run never wants to resume": {
			change: func(w *world) {
				w.run.Spec.Checkpoint.Resume = v1alpha1.ResumeNever
				w.run.Status.Checkpoints = []v1alpha1.Checkpoint{kept(1, 5)}
			},
		},
		"another run's newest": {
			func(w *world) { w.resumesFrom("", kept(1, 1), kept(4, 2)) }, otherUID, "0004-000002",
		},
		"one of another run's": {
			func(w *world) { w.resumesFrom("0001-000001", kept(1, 1), kept(4, 2)) }, otherUID, "0001-000001",
		},
		"another run's, which has ended": {
			func(w *world) { w.resumesFrom("", kept(1, 1)); w.other.Status.State = v1alpha1.RunFailed }, otherUID, "0001-000001",
		},
		"another run's again, in an attempt that follows one without a checkpoint": {
			func(w *world) { w.attempt(2); w.resumesFrom("", kept(1, 1)) }, otherUID, "0001-000001",
		},
		"its own, as soon as there is one, and not another run's again": {
			func(w *world) {
				w.resumesFrom("", kept(9, 9))
				w.run.Status.Checkpoints = []v1alpha1.Checkpoint{kept(1, 2)}
			}, runUID, "0001-000002",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			if tc.change != nil {
				tc.change(w)
			}
			got, err := w.start(t).Stage(t.Context(), staging.StepStageIn)
			if err != nil {
				t.Fatal(err)
			}
			want := staging.StageGrant{Store: storeGrant(w, "datasets", datasetUID, time.Hour), ManifestDigest: "sha256:digits"}
			if tc.run != "" {
				want.Resume = &staging.ResumeGrant{
					Store: storeGrant(w, "artifacts", tc.run, time.Hour), ID: tc.id, Digest: digestOf('a'),
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("grant (-want +got):\n%s", diff)
			}
			if tc.run != "" {
				reach := w.sts.policies[1]
				if !reaches(t, reach, "artifacts", namespace+"/"+tc.run+"/checkpoints/"+tc.id+"/complete.json") ||
					reaches(t, reach, "artifacts", namespace+"/"+tc.run+"/checkpoints/0009-000000/complete.json") ||
					reaches(t, reach, "artifacts", namespace+"/"+tc.run+"/data/x") {
					t.Errorf("policy %s", reach)
				}
			}
		})
	}
}

func askResume(change func(*world), reason string, status int, says string) refusalCase {
	return refusalCase{change, askStageIn, reason, status, says}
}

func resumeRefusals() map[string]refusalCase {
	lost := func(says string, change func(*world)) refusalCase {
		return askResume(change, staging.ProblemCheckpointGone, 410, says)
	}
	soon := func(change func(*world)) refusalCase {
		return askResume(change, staging.ProblemNotYet, 409, "try again")
	}
	return map[string]refusalCase{
		"a run that there is not": lost("no other run run-b", func(w *world) { w.resumesFrom(""); w.other = nil }),
		"a run that is itself": lost("no other run run-a", func(w *world) {
			w.resumesFrom("")
			w.run.Spec.Checkpoint.From.RunName = "run-a"
		}),
		"a run whose checkpoints go":              lost("being deleted", func(w *world) { w.resumesFrom("", kept(1, 1)); deleted(w.other) }),
		"a checkpoint that is not kept":           lost("does not keep", func(w *world) { w.resumesFrom("0001-000001", kept(1, 2)) }),
		"a run that ended without any":            lost("ended", func(w *world) { w.resumesFrom(""); w.other.Status.State = v1alpha1.RunSucceeded }),
		"a run that ended without this":           lost("ended", func(w *world) { w.resumesFrom("0001-000009", kept(1, 2)); w.other.Status.State = v1alpha1.RunFailed }),
		"a run that has none yet":                 soon(func(w *world) { w.resumesFrom("") }),
		"a run that has not come to this one yet": soon(func(w *world) { w.resumesFrom("0001-000009", kept(1, 2)) }),
		"a run that can not be read": {
			change: func(w *world) {
				w.resumesFrom("", kept(1, 1))
				w.failRead = func(key client.ObjectKey, _ client.Object) error {
					if key.Name == "run-b" {
						return errBroken
					}
					return nil
				}
			},
			ask: askStageIn, reason: staging.ProblemUnavailable, status: 503, says: "request number",
		},
		"a message twice": {
			ask: func(ctx context.Context, c *brokerclient.Client) error {
				if err := c.Progress(ctx, message(3)); err != nil {
					return err
				}
				return c.Progress(ctx, message(3))
			},
			reason: staging.ProblemReplayed, status: 410, says: "not newer",
		},
		"an older checkpoint": {
			change: func(w *world) { w.run.Status.Checkpoints = []v1alpha1.Checkpoint{kept(1, 5)} },
			ask:    askCheckpoint, reason: staging.ProblemReplayed, status: 410, says: "newer",
		},
	}
}

func TestStageOutKnowsTheNewestCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.run.Status.Checkpoints = []v1alpha1.Checkpoint{kept(1, 5), kept(2, 1)}
	got, err := w.start(t).Stage(t.Context(), staging.StepStageOut)
	if err != nil || got.NewestCheckpoint != "0002-000001" || got.Resume != nil {
		t.Errorf("grant %q, %v, %v", got.NewestCheckpoint, got.Resume, err)
	}
	golden(t, "write-artifacts", w.sts.policies[0])
}

func TestStageOutReadsCheckpointsWhereEveryNodeWritesThem(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.nodes(4, 0)
	w.run.Spec.Checkpoint.Writers = v1alpha1.WritersEveryNode
	if _, err := w.start(t).Stage(t.Context(), staging.StepStageOut); err != nil {
		t.Fatal(err)
	}
	golden(t, "write-artifacts-every-node", w.sts.policies[0])
}

func TestResumeReadsOneCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.run.Status.Checkpoints = []v1alpha1.Checkpoint{kept(1, 5)}
	if _, err := w.start(t).Stage(t.Context(), staging.StepStageIn); err != nil {
		t.Fatal(err)
	}
	golden(t, "read-checkpoint", w.sts.policies[1])
}

func TestAResumePolicyTakesNoNameThatMeansMoreThanItself(t *testing.T) {
	t.Parallel()
	at, err := newPlace("artifacts", namespace, runUID)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "*", "0001-00000*", "0001-000001/../..", "0001-000001\n", "${x}"} {
		if policy, err := resumePolicy(at, id); err == nil {
			t.Errorf("checkpoint %q: %s", id, policy)
		}
	}
}
