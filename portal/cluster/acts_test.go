package cluster_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/cluster"
)

func TestATenantIsMadeAndSetRightAgain(t *testing.T) {
	t.Parallel()
	api := start(t)
	c := newClient(t, asPortal(api.Config), cluster.Options{})
	order := portal.TenantOrder{Namespace: "t-drift", Label: "abc", GPUs: 2, Billing: portal.BillingActive}
	must(t, c.EnsureTenant(t.Context(), order))
	must(t, c.EnsureTenant(t.Context(), order))

	var found corev1.Namespace
	read := func() {
		t.Helper()
		must(t, api.Client.Get(t.Context(), client.ObjectKey{Name: order.Namespace}, &found))
	}
	read()
	if found.Labels[v1alpha1.LabelTenant] != "abc" || found.Annotations[v1alpha1.AnnotationGPUAllowance] != "2" {
		t.Errorf("the namespace has %v and %v", found.Labels, found.Annotations)
	}
	// Staff suspend the tenant, and somebody breaks its label.
	want := map[string]string{
		v1alpha1.AnnotationGPUAllowance: "64", v1alpha1.AnnotationBilling: "Suspended", v1alpha1.AnnotationTier: "gold",
	}
	found.Annotations, found.Labels[v1alpha1.LabelTenant] = maps.Clone(want), "broken"
	must(t, api.Client.Update(t.Context(), &found, client.FieldOwner("staff")))
	must(t, c.EnsureTenant(t.Context(), order))
	read()
	if diff := cmp.Diff(want, found.Annotations); diff != "" {
		t.Errorf("what staff set (-want +got):\n%s", diff)
	}
	if got := found.Labels[v1alpha1.LabelTenant]; got != "abc" {
		t.Errorf("the label is %s", got)
	}
}

func TestThePortalReachesTenantsOnly(t *testing.T) {
	t.Parallel()
	api := start(t)
	c := newClient(t, asPortal(api.Config), cluster.Options{})
	foreign := api.Namespace(t)
	if err := c.EnsureTenant(t.Context(), portal.TenantOrder{Namespace: foreign, Label: "abc", Billing: portal.BillingActive}); err == nil {
		t.Error("another team's namespace became a tenant")
	}
	if _, err := c.CreateDataset(t.Context(), portal.DatasetOrder{Namespace: foreign, Object: "d-1"}); err == nil {
		t.Error("a dataset was made in another team's namespace")
	}
}

func TestADatasetFromOpenToGone(t *testing.T) {
	t.Parallel()
	api := start(t)
	c := newClient(t, asPortal(api.Config), cluster.Options{})
	order := portal.DatasetOrder{Namespace: "t-data", Object: "d-1", AfterTraining: 2 * time.Hour, MaxAge: 48 * time.Hour}
	_, err := c.CreateDataset(t.Context(), order)
	isKind(t, err, portal.KindUnavailable, "")
	tenant(t, api, c, order.Namespace)

	uid, err := c.CreateDataset(t.Context(), order)
	must(t, err)
	again, err := c.CreateDataset(t.Context(), order)
	must(t, err)
	if uid == "" || again != uid {
		t.Errorf("made %q, then %q", uid, again)
	}
	must(t, c.SealDataset(t.Context(), order.Namespace, order.Object))
	must(t, c.SealDataset(t.Context(), order.Namespace, order.Object))
	must(t, c.SetRetention(t.Context(), order.Namespace, order.Object, time.Hour, 24*time.Hour))
	var found v1alpha1.DatasetRetention
	must(t, api.Client.Get(t.Context(), client.ObjectKey{Namespace: order.Namespace, Name: order.Object}, &found))
	if !found.Spec.Sealed || found.Spec.Retention.Window() != time.Hour || found.Spec.Retention.Limit() != 24*time.Hour {
		t.Errorf("the dataset asks for %+v", found.Spec)
	}
	must(t, c.SetRetention(t.Context(), order.Namespace, order.Object, 2*time.Hour, 12*time.Hour))
	must(t, api.Client.Get(t.Context(), client.ObjectKeyFromObject(&found), &found))
	if found.Spec.Retention.Window() != time.Hour || found.Spec.Retention.Limit() != 12*time.Hour {
		t.Errorf("a window was made longer: %+v", found.Spec.Retention)
	}
	isKind(t, c.SetRetention(t.Context(), order.Namespace, order.Object, -time.Hour, 0), portal.KindInvalid, "after_training")
	isKind(t, c.SetRetention(t.Context(), order.Namespace, "d-2", 0, 0), portal.KindNotFound, "")
	isKind(t, c.SealDataset(t.Context(), order.Namespace, "d-2"), portal.KindNotFound, "")

	must(t, c.DeleteDataset(t.Context(), order.Namespace, order.Object, "another-uid"))
	must(t, api.Client.Get(t.Context(), client.ObjectKeyFromObject(&found), &found))
	must(t, c.DeleteDataset(t.Context(), order.Namespace, order.Object, uid))
	must(t, c.DeleteDataset(t.Context(), order.Namespace, order.Object, uid))
}

