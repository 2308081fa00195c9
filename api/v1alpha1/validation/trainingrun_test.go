package validation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
)

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func newRun(changes ...func(*v1alpha1.TrainingRun)) *v1alpha1.TrainingRun {
	run := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "digits-1"},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"},
			Trainer:    v1alpha1.Trainer{Image: "registry.example/trainer" + digest},
			Limits:     v1alpha1.Limits{MaxDuration: hours(1)},
		},
	}
	for _, change := range changes {
		change(run)
	}
	return run
}

func hours(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }

func sealed() *v1alpha1.DatasetRetention {
	return &v1alpha1.DatasetRetention{Spec: v1alpha1.DatasetRetentionSpec{Sealed: true}}
}

// paying is a tenant with four GPUs.
func paying() *validation.Tenant {
	return validation.TenantOf(map[string]string{v1alpha1.LabelTenant: "t-1"}, map[string]string{v1alpha1.AnnotationGPUAllowance: "4"})
}

func tenantWith(key, value string) *validation.Tenant {
	annotations := map[string]string{v1alpha1.AnnotationGPUAllowance: "4"}
	annotations[key] = value
	return validation.TenantOf(map[string]string{v1alpha1.LabelTenant: ""}, annotations)
}

// texts are the errors and warnings, each on one line.
func texts(errs field.ErrorList, warnings []string) []string {
	var all []string
	for _, err := range errs {
		all = append(all, "error: "+err.Error())
	}
	for _, w := range warnings {
		all = append(all, "warning: "+w)
	}
	return all
}

