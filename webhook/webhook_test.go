package webhook

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// TestRunsAreJudged asks a real API server, which asks ours.
func TestRunsAreJudged(t *testing.T) {
	t.Parallel()
	cluster, _ := serve(t)
	free := newNamespace(t, cluster, nil)
	poor := newNamespace(t, cluster, map[string]string{v1alpha1.AnnotationGPUAllowance: "2"})
	for _, namespace := range []string{free, poor} {
		d := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sealed"}, Spec: v1alpha1.DatasetRetentionSpec{Sealed: true}}
		if err := cluster.Client.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	going := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: free, Name: "going", Finalizers: []string{v1alpha1.FinalizerErase}}}
	if err := cluster.Client.Create(t.Context(), going); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Client.Delete(t.Context(), going); err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{v1alpha1.LabelGPUProduct: "NVIDIA-H200"}}}
	if err := cluster.Client.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	on := func(dataset string) func(*v1alpha1.TrainingRun) {
		return func(r *v1alpha1.TrainingRun) { r.Spec.DatasetRef.Name = dataset }
	}
	gpus := func(product string, each int32) func(*v1alpha1.TrainingRun) {
		return func(r *v1alpha1.TrainingRun) { r.Spec.Nodes = v1alpha1.Nodes{GPUProduct: product, GPUsPerNode: &each} }
	}
	bound := func(r *v1alpha1.TrainingRun) { r.Spec.Limits.MaxGPUSeconds = ptr.To[int64](9000) }
	tag := func(r *v1alpha1.TrainingRun) { r.Spec.Trainer.Image = "registry.evil/miner:v1" }
	cases := map[string]struct {
		namespace     string
		changes       []func(*v1alpha1.TrainingRun)
		warns, refuse string
	}{
		"all is well":                         {namespace: free, changes: []func(*v1alpha1.TrainingRun){on("sealed")}},
		"all is well at a tenant's":           {namespace: poor, changes: []func(*v1alpha1.TrainingRun){on("sealed"), bound}},
		"no dataset":                          {namespace: free, warns: `no dataset "digits"`},
		"another namespace's dataset":         {namespace: poor, changes: []func(*v1alpha1.TrainingRun){on("going"), bound}, warns: `no dataset "going"`},
		"a dataset that goes":                 {namespace: free, changes: []func(*v1alpha1.TrainingRun){on("going")}, refuse: "being erased"},
		"GPUs that a node has":                {namespace: free, changes: []func(*v1alpha1.TrainingRun){on("sealed"), gpus("NVIDIA-H200", 1)}},
		"GPUs that no node has":               {namespace: free, changes: []func(*v1alpha1.TrainingRun){on("sealed"), gpus("NVIDIA-H2000", 1)}, warns: "no node has GPUs"},
		"more GPUs than there may be":         {namespace: poor, changes: []func(*v1alpha1.TrainingRun){on("sealed"), gpus("", 3), bound}, refuse: "this namespace may have 2"},
		"any GPUs where nobody counts":        {namespace: free, changes: []func(*v1alpha1.TrainingRun){on("sealed"), gpus("", 16)}},
		"any image where nobody minds":        {namespace: free, changes: []func(*v1alpha1.TrainingRun){on("sealed"), tag}},
		"any image at a tenant's":             {namespace: poor, changes: []func(*v1alpha1.TrainingRun){on("sealed"), tag, bound}, refuse: "neither pinned by its digest"},
		"several things, all of them at once": {namespace: poor, changes: []func(*v1alpha1.TrainingRun){tag, gpus("", 3)}, refuse: "spec.nodes", warns: "no dataset"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, options := range map[string][]client.CreateOption{"rehearsed": {client.DryRunAll}, "made": nil} {
				run := newRun(c.namespace, "")
				run.GenerateName = "run-"
				for _, change := range c.changes {
					change(run)
				}
				who, warned := as(t, cluster, "")
				err := who.Create(t.Context(), run, options...)
				switch {
				case c.refuse == "" && err != nil:
					t.Errorf("%s: refused: %v", what, err)
				case c.refuse != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.refuse)):
					t.Errorf("%s: error %v, want one that says %q", what, err, c.refuse)
				}
				if got := warned.String(); (got == "") != (c.warns == "") || !strings.Contains(got, c.warns) {
					t.Errorf("%s: warned of %q, want %q", what, got, c.warns)
				}
			}
		})
	}
}

func TestDatasetsAreJudged(t *testing.T) {
	t.Parallel()
	cluster, _ := serve(t)
	namespace := newNamespace(t, cluster, nil)
	who, warned := as(t, cluster, "")
	d := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "digits"}}
	d.Spec.Retention.MaxAge = &metav1.Duration{Duration: 4000 * time.Hour}
	if err := who.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got := warned.String(); !strings.Contains(got, "2160h0m0s at most") {
		t.Errorf("warned of %q", got)
	}
	before := d.DeepCopy()
	d.Status.Erasure = &v1alpha1.ErasureStatus{StartTime: metav1.NewTime(noon()), KeyDestroyedTime: ptr.To(metav1.NewTime(noon()))}
	if err := who.Status().Patch(t.Context(), d, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	before = d.DeepCopy()
	d.Spec.Hold = &v1alpha1.Hold{Reason: "case-1", Until: metav1.NewTime(noon().Add(time.Hour))}
	if err := who.Patch(t.Context(), d, client.MergeFrom(before)); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "too late") {
		t.Errorf("a hold that comes too late: %v", err)
	}
}

