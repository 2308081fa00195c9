package policies_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// TestTheLargestStaysAffordable: the API server gives each expression a budget, and a
// policy that exceeds it refuses. About the largest run that etcd takes stays below.
func TestTheLargestStaysAffordable(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	words := make([]string, 110)
	for i := range words {
		words[i] = strings.Repeat("w", 4096)
	}
	of := run(l.namespace, "large", allowedImage)
	of.Spec.Trainer.Args = words
	for i := range 64 {
		of.Spec.Trainer.Env = append(of.Spec.Trainer.Env, v1alpha1.EnvVar{Name: fmt.Sprintf("V%d", i), Value: strings.Repeat("v", 8192)})
	}
	of.Spec.Limits.MaxGPUSeconds = ptr.To[int64](100)
	l.must(l.as(portal).Create(t.Context(), of))
	before := of.DeepCopy()
	of.Spec.Limits.MaxGPUSeconds = ptr.To[int64](200)
	allowed(t, l.as(portal).Patch(t.Context(), of, client.MergeFrom(before)))

	p := pod(l.namespace, "large-x")
	for i := range of.Spec.Trainer.Env {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: of.Spec.Trainer.Env[i].Name, Value: of.Spec.Trainer.Env[i].Value})
	}
	p.Spec.Containers[0].Args = words
	l.must(l.as(jobController).Create(t.Context(), p))
	for what, patch := range map[string]string{
		"its last part": `{"spec":{"activeDeadlineSeconds":60}}`, "a label": `{"metadata":{"labels":{"a":"b"}}}`,
	} {
		if err := l.as(collector).Patch(t.Context(), p.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	bare := p.DeepCopy()
	bare.Finalizers = nil
	allowed(t, l.as(operator).Patch(t.Context(), bare, client.MergeFrom(p)))
}
