package policies_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestStatusIsTheOperatorsOwn(t *testing.T) {
	t.Parallel()
	for where, labels := range map[string]map[string]string{"a tenant's namespace": {v1alpha1.LabelTenant: "t-1"}, "any namespace": nil} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			l := newLand(t, labels)
			of := run(l.namespace, "digits-1", allowedImage)
			of.Status.State = v1alpha1.RunSucceeded
			l.must(l.as(tenant).Create(t.Context(), of))
			if of.Status.State != "" {
				t.Errorf("a run was born %s", of.Status.State)
			}
			data := dataset(l.namespace, "digits")
			l.must(l.as(tenant).Create(t.Context(), data))
			for _, w := range []who{tenant, portal, staff, jobController} {
				forged := of.DeepCopy()
				forged.Status.Usage = &v1alpha1.Usage{GPUSeconds: 1}
				refused(t, l.as(w).Status().Patch(t.Context(), forged, client.MergeFrom(of)), "lethe-status", "written by the operator alone")
				moved := data.DeepCopy()
				moved.Status.Location = &v1alpha1.ObjectLocation{Bucket: "lethe-datasets", Prefix: "other/uid/"}
				refused(t, l.as(w).Status().Update(t.Context(), moved), "lethe-status", "written by the operator alone")
			}
			refused(t, l.cluster.Client.Status().Patch(t.Context(), of.DeepCopy(), client.RawPatch("application/merge-patch+json",
				[]byte(`{"status":{"state":"Succeeded"}}`))), "lethe-status", "written by the operator alone")
			seen := of.DeepCopy()
			seen.Status.State = v1alpha1.RunPending
			allowed(t, l.as(operator).Status().Patch(t.Context(), seen, client.MergeFrom(of)))
			// What is written to the main resource does not reach the status.
			before := seen.DeepCopy()
			seen.Status.State = v1alpha1.RunSucceeded
			allowed(t, l.as(tenant).Update(t.Context(), seen))
			l.must(l.cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(seen), seen))
			if diff := cmp.Diff(before.Status, seen.Status); diff != "" {
				t.Errorf("the status changed:\n%s", diff)
			}
		})
	}
}

func TestLimitsAreRaisedByThePortal(t *testing.T) {
	t.Parallel()
	l, free := newTenant(t), newLand(t, nil)
	const saysSeconds, saysDuration = "reserved for the run", "maxDuration"
	hours := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }
	limited := func(ns, name string) *v1alpha1.TrainingRun {
		of := run(ns, name, allowedImage)
		of.Spec.Limits = v1alpha1.Limits{MaxGPUSeconds: ptr.To[int64](100), MaxDuration: hours(2)}
		return of
	}
	bounded, open := limited(l.namespace, "bounded"), run(l.namespace, "open", allowedImage)
	l.must(l.as(portal).Create(t.Context(), bounded))
	l.must(l.as(portal).Create(t.Context(), open))
	attempts := map[string]struct {
		of     *v1alpha1.TrainingRun
		change func(*v1alpha1.Limits)
		says   string
	}{
		"raises its budget":           {bounded, func(l *v1alpha1.Limits) { l.MaxGPUSeconds = ptr.To[int64](101) }, saysSeconds},
		"raises its budget very much": {bounded, func(l *v1alpha1.Limits) { l.MaxGPUSeconds = ptr.To[int64](1<<63 - 1) }, saysSeconds},
		"raises its time":             {bounded, func(l *v1alpha1.Limits) { l.MaxDuration = hours(3) }, saysDuration},
		"takes its time away":         {bounded, func(l *v1alpha1.Limits) { l.MaxDuration = nil }, saysDuration},
		"lowers its time":             {bounded, func(l *v1alpha1.Limits) { l.MaxDuration = hours(1) }, ""},
		"writes its time differently": {bounded, func(l *v1alpha1.Limits) { l.MaxDuration = &metav1.Duration{Duration: 120 * time.Minute} }, ""},
		"changes another limit":       {bounded, func(l *v1alpha1.Limits) { l.StalledAfter = hours(1) }, ""},
		"bounds what had no bound":    {open, func(l *v1alpha1.Limits) { l.MaxDuration, l.MaxGPUSeconds = hours(1), ptr.To[int64](50) }, ""},
	}
	for name, a := range attempts {
		t.Run("the tenant "+name, func(t *testing.T) {
			t.Parallel()
			after := a.of.DeepCopy()
			a.change(&after.Spec.Limits)
			err := l.as(tenant).Patch(t.Context(), after.DeepCopy(), client.MergeFrom(a.of), client.DryRunAll)
			if a.says == "" {
				allowed(t, err)
			} else {
				refused(t, err, "lethe-limits", a.says)
			}
			for _, w := range []who{portal, staff} {
				allowed(t, l.as(w).Patch(t.Context(), after.DeepCopy(), client.MergeFrom(a.of), client.DryRunAll))
			}
		})
	}
	elsewhere := limited(free.namespace, "bounded")
	l.must(free.as(tenant).Create(t.Context(), elsewhere))
	after := elsewhere.DeepCopy()
	after.Spec.Limits.MaxGPUSeconds = ptr.To[int64](200)
	allowed(t, free.as(tenant).Patch(t.Context(), after, client.MergeFrom(elsewhere)))
	// The operator's own writes are not looked at, neither are a run's finalizers.
	before := bounded.DeepCopy()
	bounded.Finalizers = append(bounded.Finalizers, "example.com/audit")
	allowed(t, l.as(operator).Patch(t.Context(), bounded, client.MergeFrom(before)))
}