// TestWhoIsNotAsked: what changes nothing, and the operator, cost no question.
func TestWhoIsNotAsked(t *testing.T) {
	t.Parallel()
	cluster, _ := serve(t)
	namespace := newNamespace(t, cluster, nil)
	run := newRun(namespace, "mine")
	run.Status.State = v1alpha1.RunSucceeded
	if err := cluster.Client.Create(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	run.Status.State = v1alpha1.RunSucceeded
	if err := cluster.Client.Status().Update(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	who, warned := as(t, cluster, "")
	operator, unwarned := as(t, cluster, v1alpha1.OperatorUser)
	change := func(c client.Client, change func(*v1alpha1.TrainingRun)) {
		t.Helper()
		before := run.DeepCopy()
		change(run)
		if err := c.Patch(t.Context(), run, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	change(who, func(r *v1alpha1.TrainingRun) {
		r.Labels, r.Finalizers = map[string]string{"a": "b"}, []string{"example.com/x"}
	})
	change(operator, func(r *v1alpha1.TrainingRun) { r.Spec.Suspend = true })
	if err := operator.Create(t.Context(), newRun(namespace, "operators"), client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if got := warned.String() + unwarned.String(); got != "" {
		t.Errorf("somebody was asked, who warned of %q", got)
	}
	// Whether the spec of a very large run has changed is within the API server's budget.
	large := newRun(namespace, "large")
	for range 110 {
		large.Spec.Trainer.Args = append(large.Spec.Trainer.Args, strings.Repeat("w", 4096))
	}
	if err := cluster.Client.Create(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	before := large.DeepCopy()
	large.Labels = map[string]string{"a": "b"}
	if err := who.Patch(t.Context(), large, client.MergeFrom(before)); err != nil {
		t.Errorf("a label of a large run: %v", err)
	}
	change(who, func(r *v1alpha1.TrainingRun) { r.Spec.Suspend = false })
	if got := warned.String(); !strings.Contains(got, "has ended (Succeeded)") {
		t.Errorf("nobody was asked when the spec changed: %q", got)
	}
}

// TestNobodyAnswers is an operator that is down: nothing waits for it.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	cluster, _ := serve(t)
	namespace := newNamespace(t, cluster, nil)
	dead, err := configuration()
	if err != nil {
		t.Fatal(err)
	}
	dead.Name = "dead"
	for i := range dead.Webhooks {
		hook := &dead.Webhooks[i]
		if timeout := ptr.Deref(hook.TimeoutSeconds, 10); timeout > 3 {
			t.Errorf("%s keeps people waiting for %d s", hook.Name, timeout)
		}
		// As config/webhook before the operator has filled it in: no such Service.
		hook.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}
	}
	if err := cluster.Client.Create(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	for i := range 5 { // some of them after the API server has heard of it
		run := newRun(namespace, "")
		run.GenerateName = "run-"
		if err := cluster.Client.Create(t.Context(), run); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}

func (r *reader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	r.asked++
	if r.err != nil {
		return r.err
	}
	o, is := r.objects[key.String()]
	if !is {
		return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("things").GroupResource(), key.Name)
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (r *reader) List(context.Context, client.ObjectList, ...client.ListOption) error {
	r.asked++
	return r.err
}

func tenantOf(allowance string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Labels: map[string]string{v1alpha1.LabelTenant: "t-1"}, Annotations: map[string]string{v1alpha1.AnnotationGPUAllowance: allowance},
	}}
}

func TestLooksTwiceBeforeItSaysAnything(t *testing.T) {
	t.Parallel()
	ready := &v1alpha1.DatasetRetention{Spec: v1alpha1.DatasetRetentionSpec{Sealed: true}}
	world := func(allowance string, dataset client.Object) map[string]client.Object {
		all := map[string]client.Object{"/team-a": tenantOf(allowance)}
		if dataset != nil {
			all["team-a/digits"] = dataset
		}
		return all
	}
	cases := map[string]struct {
		cached, live reader
		refused      bool
		warnings     int
		// asked says that the API server was.
		asked bool
	}{
		"the cache has nothing against it":  {cached: reader{objects: world("1", ready)}},
		"the allowance was just raised":     {cached: reader{objects: world("0", ready)}, live: reader{objects: world("1", ready)}, asked: true},
		"the dataset was just made":         {cached: reader{objects: world("1", nil)}, live: reader{objects: world("1", ready)}, asked: true},
		"the allowance is not enough":       {cached: reader{objects: world("0", ready)}, live: reader{objects: world("0", ready)}, refused: true, asked: true},
		"the API server does not answer":    {cached: reader{objects: world("0", nil)}, live: reader{err: errDown}, asked: true},
		"nothing can be read":               {cached: reader{err: errDown}, live: reader{err: errDown}},
		"there is no such dataset, nowhere": {cached: reader{objects: world("1", nil)}, live: reader{objects: world("1", nil)}, warnings: 1, asked: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := newRun("team-a", "digits-1")
			run.Spec.Limits.MaxGPUSeconds = ptr.To[int64](9000)
			v := runs{cached: &c.cached, live: &c.live}
			v.images.Registries = []string{"registry.example/team/"}
			warnings, err := v.ValidateCreate(t.Context(), run)
			if (err != nil) != c.refused || len(warnings) != c.warnings || (c.live.asked > 0) != c.asked {
				t.Errorf("%v, %q, the API server was asked %d times", err, warnings, c.live.asked)
			}
		})
	}
}
