package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// TestCacheIsTheManagers: what is measured here must be what the manager holds.
func TestCacheIsTheManagers(t *testing.T) {
	t.Parallel()
	ours, err := os.ReadFile("cache.go")
	if err != nil {
		t.Fatal(err)
	}
	managers, err := os.ReadFile("../../../../cmd/manager/cache.go")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(string(managers), "package main\n", "package runs\n", 1)
	if diff := cmp.Diff(want, string(ours)); diff != "" {
		t.Errorf("copy cmd/manager/cache.go (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"no runs":                   {"-runs", "0"},
		"an argument too many":      {"all"},
		"a part that is none":       {"-parts", "create,all"},
		"one number of runs":        {"-finished", "10"},
		"numbers in the wrong way":  {"-finished", "20,10"},
		"a number that is none":     {"-finished", "many,10"},
		"a flag that there is none": {"-fast"},
	} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	o, err := parse([]string{"-parts", "rest"}, io.Discard)
	if err != nil || o.times(3, partCreate) != 0 || o.times(1, partFleet, partRest) != 1 {
		t.Errorf("of the part rest comes %+v: %v", o, err)
	}
}

const auditLog = `{"stage":"ResponseComplete","verb":"create","objectRef":{"resource":"jobs","namespace":"fleet","name":"a"},"responseStatus":{"code":201}}
{"stage":"ResponseComplete","verb":"create","objectRef":{"resource":"jobs","namespace":"fleet","name":"a"},"responseStatus":{"code":201}}
{"stage":"ResponseComplete","verb":"create","objectRef":{"resource":"jobs","namespace":"fleet","name":"b"},"responseStatus":{"code":409}}
{"stage":"ResponseStarted","verb":"create","objectRef":{"resource":"jobs","namespace":"fleet","name":"c"},"responseStatus":{"code":201}}
{"stage":"ResponseComplete","verb":"patch","objectRef":{"resource":"trainingruns","subresource":"status","namespace":"fleet","name":"a"},"responseStatus":{"code":200}}
{"stage":"ResponseComplete","verb":"create","objectRef":{"resource":"events","namespace":"fleet"},"responseStatus":{"code":201}}
`

func TestReadAudit(t *testing.T) {
	t.Parallel()
	got, err := readAudit(strings.NewReader(auditLog + `{"stage":"Resp`))
	want := writes{
		by: map[write]int{
			{"create", "jobs", "fleet"}: 2, {"patch", "trainingruns/status", "fleet"}: 1, {"create", "events", "fleet"}: 1,
		},
		jobs: map[string]int{"fleet/a": 2}, failed: 1,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(writes{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got.total("fleet") != 3 || got.total("other") != 0 || got.sum() != 5 {
		t.Errorf("in total %d and %d, in sum %d", got.total("fleet"), got.total("other"), got.sum())
	}
	if _, err := readAudit(strings.NewReader("hello\n")); err == nil {
		t.Error("a log that is none is understood")
	}
}

func TestArrivalsAndQuantiles(t *testing.T) {
	t.Parallel()
	due := arrivals(rand.New(rand.NewPCG(1, 2)), 100, 20)
	if len(due) != 2000 || !slices.IsSorted(due) || due[0] < 0 || due[1999] > 20*time.Second {
		t.Errorf("%d arrivals from %s to %s", len(due), due[0], due[len(due)-1])
	}
	if slices.Max(gaps(due)) < 3*slices.Max(gaps([]time.Duration{0, 10 * time.Millisecond})) {
		t.Error("the arrivals are even")
	}
	all := []time.Duration{4, 1, 3, 2}
	for part, want := range map[float64]time.Duration{0: 1, 0.5: 2, 0.75: 3, 0.99: 4, 1: 4} {
		if got := quantile(all, part); got != want {
			t.Errorf("the quantile %v is %d, want %d", part, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("the quantile of nothing is %d", got)
	}
}

func gaps(due []time.Duration) (all []time.Duration) {
	for i := range due[1:] {
		all = append(all, due[i+1]-due[i])
	}
	return all
}

func TestCPUIn(t *testing.T) {
	t.Parallel()
	got, err := cpuIn("12 (a ) name) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0")
	if err != nil || got != 3*time.Second {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := cpuIn("12 (short) S 1"); err == nil {
		t.Error("too little is understood")
	}
}

func TestJobsOfOtherRuns(t *testing.T) {
	t.Parallel()
	labels := map[string]string{batchv1.ControllerUidLabel: "uid-j", "lethe.dev/run-uid": "uid-1"}
	from := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: "run-1", UID: "uid-j", ResourceVersion: "7", Labels: map[string]string{"lethe.dev/run-uid": "uid-1"},
			OwnerReferences: []metav1.OwnerReference{{Name: "run-1", UID: "uid-1"}},
		},
		Spec: batchv1.JobSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}},
		},
	}
	got, err := againJob(from, strings.NewReplacer("run-1", "run-2", "uid-1", "uid-2"))
	if err != nil {
		t.Fatal(err)
	}
	want := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: "run-2", Labels: map[string]string{"lethe.dev/run-uid": "uid-2"},
			OwnerReferences: []metav1.OwnerReference{{Name: "run-2", UID: "uid-2"}},
		},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"lethe.dev/run-uid": "uid-2"}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the Job (-want +got):\n%s", diff)
	}
}

