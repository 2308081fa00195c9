package runs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// poll is the time between two looks at something that is waited for.
const poll = 200 * time.Millisecond

func runName(i int) string     { return fmt.Sprintf("run-%06d", i) }
func datasetName(i int) string { return fmt.Sprintf("dataset-%03d", i) }

// newRun is a run as a person would make it.
func newRun(namespace, name, dataset string) *v1alpha1.TrainingRun {
	gpus := int32(1)
	return &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: dataset},
			Trainer: v1alpha1.Trainer{
				Image: "registry.example/team/digits:v1", Command: []string{"python", "/app/train.py"}, Args: []string{"--epochs=20", "--seed=7"},
				Env: []v1alpha1.EnvVar{{Name: "OMP_NUM_THREADS", Value: "8"}},
			},
			Nodes: v1alpha1.Nodes{GPUsPerNode: &gpus},
		},
	}
}

// newDatasets makes datasets that are sealed, and waits until they can be used.
func (b *bench) newDatasets(ctx context.Context, p *plane, namespace string) error {
	for i := range b.datasets {
		err := p.creators.Create(ctx, &v1alpha1.DatasetRetention{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: datasetName(i)},
			Spec:       v1alpha1.DatasetRetentionSpec{Sealed: true},
		})
		if err != nil {
			return fmt.Errorf("make a dataset: %w", err)
		}
	}
	return wait(ctx, "the datasets to be ready", func() (bool, error) {
		var all v1alpha1.DatasetRetentionList
		if err := p.admin.List(ctx, &all, client.InNamespace(namespace)); err != nil {
			return false, err
		}
		ready := 0
		for _, d := range all.Items {
			if d.Status.State == v1alpha1.DatasetReady {
				ready++
			}
		}
		return ready == b.datasets, nil
	})
}

// patience ends a wait in which nothing can come any more.
const patience = 20 * time.Minute

// wait looks until something is so.
func wait(ctx context.Context, what string, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		ok, err := so()
		if err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// again makes a new object of one that was read: with other names and UIDs wherever they
// occur in it, and without what the API server gives to each object.
func again[T client.Object](from T, into T, names *strings.Replacer) (T, error) {
	data, err := json.Marshal(from)
	if err != nil {
		return into, fmt.Errorf("encode a copy: %w", err)
	}
	if err := json.Unmarshal([]byte(names.Replace(string(data))), into); err != nil {
		return into, fmt.Errorf("understand a copy: %w", err)
	}
	into.SetUID("")
	into.SetResourceVersion("")
	into.SetGeneration(0)
	into.SetCreationTimestamp(metav1.Time{})
	into.SetManagedFields(nil)
	return into, nil
}

// againJob is again of a Job: its selector is the API server's too.
func againJob(from *batchv1.Job, names *strings.Replacer) (*batchv1.Job, error) {
	job, err := again(from, &batchv1.Job{}, names)
	if err != nil {
		return nil, err
	}
	job.Spec.Selector = nil
	for _, labels := range []map[string]string{job.Labels, job.Spec.Template.Labels} {
		for _, key := range []string{
			batchv1.ControllerUidLabel, batchv1.JobNameLabel, "controller-uid", "job-name",
		} {
			delete(labels, key)
		}
	}
	return job, nil
}

// family is a run with its Job and its Pod.
type family struct {
	run     *v1alpha1.TrainingRun
	job     *batchv1.Job
	pod     *corev1.Pod
	dataset *v1alpha1.DatasetRetention
}

// readFamily reads one of a namespace, whose run has this name.
func readFamily(ctx context.Context, reader client.Reader, namespace, name string) (*family, error) {
	f := &family{run: &v1alpha1.TrainingRun{}, dataset: &v1alpha1.DatasetRetention{}}
	if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, f.run); err != nil {
		return nil, fmt.Errorf("read a run: %w", err)
	}
	if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: f.run.Spec.DatasetRef.Name}, f.dataset); err != nil {
		return nil, fmt.Errorf("read a dataset: %w", err)
	}
	mine := []client.ListOption{client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelRun: name}}
	var jobs batchv1.JobList
	var pods corev1.PodList
	if err := reader.List(ctx, &jobs, mine...); err != nil {
		return nil, fmt.Errorf("read a Job: %w", err)
	}
	if err := reader.List(ctx, &pods, mine...); err != nil {
		return nil, fmt.Errorf("read a Pod: %w", err)
	}
	if len(jobs.Items) != 1 || len(pods.Items) > 1 {
		return nil, fmt.Errorf("the run has %d Jobs and %d Pods", len(jobs.Items), len(pods.Items))
	}
	f.job = &jobs.Items[0]
	if len(pods.Items) == 1 {
		f.pod = &pods.Items[0]
	}
	return f, nil
}

// watchJobs calls see with the name of each Job that appears in a namespace, as soon as
// it does, until the context ends.
func (p *plane) watchJobs(ctx context.Context, namespace string, see func(name string)) error {
	jobs := &metav1.PartialObjectMetadataList{}
	jobs.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind("JobList"))
	watch, err := p.admin.Watch(ctx, jobs, client.InNamespace(namespace))
	if err != nil {
		return fmt.Errorf("watch Jobs: %w", err)
	}
	go func() {
		defer watch.Stop()
		for event := range watch.ResultChan() {
			if o, ok := event.Object.(client.Object); ok && event.Type == "ADDED" {
				see(o.GetName())
			}
		}
	}()
	return nil
}

// countRuns counts runs of a namespace by a field.
func countRuns(ctx context.Context, reader client.Reader, namespace string, state v1alpha1.RunState) (int, error) {
	runs := &unstructured.UnstructuredList{}
	runs.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TrainingRunList"))
	if err := reader.List(ctx, runs, client.InNamespace(namespace), client.MatchingFields{"status.state": string(state)}); err != nil {
		return 0, fmt.Errorf("count runs: %w", err)
	}
	return len(runs.Items), nil
}
