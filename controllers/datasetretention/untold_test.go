package datasetretention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
)

var runsResource = schema.GroupResource{Group: "lethe.dev", Resource: "trainingruns"}

func TestRunWhoseStatusIsRefusedForGoodHoldsNothingUp(t *testing.T) {
	t.Parallel()
	cases := map[string]error{
		"it is invalid": apierrors.NewInvalid(schema.GroupKind{Group: "lethe.dev", Kind: "TrainingRun"}, "run-1", nil),
		"a policy":      apierrors.NewForbidden(runsResource, "run-1", errors.New("not here")),
	}
	for name, refusal := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive(t, &faults{}, func(l *life) {
				t := l.t
				recorder := events.NewFakeRecorder(100)
				l.keeper.opts.Events = recorder
				l.isErasedUsed()
				l.meanwhile(func(_ context.Context, o client.Object) error {
					if o.GetName() == "run-1" {
						return refusal
					}
					return nil
				})
				for range 4 {
					_, err := l.reconcile()
					l.must(err)
				}
				if _, there := l.dataset(); there {
					t.Fatal("the dataset is still there")
				}
				_, digest := l.warehouse.receipt(t, testNamespace+"/"+string(testUID)+".json")
				l.checkMarked("run-1", "")
				l.checkMarked("run-2", digest)
				told := slices.ContainsFunc(toldTo(recorder), func(e string) bool {
					return strings.HasPrefix(e, "Warning RunsNotTold ") && strings.Contains(e, "run run-1") && strings.Contains(e, digest)
				})
				if !told {
					t.Error("nobody is told")
				}
			})
		})
	}
}

func TestEraseSaysWhichRunItCanNotTell(t *testing.T) {
	t.Parallel()
	away := apierrors.NewServiceUnavailable("10.0.0.7 is away")
	cases := map[string]struct {
		refuse interceptor.Funcs
		says   string
	}{
		"a run's status is not written": {
			interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				if _, is := o.(*v1alpha1.TrainingRun); is && o.GetName() == "run-2" {
					return away
				}
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			}}, "run run-2 can not be told",
		},
		"the object is not let go": {
			interceptor.Funcs{Patch: func(_ context.Context, _ client.WithWatch, o client.Object, _ client.Patch, _ ...client.PatchOption) error {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "datasetretentions"}, o.GetName(), errors.New("10.0.0.7"))
			}}, "does not let the object go",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive(t, &faults{}, func(l *life) {
				t := l.t
				l.isErasedUsed()
				l.keeper.client = interceptor.NewClient(l.api, c.refuse)
				var version string
				for range 5 {
					_, err := l.keeper.Reconcile(t.Context(), requestOf(l.key))
					d, there := l.dataset()
					if !there {
						t.Fatal("the dataset is gone")
					}
					if err != nil && version != "" && version != d.ResourceVersion {
						t.Error("each try writes the status")
					}
					if err != nil {
						version = d.ResourceVersion
					}
				}
				d, _ := l.dataset()
				blocked := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionErasureBlocked)
				if blocked.Reason != v1alpha1.ReasonRunsNotTold || !strings.Contains(blocked.Message, c.says) || strings.Contains(blocked.Message, "10.0.0.7") {
					t.Errorf("blocked because of %s: %s", blocked.Reason, blocked.Message)
				}
				l.restart()
				l.settle()
				if _, there := l.dataset(); there {
					t.Error("the dataset is still there")
				}
			})
		})
	}
}

// crooked is a Ledger or Receipts that finds what must not be there.
type crooked struct {
	Ledger
	err error
}

func (c crooked) Note(context.Context, string, string, objectkey.LedgerEvent) error { return c.err }

func (c crooked) Write(context.Context, objectkey.EraseReceipt) (string, error) { return "", c.err }

