package trainingrun

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// freePods lets the Pods go whose time is in the status that was written.
func (r *Reconciler) freePods(ctx context.Context, o observed, status v1alpha1.TrainingRunStatus) error {
	for _, pod := range slices.Concat(o.Pods, o.Strays) {
		if !accountable(&pod) || !remembered(status, pod.UID) {
			continue
		}
		if err := r.freePod(ctx, &pod); err != nil {
			return err
		}
	}
	return nil
}

// freeOrphans lets the Pods of a run go that was taken away past its own finalizer: there
// is no status any more to put their time into, and nothing else would ever let them go.
// The cache may know a Pod before its run, so whether that is gone is asked live.
func (r *Reconciler) freeOrphans(ctx context.Context, key client.ObjectKey, orphans []corev1.Pod) error {
	if len(orphans) == 0 {
		return nil
	}
	run, err := get(ctx, r.live, key, &v1alpha1.TrainingRun{})
	if err != nil {
		return err
	}
	for _, pod := range orphans {
		if run != nil && pod.Labels[v1alpha1.LabelRunUID] == string(run.UID) {
			continue
		}
		if err := r.freePod(ctx, &pod); err != nil {
			return err
		}
	}
	return nil
}

// freePod takes our finalizer off. It does not matter who else writes the Pod at the same
// time: the API server takes it out of the list that is there.
func (r *Reconciler) freePod(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	patch := []byte(`{"metadata":{"$deleteFromPrimitiveList/finalizers":["` + v1alpha1.FinalizerUsage + `"]}}`)
	to := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	err := r.client.Patch(ctx, to, client.RawPatch(types.StrategicMergePatchType, patch))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("let pod %s/%s go: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
