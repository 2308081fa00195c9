package broker

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// message is one that tells its own number.
func message(n int64) staging.ProgressRequest {
	return staging.ProgressRequest{Sequence: n, Step: &n, IdleSeconds: 0}
}

// tell sends a message and wants it to be taken.
func (w *world) tell(t *testing.T, c *brokerclient.Client, ask staging.ProgressRequest) {
	t.Helper()
	if err := c.Progress(t.Context(), ask); err != nil {
		t.Fatalf("message %d: %v", ask.Sequence, err)
	}
}

// settled waits until so many writes were made and nobody writes.
func (w *world) settled(t *testing.T, writes int) {
	t.Helper()
	eventually(t, strconv.Itoa(writes)+" writes", func() bool { return w.writes.count() == writes && w.quiet() })
}

// quiet reports whether every record is either written or waits for its time.
func (w *world) quiet() bool {
	w.server.recorder.mu.Lock()
	defer w.server.recorder.mu.Unlock()
	pending := 0
	for _, rec := range w.server.recorder.records {
		if rec.pending != rec.busy {
			return false
		}
		if rec.pending {
			pending++
		}
	}
	return w.clock.Waiters() == pending
}

func TestProgressIsStampedAndWritten(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	w.tell(t, c, staging.ProgressRequest{
		Sequence: 7, Percent: ptr.To(41.9), Epoch: ptr.To[int64](2), Epochs: ptr.To[int64](5),
		Step: ptr.To[int64](410), TotalSteps: ptr.To[int64](1000),
		Metrics:          map[string]float64{"loss": 0.25, "accuracy": 1e-7, "lr\n": 3},
		RemainingSeconds: ptr.To[int64](90), IdleSeconds: 4,
	})
	w.settled(t, 1)
	now := w.clock.Now()
	stamp := func(at time.Time) *metav1.Time { return ptr.To(metav1.NewTime(at)) }
	want := &v1alpha1.Progress{
		Attempt: 1, PodUID: podUID, Sequence: 7, Percent: ptr.To[int32](41),
		Epoch: ptr.To[int64](2), Epochs: ptr.To[int64](5), Step: ptr.To[int64](410), TotalSteps: ptr.To[int64](1000),
		Metrics:                 []v1alpha1.Metric{{Name: "accuracy", Value: "1e-07"}, {Name: "loss", Value: "0.25"}, {Name: "lr", Value: "3"}},
		EstimatedCompletionTime: stamp(now.Add(90 * time.Second)),
		LastUpdateTime:          stamp(now), LastActivityTime: stamp(now.Add(-4 * time.Second)),
	}
	if diff := cmp.Diff(want, w.status(t).Progress); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestProgressIsCoalesced(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	begin := w.clock.Now()
	// Every five seconds for two minutes: more often than the protocol allows.
	for n := int64(1); n <= 24; n++ {
		w.tell(t, c, message(n))
		eventually(t, "the message is written or waits", w.quiet)
		w.clock.Step(5 * time.Second)
		eventually(t, "what was due is written", w.quiet)
	}
	w.clock.Step(staging.ProgressInterval)
	eventually(t, "nothing is held back", func() bool { return *w.status(t).Progress.Step == 24 && w.quiet() })
	at := w.writes.at(begin)
	for i := 1; i < len(at); i++ {
		if at[i]-at[i-1] < staging.ProgressInterval.Seconds() {
			t.Errorf("writes at %v s: two are closer than %s", at, staging.ProgressInterval)
		}
	}
	if len(at) < 12 {
		t.Errorf("%d writes in two minutes, want about one in %s", len(at), staging.ProgressInterval)
	}
	if at[0] != 0 {
		t.Errorf("the first message waited for %v s", at[0])
	}
}

func TestTheLastMessageIsWrittenWithoutAnother(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	w.tell(t, c, message(1))
	w.settled(t, 1)
	w.tell(t, c, message(2))
	w.tell(t, c, message(3))
	eventually(t, "it waits", w.quiet)
	w.clock.Step(staging.ProgressInterval - time.Millisecond)
	eventually(t, "it still waits", w.quiet)
	if got := *w.status(t).Progress.Step; got != 1 || w.writes.count() != 1 {
		t.Errorf("step %d after %d writes, want the first only", got, w.writes.count())
	}
	w.clock.Step(time.Millisecond)
	w.settled(t, 2)
	if got := *w.status(t).Progress.Step; got != 3 {
		t.Errorf("step %d, want the last", got)
	}
}

func TestAServerThatStopsLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	w.tell(t, c, message(1))
	w.settled(t, 1)
	w.tell(t, c, message(2))
	w.server.release()
	if err := w.server.recorder.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := *w.status(t).Progress.Step; got != 2 {
		t.Errorf("step %d, want the last", got)
	}
}