func TestARunFromStartToGone(t *testing.T) {
	t.Parallel()
	api := start(t)
	c := newClient(t, asPortal(api.Config), cluster.Options{})
	order := most()
	order.Namespace = "t-runs"
	isKind(t, c.CheckRun(t.Context(), order), portal.KindUnavailable, "")
	tenant(t, api, c, order.Namespace)

	must(t, c.CheckRun(t.Context(), order))
	uid, err := c.CreateRun(t.Context(), order)
	must(t, err)
	again, err := c.CreateRun(t.Context(), order)
	must(t, err)
	if uid == "" || again != uid {
		t.Errorf("started %q, then %q", uid, again)
	}
	must(t, c.CheckRun(t.Context(), order))
	var found v1alpha1.TrainingRun
	read := func() {
		t.Helper()
		must(t, api.Client.Get(t.Context(), client.ObjectKey{Namespace: order.Namespace, Name: order.Object}, &found))
	}
	must(t, c.SuspendRun(t.Context(), order.Namespace, order.Object, true))
	read()
	if !found.Spec.Suspend || found.Spec.Artifacts.ReclaimPolicy != v1alpha1.ReclaimDelete {
		t.Errorf("the run has %+v", found.Spec)
	}
	must(t, c.SuspendRun(t.Context(), order.Namespace, order.Object, false))
	isKind(t, c.CancelRun(t.Context(), order.Namespace, order.Object, "another-uid"), portal.KindConflict, "")
	read()
	if found.Spec.Cancel || found.Spec.Suspend {
		t.Errorf("the run has %+v", found.Spec)
	}
	must(t, c.CancelRun(t.Context(), order.Namespace, order.Object, uid))
	must(t, c.CancelRun(t.Context(), order.Namespace, order.Object, uid))
	read()
	if !found.Spec.Cancel {
		t.Error("the run is not cancelled")
	}
	isKind(t, c.CancelRun(t.Context(), order.Namespace, "r-2", uid), portal.KindNotFound, "")
	must(t, c.DeleteRun(t.Context(), order.Namespace, order.Object, "another-uid"))
	read()
	must(t, c.DeleteRun(t.Context(), order.Namespace, order.Object, uid))
	must(t, c.DeleteRun(t.Context(), order.Namespace, order.Object, uid))
}

