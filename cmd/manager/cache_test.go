package main

import (
	"encoding/json"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// TestCacheKeepsNothingLarge: whatever a tenant writes into a run, the operator
// remembers little of it, and still what it decides on.
func TestCacheKeepsNothingLarge(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 100_000)
	fields := &metav1.FieldsV1{}
	fields.SetRawBytes([]byte(`"` + large + `"`))
	run := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: "r", Namespace: "n", UID: "u",
			Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: large},
			ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: fields}},
		},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "d"},
			Trainer: v1alpha1.Trainer{
				Image: "i", Command: []string{large}, Args: []string{large}, Env: []v1alpha1.EnvVar{{Name: "E", Value: large}},
			},
		},
	}
	bound := v1alpha1.BoundDataset{UID: types.UID("du"), ManifestDigest: "sha256:0"}
	job := resources.Job(run, resources.Attempt{Number: 1, Dataset: bound}, resources.Options{StagerImage: "s", BrokerURL: "https://b", TrustBundle: "t"})
	pod := &corev1.Pod{ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(), Spec: *job.Spec.Template.Spec.DeepCopy()}
	tests := map[string]struct {
		slim   func(any) (any, error)
		object any
	}{
		"a run": {slimRun, run},
		"a Job": {slimJob, job},
		"a Pod": {slimPod, pod},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept, err := tc.slim(tc.object)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(kept)
			if err != nil {
				t.Fatal(err)
			}
			if len(text) > 10_000 {
				t.Errorf("%d bytes are kept", len(text))
			}
			if kept, ok := kept.(*batchv1.Job); ok && resources.Bound(kept) != bound {
				t.Errorf("the Job has forgotten what it is bound to: %+v", resources.Bound(kept))
			}
		})
	}
}

// TestCacheKeepsWhichNodeAPodIs: the nodes of a run wait for each other, and are told by
// hostname and annotation.
func TestCacheKeepsWhichNodeAPodIs(t *testing.T) {
	t.Parallel()
	for _, phase := range []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{batchv1.JobCompletionIndexAnnotation: "1"}},
			Spec:       corev1.PodSpec{Hostname: "r-1", NodeName: "n"},
			Status:     corev1.PodStatus{Phase: phase},
		}
		if _, err := slimPod(pod); err != nil {
			t.Fatal(err)
		}
		if pod.Spec.Hostname != "r-1" || pod.Spec.NodeName != "n" || pod.Annotations[batchv1.JobCompletionIndexAnnotation] != "1" {
			t.Errorf("of a Pod that is %s is kept: %+v", phase, pod)
		}
	}
}