// expect says that exactly these are there, each by a part of its text.
func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	for _, text := range got {
		if strings.HasPrefix(text, "warning: ") && len(text) > len("warning: ")+256 {
			t.Errorf("clients cut a warning of %d characters: %s", len(text), text)
		}
	}
	ok := len(got) == len(want)
	for _, one := range want {
		kind, part, _ := strings.Cut(one, ": ")
		ok = ok && slices.ContainsFunc(got, func(text string) bool {
			return strings.HasPrefix(text, kind+": ") && strings.Contains(text, part)
		})
	}
	if !ok {
		t.Errorf("got (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func TestNewRun(t *testing.T) {
	t.Parallel()
	gpus := func(count, each int32) func(*v1alpha1.TrainingRun) {
		return func(r *v1alpha1.TrainingRun) {
			r.Spec.Nodes.Count, r.Spec.Nodes.GPUsPerNode = ptr.To(count), ptr.To(each)
		}
	}
	image := func(name string) func(*v1alpha1.TrainingRun) {
		return func(r *v1alpha1.TrainingRun) { r.Spec.Trainer.Image = name }
	}
	from := func(name string) func(*v1alpha1.TrainingRun) {
		return func(r *v1alpha1.TrainingRun) {
			r.Spec.Checkpoint = v1alpha1.Checkpointing{Resume: v1alpha1.ResumeFrom, From: &v1alpha1.CheckpointReference{RunName: name}}
		}
	}
	env := func(name, value string) func(*v1alpha1.TrainingRun) {
		return func(r *v1alpha1.TrainingRun) { r.Spec.Trainer.Env = []v1alpha1.EnvVar{{Name: name, Value: value}} }
	}
	going, broken := sealed(), sealed()
	going.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	broken.Status.State = v1alpha1.DatasetInvalid
	registries := validation.Images{Registries: []string{"registry.example/team/"}, Exactly: []string{"stager:1"}}
	cases := map[string]struct {
		run   *v1alpha1.TrainingRun
		facts validation.RunFacts
		want  []string
	}{
		"nothing is known and nothing said":      {run: newRun(gpus(64, 16), image("x:1"))},
		"all is well":                            {run: newRun(), facts: validation.RunFacts{Tenant: paying(), Dataset: sealed()}},
		"as many GPUs as there may be":           {run: newRun(gpus(2, 2)), facts: validation.RunFacts{Tenant: paying()}},
		"one GPU too many":                       {run: newRun(gpus(1, 5)), facts: validation.RunFacts{Tenant: paying()}, want: []string{"error: asks for 5 GPUs at once and this namespace may have 4"}},
		"too many nodes":                         {run: newRun(gpus(5, 1)), facts: validation.RunFacts{Tenant: paying()}, want: []string{"error: make count or gpusPerNode smaller"}},
		"GPUs where there are none":              {run: newRun(), facts: validation.RunFacts{Tenant: tenantWith(v1alpha1.AnnotationGPUAllowance, "0")}, want: []string{"error: set gpusPerNode to 0 to train on CPUs"}},
		"GPUs where the allowance is nonsense":   {run: newRun(), facts: validation.RunFacts{Tenant: tenantWith(v1alpha1.AnnotationGPUAllowance, "1e9")}, want: []string{"error: lethe.dev/gpu-allowance"}},
		"GPUs where the allowance is negative":   {run: newRun(), facts: validation.RunFacts{Tenant: tenantWith(v1alpha1.AnnotationGPUAllowance, "-4")}, want: []string{"error: lethe.dev/gpu-allowance"}},
		"no GPUs where there are none":           {run: newRun(gpus(3, 0)), facts: validation.RunFacts{Tenant: tenantWith(v1alpha1.AnnotationGPUAllowance, "0")}},
		"a tag of any registry":                  {run: newRun(image("nginx:1.27")), facts: validation.RunFacts{Tenant: paying()}, want: []string{"error: spec.trainer.image"}},
		"a tag of a registry that is allowed":    {run: newRun(image("registry.example/team/t:1")), facts: validation.RunFacts{Tenant: paying(), Images: registries}},
		"a tag of a registry that looks like it": {run: newRun(image("registry.example/team-b/t:1")), facts: validation.RunFacts{Tenant: paying(), Images: registries}, want: []string{"error: allowed here: registry.example/team/"}},
		"no tag":                                 {run: newRun(image("registry.example/team/t")), facts: validation.RunFacts{Tenant: paying(), Images: registries}, want: []string{"warning: another image tomorrow"}},
		"the newest":                             {run: newRun(image("localhost:5000/t:latest")), want: []string{"warning: another image tomorrow"}},
		"no tag, a port":                         {run: newRun(image("localhost:5000/t")), want: []string{"warning: another image tomorrow"}},
		"suspended":                              {run: newRun(), facts: validation.RunFacts{Tenant: tenantWith(v1alpha1.AnnotationBilling, "Suspended")}, want: []string{"warning: PaymentRequired"}},
		"suspended by a slip":                    {run: newRun(), facts: validation.RunFacts{Tenant: tenantWith(v1alpha1.AnnotationBilling, "active")}, want: []string{"warning: PaymentRequired"}},
		"no dataset yet":                         {run: newRun(), facts: validation.RunFacts{NoDataset: true}, want: []string{`warning: there is no dataset "digits"`}},
		"a dataset that is open":                 {run: newRun(), facts: validation.RunFacts{Dataset: &v1alpha1.DatasetRetention{}}, want: []string{"warning: still open for upload"}},
		"a dataset that goes":                    {run: newRun(), facts: validation.RunFacts{Dataset: going}, want: []string{"error: being erased"}},
		"a dataset that can not be used":         {run: newRun(), facts: validation.RunFacts{Dataset: broken}, want: []string{"error: can not be used"}},
		"GPUs that nobody has":                   {run: newRun(func(r *v1alpha1.TrainingRun) { r.Spec.Nodes.GPUProduct = "NVIDIA-H2000" }), facts: validation.RunFacts{NoSuchGPU: true}, want: []string{"warning: NVIDIA-H2000"}},
		"another run's checkpoint":               {run: newRun(from("digits-0"))},
		"no such run's checkpoint":               {run: newRun(from("digits-0")), facts: validation.RunFacts{NoSource: true}, want: []string{`warning: there is no run "digits-0"`}},
		"its own checkpoint":                     {run: newRun(from("digits-1")), want: []string{"error: checkpoint of its own"}},
		"shares for one node":                    {run: newRun(func(r *v1alpha1.TrainingRun) { r.Spec.DatasetRef.Distribution = v1alpha1.DistributionSharded }), want: []string{"warning: Sharded has no effect"}},
		"no bound, somewhere":                    {run: newRun(func(r *v1alpha1.TrainingRun) { r.Spec.Limits = v1alpha1.Limits{} })},
		"no bound, where it is paid for":         {run: newRun(func(r *v1alpha1.TrainingRun) { r.Spec.Limits = v1alpha1.Limits{} }), facts: validation.RunFacts{Tenant: paying()}, want: []string{"warning: neither maxGPUSeconds nor maxDuration"}},
		"a budget without GPUs":                  {run: newRun(gpus(1, 0), func(r *v1alpha1.TrainingRun) { r.Spec.Limits.MaxGPUSeconds = ptr.To[int64](5) }), want: []string{"warning: has no effect: the run has no GPUs"}},
		"a budget for seconds":                   {run: newRun(gpus(2, 2), func(r *v1alpha1.TrainingRun) { r.Spec.Limits.MaxGPUSeconds = ptr.To[int64](239) }), want: []string{"warning: less than a minute"}},
		"a budget for a minute":                  {run: newRun(gpus(2, 2), func(r *v1alpha1.TrainingRun) { r.Spec.Limits.MaxGPUSeconds = ptr.To[int64](240) })},
		"stalls that are never noticed":          {run: newRun(func(r *v1alpha1.TrainingRun) { r.Spec.Limits.StalledAfter = hours(1) }), want: []string{"warning: stalledAfter has no effect"}},
		"checkpoints that are never due":         {run: newRun(func(r *v1alpha1.TrainingRun) { r.Spec.Checkpoint.Interval = hours(1) }), want: []string{"warning: before the first checkpoint"}},
		"a password":                             {run: newRun(env("WANDB_api_key", "hunter2")), want: []string{"warning: value of WANDB_api_key"}},
		"a password that is empty":               {run: newRun(env("HF_TOKEN", ""))},
		"many things at once, all of them told":  {run: newRun(image("x"), gpus(1, 9)), facts: validation.RunFacts{Tenant: paying(), NoDataset: true}, want: []string{"error: spec.trainer.image", "error: spec.nodes", "warning: no dataset", "warning: tomorrow"}},
		"names that are as long as they may be":  {run: newRun(func(r *v1alpha1.TrainingRun) { r.Spec.DatasetRef.Name = strings.Repeat("d", 63) }), facts: validation.RunFacts{NoDataset: true}, want: []string{"warning: there is no dataset"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := c.run.DeepCopy()
			got := texts(validation.TrainingRun(nil, c.run, c.facts))
			expect(t, got, c.want...)
			for _, text := range got {
				if strings.Contains(text, "hunter2") {
					t.Errorf("a value is repeated: %s", text)
				}
			}
			if diff := cmp.Diff(before, c.run); diff != "" {
				t.Errorf("the run was changed:\n%s", diff)
			}
		})
	}
}

func TestChangedRun(t *testing.T) {
	t.Parallel()
	trained := func(state v1alpha1.RunState, seconds int64) *v1alpha1.TrainingRun {
		return newRun(func(r *v1alpha1.TrainingRun) {
			r.Status.State, r.Status.Usage = state, &v1alpha1.Usage{TrainingSeconds: seconds}
		})
	}
	suspend := func(r *v1alpha1.TrainingRun) { r.Spec.Suspend = true }
	longer := func(r *v1alpha1.TrainingRun) { r.Spec.Limits.MaxDuration = hours(2) }
	cases := map[string]struct {
		before *v1alpha1.TrainingRun
		change func(*v1alpha1.TrainingRun)
		want   []string
	}{
		"nothing changes":                 {trained(v1alpha1.RunRunning, 9999), func(*v1alpha1.TrainingRun) {}, nil},
		"a run is suspended":              {trained(v1alpha1.RunRunning, 10), suspend, nil},
		"a run that ended is suspended":   {trained(v1alpha1.RunSucceeded, 10), suspend, []string{"warning: has ended (Succeeded)"}},
		"a run that ended gets more time": {trained(v1alpha1.RunFailed, 10), longer, []string{"warning: has ended (Failed)"}},
		"a run gets more time":            {trained(v1alpha1.RunRunning, 10), longer, nil},
		"a run gets less than it took":    {trained(v1alpha1.RunRunning, 7200), longer, []string{"warning: trained for 2h0m0s already"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after := c.before.DeepCopy()
			c.change(after)
			// A tenant that could not make this run any more can still change it.
			facts := validation.RunFacts{Tenant: tenantWith(v1alpha1.AnnotationGPUAllowance, "0"), NoDataset: true}
			expect(t, texts(validation.TrainingRun(c.before, after, facts)), c.want...)
		})
	}
}

func TestTenantOf(t *testing.T) {
	t.Parallel()
	if got := validation.TenantOf(map[string]string{"lethe.dev/Tenant": "x"}, nil); got != nil {
		t.Errorf("another label makes a tenant: %v", got)
	}
	if got := validation.TenantOf(map[string]string{v1alpha1.LabelTenant: ""}, nil); got == nil || got.GPUs != 0 || got.Trouble == nil {
		t.Errorf("a tenant without an allowance: %+v", got)
	}
}