func TestARefusalStandsBesideItsField(t *testing.T) {
	t.Parallel()
	api := start(t)
	c := newClient(t, asPortal(api.Config), cluster.Options{})
	namespace := tenant(t, api, c, "t-refusals")
	cases := map[string]struct {
		change func(*portal.RunOrder)
		field  string
		says   string
	}{
		"an image that is not allowed":  {func(o *portal.RunOrder) { o.Spec.Image = "evil.example/miner:v1" }, "image", "neither pinned by its digest"},
		"no image":                      {func(o *portal.RunOrder) { o.Spec.Image = "" }, "image", ""},
		"more GPUs than a node has":     {func(o *portal.RunOrder) { o.Spec.GPUs = 17 }, "gpus", "16"},
		"more GPUs than a run may have": {func(o *portal.RunOrder) { o.Spec.Nodes, o.Spec.GPUs = 64, 16 }, "gpus", "at most 256 GPUs"},
		"too many nodes":                {func(o *portal.RunOrder) { o.Spec.Nodes, o.Spec.GPUs = 65, 1 }, "nodes", "64"},
		"a kind of GPU that is no name": {func(o *portal.RunOrder) { o.Spec.Product = "an H200" }, "product", ""},
		"no CPU":                        {func(o *portal.RunOrder) { o.Spec.CPU = "0" }, "cpu", "greater than zero"},
		"memory with an exponent":       {func(o *portal.RunOrder) { o.Spec.Memory = "-1Gi" }, "memory", "greater than zero"},
		"a name of the contract's own":  {func(o *portal.RunOrder) { o.Spec.Env = map[string]string{"LETHE_X": "1"} }, "env", "LETHE_"},
		"no time at all":                {func(o *portal.RunOrder) { o.Spec.MaxDuration = time.Second }, "max_duration", "from 10s"},
		"a short wait":                  {func(o *portal.RunOrder) { o.Spec.StartWithin = time.Second }, "start_within", "from 10s"},
		"a short silence":               {func(o *portal.RunOrder) { o.Spec.StalledAfter = time.Second }, "stalled_after", "from 30s"},
		"a negative budget":             {func(o *portal.RunOrder) { o.Spec.Retries = 11 }, "retries", "10"},
		"checkpoints all the time":      {func(o *portal.RunOrder) { o.Spec.CheckpointEvery = time.Second }, "checkpoint_every", "from 10s"},
		"too many checkpoints":          {func(o *portal.RunOrder) { o.Spec.KeepLast = 17 }, "keep_last", "16"},
		"no dataset":                    {func(o *portal.RunOrder) { o.Dataset = "" }, "dataset", ""},
		"a source that is no name":      {func(o *portal.RunOrder) { o.ResumeFrom = "A B" }, "resume_from", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			order := least()
			order.Namespace = namespace
			tc.change(&order)
			_, err := c.CreateRun(t.Context(), order)
			for act, err := range map[string]error{"check": c.CheckRun(t.Context(), order), "create": err} {
				isKind(t, err, portal.KindInvalid, tc.field)
				var told *portal.Error
				if errors.As(err, &told) && !strings.Contains(strings.ToLower(told.Message), strings.ToLower(tc.says)) {
					t.Errorf("%s says %q, want %q in it", act, told.Message, tc.says)
				}
				if told != nil && strings.Contains(told.Message, "ValidatingAdmissionPolicy") {
					t.Errorf("%s says %q, in the API server's own words", act, told.Message)
				}
			}
		})
	}
}

func TestEventsOfARun(t *testing.T) {
	t.Parallel()
	api := start(t)
	c := newClient(t, asPortal(api.Config), cluster.Options{})
	namespace := tenant(t, api, c, "t-events")
	event := func(name, kind, object string, at time.Time) {
		t.Helper()
		must(t, api.Client.Create(t.Context(), &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: name},
			InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: namespace, Name: object},
			Type:           corev1.EventTypeWarning, Reason: name, Message: "m", Count: 2, LastTimestamp: metav1.NewTime(at),
		}))
	}
	event("later", "TrainingRun", "r-1", noon.Add(time.Minute))
	event("sooner", "TrainingRun", "r-1", noon)
	event("another-runs", "TrainingRun", "r-2", noon)
	event("a-pods", "Pod", "r-1", noon)
	var reasons []string
	eventually(t, "the right to read events holds", func() bool {
		events, err := c.RunEvents(t.Context(), namespace, "r-1")
		reasons = nil
		for _, e := range events {
			reasons = append(reasons, e.Reason)
			if !e.Warning || e.Message != "m" || e.Count != 2 || e.At.IsZero() {
				t.Errorf("an event is %+v", e)
			}
		}
		return err == nil
	})
	if got := strings.Join(reasons, " "); got != "sooner later" {
		t.Errorf("events %q, want sooner and later", got)
	}
}