func TestRootFilesystemIsAsTheTierAllows(t *testing.T) {
	t.Parallel()
	l, free := newTenant(t), newLand(t, nil)
	made := func(l *land, root v1alpha1.RootFilesystem) error {
		of := run(l.namespace, "digits", allowedImage)
		of.Spec.Trainer.RootFilesystem = root
		return l.as(tenant).Create(t.Context(), of, client.DryRunAll)
	}
	refused(t, made(l, v1alpha1.RootWritable), "lethe-root-filesystem", "read-only root filesystems")
	for _, root := range []v1alpha1.RootFilesystem{"", v1alpha1.RootReadOnly} {
		allowed(t, made(l, root))
	}
	allowed(t, made(free, v1alpha1.RootWritable))
	l.tier(v1alpha1.AnnotationWritableRoot, "true", func() error { return made(l, v1alpha1.RootWritable) })
	p := pod(l.namespace, "writes")
	p.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem = ptr.To(false)
	allowed(t, l.as(jobController).Create(t.Context(), p, client.DryRunAll))
}

func TestStagersAreNotEntered(t *testing.T) {
	t.Parallel()
	l, free := newTenant(t), newLand(t, nil)
	into := func(l *land, w who, container string) error {
		return execInto(t.Context(), l.configOf(w), client.ObjectKey{Namespace: l.namespace, Name: "nobody"}, container)
	}
	const says = "only the container \"trainer\""
	for _, container := range []string{"stage-in", "stage-out", "", "Trainer"} {
		refused(t, into(l, tenant, container), "lethe-exec", says)
	}
	for what, err := range map[string]error{
		"the trainer": into(l, tenant, "trainer"), "a stager, by staff": into(l, staff, "stage-out"), "a stager elsewhere": into(free, tenant, "stage-out"),
	} {
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s: %v, want that there is no such Pod", what, err)
		}
	}
}