func TestBooksThatCanNotBeBelievedAreAPersonsToMend(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*Options){
		"the account is malformed":    func(o *Options) { o.Ledger = crooked{o.Ledger, fmt.Errorf("note: %w", ledger.ErrMalformed)} },
		"the account says otherwise":  func(o *Options) { o.Ledger = crooked{o.Ledger, fmt.Errorf("note: %w", ledger.ErrConflict)} },
		"another's receipt is stored": func(o *Options) { o.Receipts = crooked{err: fmt.Errorf("write: %w", erasure.ErrRefused)} },
	}
	for name, bend := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive(t, &faults{}, func(l *life) {
				l.isErasedUsed()
				bend(&l.keeper.opts)
				for range 4 {
					_, _ = l.reconcile()
				}
				d, there := l.dataset()
				if !there || d.Status.Reason != v1alpha1.ReasonEraseRefused || !strings.Contains(d.Status.Message, "ledger or the receipts") {
					l.t.Errorf("%s: %s", d.Status.Reason, d.Status.Message)
				}
			})
		})
	}
}

func TestChecksAndErasesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		leave := l.takeTurns(l.keeper.turns)
		l.create()
		l.upload()
		l.settle()
		l.wantState(v1alpha1.DatasetReady)
		leave()
		if got := cap(l.keeper.checks); got != 2 {
			l.t.Errorf("%d checks at once", got)
		}
		l.takeTurns(l.keeper.checks)
		l.delete()
		l.settle()
		l.until(after(time.Hour))
		l.settle()
		if _, there := l.dataset(); there {
			l.t.Error("an erase waits for a check")
		}
	})
}

// TestWaitForATurnIsSaidByOneWrite counts the writes of an erase with a wait before the
// count, and of one with a wait after it, against one without.
func TestWaitForATurnIsSaidByOneWrite(t *testing.T) {
	t.Parallel()
	writes := func(waits bool, mods ...datasetMod) (n int) {
		alive(t, &faults{}, func(l *life) {
			recorder := events.NewFakeRecorder(100)
			l.keeper.opts.Events = recorder
			l.until(after(2 * time.Hour))
			d := newDataset(append([]datasetMod{usable}, mods...)...)
			l.add(d)
			l.must(l.api.Delete(l.t.Context(), d))
			leave := func() {}
			if waits {
				leave = l.atTheStore()
			}
			l.settle()
			if d, there := l.dataset(); there && d.Status.Reason != v1alpha1.ReasonWaitingForTurn {
				l.t.Errorf("waits because of %s", d.Status.Reason)
			}
			leave()
			l.settle()
			if _, there := l.dataset(); there {
				l.t.Error("the dataset is still there")
			}
			for _, e := range toldTo(recorder) {
				if strings.Contains(e, v1alpha1.ReasonWaitingForTurn) {
					l.t.Errorf("event %s", e)
				}
			}
			n = l.faults.onDatasets
		})
		return n
	}
	if with, without := writes(true), writes(false); with != without+1 {
		t.Errorf("before the count: %d writes, and %d without a wait", with, without)
	}
	if with, without := writes(true, inventoried), writes(false, inventoried); with > without+1 {
		t.Errorf("after the count: %d writes, and %d without a wait", with, without)
	}
}

func TestEraseThatGotItsTurnSaysSo(t *testing.T) {
	t.Parallel()
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.until(after(2 * time.Hour))
		d := newDataset(usable, inventoried)
		l.add(d)
		l.must(l.api.Delete(t.Context(), d))
		leave := l.atTheStore()
		l.settle()
		leave()
		var reason, condition string
		l.keeper.opts.Eraser = &snail{Eraser: l.keeper.opts.Eraser, steps: []func(func(erasure.Inventory)){
			func(progress func(erasure.Inventory)) {
				l.clock.Sleep(time.Minute)
				progress(erasure.Inventory{Versions: 2})
				d, _ := l.dataset()
				c := apimeta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionErasureBlocked)
				reason, condition = d.Status.Reason, c.Reason
			},
		}}
		l.settle()
		if reason != v1alpha1.ReasonDeleted || condition != v1alpha1.ReasonProceeding {
			t.Errorf("says %s, and ErasureBlocked %s", reason, condition)
		}
	})
}