// TestStagesLeaveReports: a run ends well only with what a stager would have said.
func TestStagesLeaveReports(t *testing.T) {
	t.Parallel()
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(stages), 4096)
	found := map[staging.Step]staging.Report{}
	for {
		var stage struct {
			Kind string
			Spec struct {
				Next struct{ StatusTemplate string }
			}
		}
		err := documents.Decode(&stage)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(stage.Spec.Next.StatusTemplate) {
			_, message, ok := strings.Cut(strings.TrimSpace(line), "message: '")
			if !ok {
				continue
			}
			if report, ok := staging.ParseReport(strings.TrimSuffix(message, "'")); ok {
				found[report.Step] = report
			}
		}
	}
	if found[staging.StepStageIn].Objects == 0 || !found[staging.StepStageOut].Published {
		t.Errorf("the stages leave the reports %+v", found)
	}
}

// measured are results with which all is kept.
func measured() results {
	return results{
		bursts: []pair{
			{ours: burst{took: 10 * time.Second, cpu: 10 * time.Second}, bare: burst{took: 7 * time.Second, cpu: 6 * time.Second}},
			{ours: burst{took: 20 * time.Second, cpu: 10 * time.Second}, bare: burst{took: 6 * time.Second, cpu: 6 * time.Second}},
		},
		latencies: []time.Duration{time.Second / 10, time.Second / 2},
		fleet:     &fleetResult{runs: 4, succeeded: 4, once: 4, jobs: 4, run: 2, job: 1, dataset: 2},
		rests:     []restResult{{runs: 1000, heap: 20 << 20, resident: 60 << 20}, {runs: 2000, heap: 30 << 20, resident: 70 << 20}},
	}
}

func TestBars(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*results)
		missed []string
	}{
		"all is kept":      {change: func(*results) {}},
		"nothing measured": {change: func(r *results) { *r = results{} }},
		"Jobs come slowly": {
			change: func(r *results) { r.bursts[0].ours.took = 11 * time.Second },
			missed: []string{"child Jobs >= 0.6 x the rate of a bare client"},
		},
		"one Job comes late": {
			change: func(r *results) { r.latencies[0] = time.Second },
			missed: []string{"p99 from create to Job < 1s at a steady rate"},
		},
		"a run is lost": {
			change: func(r *results) { r.fleet.succeeded = 3 },
			missed: []string{"of 4 runs none lost over a kill of the operator"},
		},
		"a Job is made twice":    {change: func(r *results) { r.fleet.twice = 1 }, missed: []string{"no Job twice"}},
		"a second attempt":       {change: func(r *results) { r.fleet.once = 3 }, missed: []string{"no Job twice"}},
		"a write too many":       {change: func(r *results) { r.fleet.run = 2.01 }, missed: []string{"writes on run and Job <= 3 a run beside the finalizer"}},
		"one on the dataset":     {change: func(r *results) { r.fleet.dataset = 2.1 }, missed: []string{"writes on the dataset <= 2 a run"}},
		"too much memory":        {change: func(r *results) { r.rests[1].resident = 76 << 20 }, missed: []string{"memory <= 15 KiB for each finished run"}},
		"too large a heap":       {change: func(r *results) { r.rests[1].heap = 36 << 20 }, missed: []string{"memory <= 15 KiB for each finished run"}},
		"it writes without need": {change: func(r *results) { r.rests[1].quiet = 1 }, missed: []string{"no write at rest with 2000 finished runs"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := measured()
			c.change(&r)
			var missed []string
			for _, b := range r.bars() {
				if !b.kept {
					missed = append(missed, b.promise)
				}
			}
			if diff := cmp.Diff(c.missed, missed); diff != "" {
				t.Errorf("missed (-want +got):\n%s", diff)
			}
			var out strings.Builder
			if kept := r.print(&out); kept != (len(c.missed) == 0) || strings.Contains(out.String(), "MISSED") == kept {
				t.Errorf("the report says %v:\n%s", kept, out.String())
			}
		})
	}
}

func TestOperatorIsNotForPeople(t *testing.T) {
	t.Parallel()
	env := Environment{Getenv: func(string) string { return "" }, Stdout: io.Discard, Stderr: io.Discard}
	if err := Operate(t.Context(), env, strings.NewReader("")); err == nil {
		t.Error("it starts by hand")
	}
	var a account
	var out bytes.Buffer
	if err := answer(&out); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil || a.Heap == 0 || a.Resident == 0 || a.CPU == 0 {
		t.Errorf("the account is %+v: %v", a, err)
	}
}
