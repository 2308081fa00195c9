package trainingrun

import (
	"encoding/json"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// fromLater is a field that a later release has in spec and status.
const fromLater = "fromLater"

// TestStoryFieldsOfALaterReleaseStay in a run that this one takes from its start to its end:
// an operator that was rolled back takes away nothing that it does not know. The kind is
// everybody's in this test binary, so this test runs before the parallel ones.
func TestStoryFieldsOfALaterReleaseStay(t *testing.T) {
	s := newStage(t, extendRuns)
	s.readyDataset()
	run := laterRun(s)
	s.must(s.client.Create(t.Context(), run))
	job := s.starts("r")
	s.must(s.client.Status().Patch(t.Context(), run, client.RawPatch(types.MergePatchType, []byte(`{"status":{"`+fromLater+`":"status"}}`))))
	pod := s.podOf(job)
	s.kubelet(pod, corev1.PodRunning, staged, training)
	s.becomes("r", v1alpha1.RunRunning, v1alpha1.ReasonTraining)
	s.kubelet(pod, corev1.PodSucceeded, staged, s.justNow(staging.ContainerTrainer, 0, ""), s.justNow(staging.ContainerStageOut, 0, ""))
	s.ended(job, batchv1.JobComplete)
	s.becomes("r", v1alpha1.RunSucceeded, v1alpha1.ReasonPublished)
	s.must(s.client.Get(t.Context(), s.key("r"), run))
	for _, part := range []string{"spec", "status"} {
		if got, _, err := unstructured.NestedString(run.Object, part, fromLater); got != part || err != nil {
			t.Errorf("%s.%s is %q (%v), want it left alone", part, fromLater, got, err)
		}
	}
}

// extendRuns installs the definition of the later release, and waits until it holds.
func extendRuns(s *stage) {
	s.t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName("trainingruns." + v1alpha1.GroupVersion.Group)
	path := "/spec/versions/0/schema/openAPIV3Schema/properties/"
	patch := `[{"op":"add","path":"` + path + `spec/properties/` + fromLater + `","value":{"type":"string"}},` +
		`{"op":"add","path":"` + path + `status/properties/` + fromLater + `","value":{"type":"string"}}]`
	s.must(s.client.Patch(s.t.Context(), crd, client.RawPatch(types.JSONPatchType, []byte(patch))))
	s.eventually(func() string {
		run := laterRun(s)
		if err := s.client.Create(s.t.Context(), run, client.DryRunAll); err != nil {
			return err.Error()
		}
		if got, _, _ := unstructured.NestedString(run.Object, "spec", fromLater); got != "spec" {
			return "the field is not known yet"
		}
		return ""
	})
}

// laterRun is a run as a user of the later release writes it.
func laterRun(s *stage) *unstructured.Unstructured {
	s.t.Helper()
	content, err := json.Marshal(s.newRun("r"))
	s.must(err)
	run := &unstructured.Unstructured{}
	s.must(json.Unmarshal(content, &run.Object))
	run.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TrainingRun"))
	s.must(unstructured.SetNestedField(run.Object, "spec", "spec", fromLater))
	return run
}