func TestAWriteThatFailsIsMadeGoodInTime(t *testing.T) {
	t.Parallel()
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "trainingruns"}, "run-a", errBroken)
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "TrainingRun"}, "the-users-metric", nil)
	cases := map[string]struct {
		fail func(n int) error
		// before and after are the writes until the interval is over and after it.
		before, after int
		step          int64
		logged        bool
	}{
		"the API server is away": {
			fail: func(n int) error {
				if n == 1 {
					return errBroken
				}
				return nil
			},
			before: 1, after: 2, step: 1, logged: true,
		},
		"somebody else wrote": {
			fail: func(n int) error {
				if n < 3 {
					return conflict
				}
				return nil
			},
			before: 3, after: 3, step: 1,
		},
		"somebody else writes all the time": {
			fail: func(n int) error {
				if n <= maxConflicts {
					return conflict
				}
				return nil
			},
			before: maxConflicts, after: maxConflicts + 1, step: 1, logged: true,
		},
		"the API server never will take it": {
			fail:   func(int) error { return invalid },
			before: 1, after: 1, logged: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.writes.fail = tc.fail
			c := w.start(t)
			w.tell(t, c, message(1))
			w.settled(t, tc.before)
			w.clock.Step(staging.ProgressInterval)
			w.settled(t, tc.after)
			var step int64
			if told := w.status(t).Progress; told != nil {
				step = *told.Step
			}
			if step != tc.step {
				t.Errorf("step %d, want %d", step, tc.step)
			}
			logged := strings.Join(w.logs(), "\n")
			if (logged != "") != tc.logged || strings.Contains(logged, "the-users-metric") {
				t.Errorf("logs: %q", logged)
			}
		})
	}
}

func TestProgressGoesOnFromTheStatus(t *testing.T) {
	t.Parallel()
	w := newWorld()
	now := w.clock.Now()
	w.run.Status.Progress = &v1alpha1.Progress{
		Attempt: 1, PodUID: podUID, Sequence: 5,
		LastUpdateTime:   ptr.To(metav1.NewTime(now.Add(-3 * time.Second))),
		LastActivityTime: ptr.To(metav1.NewTime(now.Add(-4 * time.Second))),
	}
	c := w.start(t)
	if got := reasonOf(c.Progress(t.Context(), message(5))); got != staging.ProblemReplayed {
		t.Errorf("a message of before the restart: %q, want %q", got, staging.ProblemReplayed)
	}
	ask := message(6)
	ask.IdleSeconds = 3600
	w.tell(t, c, ask)
	eventually(t, "it waits", w.quiet)
	if got := w.writes.count(); got != 0 {
		t.Fatalf("%d writes %s after the last of another life", got, 3*time.Second)
	}
	w.clock.Step(staging.ProgressInterval)
	w.settled(t, 1)
	told := w.status(t).Progress
	if !told.LastActivityTime.Time.Equal(now.Add(-4 * time.Second)) {
		t.Errorf("the last activity went back to %s", told.LastActivityTime)
	}
	if !told.LastUpdateTime.Time.Equal(now) {
		t.Errorf("last update %s, want when it came, %s", told.LastUpdateTime, now)
	}
}

func TestAnotherReplicasWriteCounts(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	w.tell(t, c, message(1))
	w.settled(t, 1)
	w.clock.Step(staging.ProgressInterval)
	var run v1alpha1.TrainingRun
	if err := w.kube.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "run-a"}, &run); err != nil {
		t.Fatal(err)
	}
	run.Status.Progress.Sequence = 4
	run.Status.Progress.LastUpdateTime = ptr.To(metav1.NewTime(w.clock.Now()))
	if err := w.kube.Status().Update(t.Context(), &run); err != nil {
		t.Fatal(err)
	}
	if got := reasonOf(c.Progress(t.Context(), message(4))); got != staging.ProblemReplayed {
		t.Errorf("what another replica took: %q, want %q", got, staging.ProblemReplayed)
	}
	w.tell(t, c, message(5))
	eventually(t, "it waits", w.quiet)
	if got := w.writes.count(); got != 1 {
		t.Errorf("%d writes right after another replica's", got)
	}
}

func TestProgressOfOtherNodesIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.nodes(4, 3)
	c := w.start(t)
	w.tell(t, c, message(9))
	if got := w.server.recorder.size(); got != 0 || w.writes.count() != 0 {
		t.Errorf("%d runs are remembered, %d writes were made", got, w.writes.count())
	}
}

// nodes makes the pod one of several.
func (w *world) nodes(count int32, node int) {
	w.job.Spec.Completions, w.job.Spec.Parallelism = ptr.To(count), ptr.To(count)
	w.run.Spec.Nodes.Count = ptr.To(count)
	w.pod.Annotations = map[string]string{batchv1.JobCompletionIndexAnnotation: strconv.Itoa(node)}
	w.pod.Spec.Hostname = w.job.Name + "-" + strconv.Itoa(node)
}

func TestANewPodBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.run.Status.Progress = &v1alpha1.Progress{
		Attempt: 1, PodUID: "another", Sequence: 1 << 40,
		LastActivityTime: ptr.To(metav1.NewTime(w.clock.Now())),
	}
	c := w.start(t)
	ask := message(1)
	ask.IdleSeconds = 20
	w.tell(t, c, ask)
	w.settled(t, 1)
	told := w.status(t).Progress
	if told.PodUID != podUID || told.Sequence != 1 || told.LastActivityTime.Time.Equal(w.clock.Now()) {
		t.Errorf("progress %+v, want that of the new pod", told)
	}
}

func TestRunsAreForgotten(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		then func(*testing.T, *world)
		want int
	}{
		"not while they go on": {want: 1},
		"not while something is held back": {want: 1, then: func(t *testing.T, w *world) {
			t.Helper()
			w.run.Status.State = v1alpha1.RunSucceeded
			w.server.recorder.records[runUID].pending = true
		}},
		"when they have ended": {then: func(t *testing.T, w *world) {
			t.Helper()
			w.finish(t)
		}},
		"when they are gone": {then: func(t *testing.T, w *world) {
			t.Helper()
			if err := w.kube.Delete(t.Context(), w.run); err != nil {
				t.Fatal(err)
			}
		}},
		"when they are silent": {then: func(_ *testing.T, w *world) { w.clock.Step(recordLife) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			c := w.start(t)
			w.tell(t, c, message(1))
			w.settled(t, 1)
			if tc.then != nil {
				tc.then(t, w)
			}
			w.server.recorder.sweep(t.Context())
			if got := w.server.recorder.size(); got != tc.want {
				t.Errorf("%d runs are remembered, want %d", got, tc.want)
			}
		})
	}
}

// finish ends the run in the cluster.
func (w *world) finish(t *testing.T) {
	t.Helper()
	var run v1alpha1.TrainingRun
	if err := w.kube.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "run-a"}, &run); err != nil {
		t.Fatal(err)
	}
	run.Status.State = v1alpha1.RunSucceeded
	if err := w.kube.Status().Update(t.Context(), &run); err != nil {
		t.Fatal(err)
	}
}

func TestARunThatEndsIsRefusedAtOnceAlsoToARememberedPod(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	w.tell(t, c, message(1))
	w.finish(t)
	if got := reasonOf(c.Progress(t.Context(), message(2))); got != staging.ProblemRunEnded {
		t.Errorf("reason %q, want %q", got, staging.ProblemRunEnded)
	}
}

func TestRecordsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.start(t)
	r := w.server.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range maxRecords {
		if r.recordOf(types.NamespacedName{}, types.UID(strconv.Itoa(i))) == nil {
			t.Fatalf("run %d has no room", i)
		}
	}
	if r.recordOf(types.NamespacedName{}, "one more") != nil {
		t.Error("there is more room than there should be")
	}
	w.clock.Step(staging.ProgressInterval)
	r.records["7"].pending = true
	if r.recordOf(types.NamespacedName{}, "one more") == nil || len(r.records) != 2 {
		t.Errorf("%d records, want what is held back and the new one", len(r.records))
	}
}

func TestATokenOfMemoryCostsOneReview(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	for n := int64(1); n <= 3; n++ {
		w.tell(t, c, message(n))
		if _, err := c.Log(t.Context(), staging.LogRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.tokens.count(); got != 1 {
		t.Errorf("%d reviews, want one", got)
	}
}

func TestFloodsOfOnePodAreRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		ask   func(ctx context.Context, c *brokerclient.Client, n int64) error
		burst int
		every time.Duration
	}{
		"of progress": {
			func(ctx context.Context, c *brokerclient.Client, n int64) error { return c.Progress(ctx, message(n)) },
			progressBurst, 5 * time.Second,
		},
		"of checkpoints": {
			func(ctx context.Context, c *brokerclient.Client, n int64) error {
				return c.Checkpoint(ctx, stored(int(n)))
			},
			progressBurst, 5 * time.Second,
		},
		"of logs": {
			func(ctx context.Context, c *brokerclient.Client, _ int64) error {
				_, err := c.Log(ctx, staging.LogRequest{})
				return err
			},
			logBurst, 250 * time.Millisecond,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			c := w.start(t)
			var n int64
			ask := func() string {
				n++
				err := tc.ask(t.Context(), c, n)
				if err != nil && reasonOf(err) == "" {
					t.Fatal(err)
				}
				return reasonOf(err)
			}
			for range tc.burst {
				if got := ask(); got != "" {
					t.Fatalf("request %d: %q", n, got)
				}
			}
			if got := ask(); got != staging.ProblemTooMany {
				t.Errorf("one more: %q, want %q", got, staging.ProblemTooMany)
			}
			w.clock.Step(tc.every)
			if got := ask(); got != "" {
				t.Errorf("after %s: %q", tc.every, got)
			}
			// What one pod asks for too often does not keep its namespace from grants.
			if _, err := c.Stage(t.Context(), staging.StepStageOut); err != nil {
				t.Errorf("a grant beside the flood: %v", err)
			}
		})
	}
}

func TestMessagesThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		body   string
		status int
	}{
		"a number beyond all":      {`{"sequence":1,"percent":1e999,"idleSeconds":0}`, 400},
		"what is no number":        {`{"sequence":1,"metrics":{"loss":NaN}}`, 400},
		"a metric of words":        {`{"sequence":1,"metrics":{"loss":"low"}}`, 400},
		"no sequence":              {`{"idleSeconds":0}`, 400},
		"a sequence of nothing":    {`{"sequence":0}`, 400},
		"a negative sequence":      {`{"sequence":-5}`, 400},
		"a sequence beyond counts": {`{"sequence":9007199254740992}`, 400},
		"a fraction of a step":     {`{"sequence":1,"step":1.5}`, 400},
		"another pod's":            {`{"sequence":1,"podUID":"other"}`, 400},
		"too large":                {`{"sequence":1,"metrics":{"` + strings.Repeat("x", smallBody) + `":1}}`, 413},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.start(t)
			res, problem := w.raw(t, http.MethodPost, staging.PathProgress, tc.body)
			if res.StatusCode != tc.status || problem.Reason != staging.ProblemMalformed {
				t.Errorf("got %d %+v, want %d", res.StatusCode, problem, tc.status)
			}
			if w.writes.count() != 0 {
				t.Error("something was written")
			}
		})
	}
}

// valuePattern is api/v1alpha1's of a metric's value.
var valuePattern = regexp.MustCompile(`^-?[0-9]+([.][0-9]+)?(e[+-]?[0-9]+)?$`)

// FuzzProgressRequest: whatever a pod sends, what is made of it fits into a status.
func FuzzProgressRequest(f *testing.F) {
	f.Add([]byte(`{"sequence":1,"percent":99.99,"epoch":1,"metrics":{"loss":1e-300,"l\u202eoss":2},"remainingSeconds":5,"idleSeconds":1}`), int64(0))
	f.Add([]byte(`{"sequence":9007199254740991,"percent":-1e308,"step":-1,"totalSteps":9223372036854775807,"idleSeconds":-9}`), int64(1<<40))
	f.Add([]byte(`{"sequence":2,"metrics":{"":1," ":2,"\u0000":3,"ééééééééééééééééééééééééééééééééé":4}}`), int64(-1))
	now := time.Date(2026, 9, 1, 12, 0, 0, 999, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte, more int64) {
		var ask staging.ProgressRequest
		if json.Unmarshal(body, &ask) != nil {
			return
		}
		ask.IdleSeconds += more
		told := toldProgress(ask, member{attempt: 3, caller: identity{podUID: podUID}}, now)
		if told.Percent != nil && (*told.Percent < 0 || *told.Percent > 100) {
			t.Errorf("percent %d", *told.Percent)
		}
		for _, count := range []*int64{told.Epoch, told.Epochs, told.Step, told.TotalSteps} {
			if count != nil && (*count < 0 || *count > maxCount) {
				t.Errorf("count %d", *count)
			}
		}
		if told.LastActivityTime.After(now) || told.LastUpdateTime.After(now) {
			t.Error("something is in the future")
		}
		if end := told.EstimatedCompletionTime; end != nil && (end.Time.Before(now.Truncate(time.Second)) || end.Year() > 2037) {
			t.Errorf("the end is at %s", end)
		}
		checkMetrics(t, told.Metrics)
		if _, err := json.Marshal(configuration(&v1alpha1.TrainingRun{}, &told, nil)); err != nil {
			t.Errorf("it can not be sent: %v", err)
		}
	})
}

func checkMetrics(t *testing.T, metrics []v1alpha1.Metric) {
	t.Helper()
	names := map[string]bool{}
	for _, metric := range metrics {
		if metric.Name == "" || len(metric.Name) > maxMetricName || names[metric.Name] || !utf8.ValidString(metric.Name) ||
			strings.ContainsFunc(metric.Name, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("name %q", metric.Name)
		}
		names[metric.Name] = true
		value, err := strconv.ParseFloat(metric.Value, 64)
		if err != nil || math.IsInf(value, 0) || len(metric.Value) > 32 || !valuePattern.MatchString(metric.Value) {
			t.Errorf("value %q: %v", metric.Value, err)
		}
	}
	if len(metrics) > maxMetrics {
		t.Errorf("%d metrics", len(metrics))
	}
}
