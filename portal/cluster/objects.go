package cluster

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// tenantObject is the Namespace of a tenant, as it is made.
func tenantObject(o portal.TenantOrder) *corev1.Namespace {
	annotations := map[string]string{
		v1alpha1.AnnotationGPUAllowance: strconv.Itoa(o.GPUs),
		v1alpha1.AnnotationBilling:      string(o.Billing),
	}
	if o.Tier != "" {
		annotations[v1alpha1.AnnotationTier] = o.Tier
	}
	return &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{
			Name: o.Namespace, Labels: map[string]string{v1alpha1.LabelTenant: o.Label}, Annotations: annotations,
		},
	}
}

// datasetObject is the DatasetRetention of a dataset.
func datasetObject(o portal.DatasetOrder) *v1alpha1.DatasetRetention {
	return &v1alpha1.DatasetRetention{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "DatasetRetention"},
		ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Object},
		Spec: v1alpha1.DatasetRetentionSpec{
			Retention: v1alpha1.RetentionPolicy{
				AfterTraining: whole(o.AfterTraining), MaxAge: atLeastSome(o.MaxAge),
			},
		},
	}
}

// runObject is the TrainingRun of a run. Its artifacts go with it when it is deleted: who
// deletes a run here can't reach them any other way. Errors are *portal.Error for what can't
// be written down.
func runObject(o portal.RunOrder) (*v1alpha1.TrainingRun, error) {
	cpu, err := quantity("cpu", o.Spec.CPU)
	if err != nil {
		return nil, err
	}
	memory, err := quantity("memory", o.Spec.Memory)
	if err != nil {
		return nil, err
	}
	run := &v1alpha1.TrainingRun{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TrainingRun"},
		ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Object},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: o.Dataset},
			Trainer: v1alpha1.Trainer{
				Image: o.Spec.Image, Command: o.Spec.Command, Args: o.Spec.Args, Env: environment(o.Spec.Env),
				Resources: v1alpha1.TrainerResources{CPU: cpu, Memory: memory},
			},
			Nodes:      v1alpha1.Nodes{Count: some(o.Spec.Nodes), GPUsPerNode: ptr.To(int32(o.Spec.GPUs)), GPUProduct: o.Spec.Product}, //nolint:gosec // G115: the API bounds it
			Artifacts:  v1alpha1.Artifacts{ReclaimPolicy: v1alpha1.ReclaimDelete},
			Checkpoint: v1alpha1.Checkpointing{Interval: atLeastSome(o.Spec.CheckpointEvery), KeepLast: some(o.Spec.KeepLast)},
			Retry:      v1alpha1.RetryPolicy{Limit: some(o.Spec.Retries)},
			Limits: v1alpha1.Limits{
				MaxDuration: atLeastSome(o.Spec.MaxDuration), StartWithin: atLeastSome(o.Spec.StartWithin), StalledAfter: atLeastSome(o.Spec.StalledAfter),
			},
		},
	}
	if o.Spec.Sharded {
		run.Spec.DatasetRef.Distribution = v1alpha1.DistributionSharded
	}
	if o.Spec.MaxGPUSeconds > 0 {
		run.Spec.Limits.MaxGPUSeconds = ptr.To(o.Spec.MaxGPUSeconds)
	}
	if o.ResumeFrom != "" {
		run.Spec.Checkpoint.Resume = v1alpha1.ResumeFrom
		run.Spec.Checkpoint.From = &v1alpha1.CheckpointReference{RunName: o.ResumeFrom}
	}
	return run, nil
}

// RunYAML is what kubectl apply would take to make the same run. It asks nothing of the
// cluster. Errors are *portal.Error.
func (*Client) RunYAML(o portal.RunOrder) ([]byte, error) { return RunYAML(o) }

// RunYAML is Client.RunYAML; it needs no cluster.
func RunYAML(o portal.RunOrder) ([]byte, error) {
	run, err := runObject(o)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(run)
	if err != nil {
		return nil, fmt.Errorf("write run down: %w", err)
	}
	text, err := yaml.JSONToYAML(data)
	if err != nil {
		return nil, fmt.Errorf("write run down: %w", err)
	}
	return text, nil
}

// environment is in the order of the names, so that an order always makes the same object.
func environment(values map[string]string) []v1alpha1.EnvVar {
	all := make([]v1alpha1.EnvVar, 0, len(values))
	for name, value := range values {
		all = append(all, v1alpha1.EnvVar{Name: name, Value: value})
	}
	slices.SortFunc(all, func(a, b v1alpha1.EnvVar) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	if len(all) == 0 {
		return nil
	}
	return all
}

// quantity reads one as the API does; "" is none.
func quantity(field, text string) (*resource.Quantity, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no quantity is what was asked for
	}
	const longest = 32 // the parser is slow on what is far longer
	if len(text) > longest {
		return nil, portal.Invalid(field, "This is too long for an amount. Write it like 4, 500m or 16Gi.")
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return nil, portal.Invalid(field, "This is not an amount. Write it like 4, 500m or 16Gi.")
	}
	return &q, nil
}

// whole is a duration in whole seconds, which is all that the API takes.
func whole(d time.Duration) *metav1.Duration {
	return &metav1.Duration{Duration: d.Truncate(time.Second)}
}

// atLeastSome leaves 0 to the cluster's default.
func atLeastSome(d time.Duration) *metav1.Duration {
	if d == 0 {
		return nil
	}
	return whole(d)
}

// some leaves 0 to the cluster's default.
func some(n int) *int32 {
	if n == 0 {
		return nil
	}
	return ptr.To(int32(n)) //nolint:gosec // G115: the API bounds it
}