func TestRunIsBornWithItsFinalizer(t *testing.T) {
	t.Parallel()
	l := newLand(t, nil)
	for name, c := range map[string]struct{ has, want []string }{
		"none":    {nil, []string{v1alpha1.FinalizerRun}},
		"another": {[]string{"example.com/audit"}, []string{"example.com/audit", v1alpha1.FinalizerRun}},
		"ours":    {[]string{v1alpha1.FinalizerRun}, []string{v1alpha1.FinalizerRun}},
	} {
		of := run(l.namespace, "with-"+name, "registry.example/any:1")
		of.Finalizers = c.has
		l.must(l.as(tenant).Create(t.Context(), of))
		if diff := cmp.Diff(c.want, of.Finalizers); diff != "" {
			t.Errorf("a run with %s (-want +got):\n%s", name, diff)
		}
	}
	rehearsed := run(l.namespace, "rehearsed", "registry.example/any:1")
	allowed(t, l.as(tenant).Create(t.Context(), rehearsed, client.DryRunAll))
	if err := l.cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(rehearsed), rehearsed); !apierrors.IsNotFound(err) {
		t.Errorf("a rehearsal left a run behind: %v", err)
	}
	kept := run(l.namespace, "with-none", "")
	l.must(l.as(tenant).Delete(t.Context(), kept))
	l.must(l.cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(kept), kept))
	before := kept.DeepCopy()
	kept.Finalizers = nil
	refused(t, l.as(tenant).Patch(t.Context(), kept, client.MergeFrom(before)), "lethe-finalizers", v1alpha1.FinalizerRun)
	allowed(t, l.as(operator).Patch(t.Context(), kept, client.MergeFrom(before)))
}

func TestFinalizerIsNotTakenOffByStatus(t *testing.T) {
	t.Parallel()
	l := newLand(t, nil)
	p := &corev1.Pod{ObjectMeta: named(l.namespace), Spec: plain()}
	p.Finalizers = []string{v1alpha1.FinalizerUsage}
	l.must(l.as(tenant).Create(t.Context(), p))
	before := p.DeepCopy()
	p.Finalizers = nil
	refused(t, l.as(tenant).Status().Patch(t.Context(), p.DeepCopy(), client.MergeFrom(before)), "lethe-finalizers", v1alpha1.FinalizerUsage)
	refused(t, l.as(tenant).Patch(t.Context(), p.DeepCopy(), client.MergeFrom(before)), "lethe-finalizers", v1alpha1.FinalizerUsage)
	allowed(t, l.as(operator).Patch(t.Context(), p, client.MergeFrom(before)))
}

func TestTenantKeepsNothingForEver(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	const says = "keep the namespace from going"
	sticky := []string{"example.com/for-ever"}
	own := map[string]client.Object{
		"a run": run(l.namespace, "sticky", allowedImage), "a dataset": dataset(l.namespace, "sticky"),
		"a ConfigMap": &corev1.ConfigMap{ObjectMeta: named(l.namespace)}, "a Secret": &corev1.Secret{ObjectMeta: named(l.namespace)},
	}
	for what, o := range own {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			born, _ := o.DeepCopyObject().(client.Object)
			born.SetFinalizers(sticky)
			refused(t, l.as(tenant).Create(t.Context(), born, client.DryRunAll), "lethe-tenant-finalizers", says)
			allowed(t, l.as(tenant).Create(t.Context(), o))
			later, _ := o.DeepCopyObject().(client.Object)
			later.SetFinalizers(append(later.GetFinalizers(), sticky...))
			refused(t, l.as(tenant).Patch(t.Context(), later, client.MergeFrom(o)), "lethe-tenant-finalizers", says)
			// Who takes the object away waits for its parts, with the collector's finalizer.
			allowed(t, l.as(tenant).Delete(t.Context(), o, client.PropagationPolicy(metav1.DeletePropagationForeground)))
		})
	}
	audited := dataset(l.namespace, "audited")
	audited.Finalizers = sticky
	allowed(t, l.as(staff).Create(t.Context(), audited))
	before := audited.DeepCopy()
	audited.Spec.Sealed = true
	allowed(t, l.as(tenant).Patch(t.Context(), audited, client.MergeFrom(before)))
}
