package datasetretention

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

// paged is an API server that refuses to give more at once than the operator has
// memory for. It counts its pages.
func (l *life) paged() (live client.Reader, pages *int) {
	pages = new(int)
	return interceptor.NewClient(l.api, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			asked := (&client.ListOptions{}).ApplyOptions(opts)
			most := copiesOnAPage
			if _, runs := list.(*v1alpha1.TrainingRunList); runs {
				most = 20
			}
			if asked.Limit <= 0 || asked.Limit > most {
				return apierrors.NewBadRequest(fmt.Sprintf("%T: asked for %d at once", list, asked.Limit))
			}
			if err := c.List(ctx, list, opts...); err != nil {
				return err
			}
			*pages++
			return cut(list, asked)
		},
	}), pages
}

// cut leaves one page of a list.
func cut(list client.ObjectList, asked *client.ListOptions) error {
	from, total := 0, 0
	if asked.Continue != "" {
		var err error
		if from, err = strconv.Atoi(asked.Continue); err != nil {
			return err
		}
	}
	to := from + int(asked.Limit)
	switch list := list.(type) {
	case *v1alpha1.TrainingRunList:
		total = len(list.Items)
		list.Items = list.Items[from:min(to, total)]
	case *batchv1.JobList:
		total = len(list.Items)
		list.Items = list.Items[from:min(to, total)]
	case *corev1.PodList:
		total = len(list.Items)
		list.Items = list.Items[from:min(to, total)]
	}
	list.SetContinue("")
	if to < total {
		list.SetContinue(strconv.Itoa(to))
	}
	return nil
}

// whole is a cache, which knows no pages.
func (l *life) whole() client.Client {
	return interceptor.NewClient(l.api, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if asked := (&client.ListOptions{}).ApplyOptions(opts); asked.Limit != 0 || asked.Continue != "" {
				return apierrors.NewBadRequest("the cache knows no pages, and would give the first as if it were all")
			}
			return c.List(ctx, list, opts...)
		},
	})
}

func TestAPIServerIsAskedPageByPage(t *testing.T) {
	t.Parallel()
	label := map[string]string{v1alpha1.LabelDatasetUID: string(testUID)}
	alive(t, &faults{}, func(l *life) {
		t := l.t
		l.until(after(time.Hour))
		l.add(newDataset(usable))
		for i := range 45 {
			l.endRun(l.startRun(fmt.Sprintf("run-%02d", i)))
		}
		last := l.startRun("run-45")
		for i := range 205 {
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: fmt.Sprintf("j-%03d", i), Labels: label}}
			job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: fmt.Sprintf("p-%03d", i), Labels: label}}
			if i < 204 {
				pod.Status.Phase = corev1.PodSucceeded
			}
			l.must(l.api.Create(t.Context(), job))
			l.must(l.api.Create(t.Context(), pod))
		}
		live, pages := l.paged()
		l.keeper.client, l.keeper.live = l.whole(), live
		l.delete()
		look := func() observed {
			t.Helper()
			seen, err := l.keeper.observe(t.Context(), l.key)
			l.must(err)
			return seen
		}
		seen := look()
		if !slices.Equal(seen.active(), []string{"run-45"}) || !slices.Equal(seen.copies, []string{"pod/p-204"}) || len(seen.runs) != 46 {
			t.Errorf("of 46 runs %d were seen, of which %v go on; copies %v", len(seen.runs), seen.active(), seen.copies)
		}
		if *pages != 3+3+3 {
			t.Errorf("%d pages, want 9", *pages)
		}
		l.endRun(last)
		var pod corev1.Pod
		l.must(l.api.Get(t.Context(), client.ObjectKey{Namespace: testNamespace, Name: "p-204"}, &pod))
		l.must(l.api.Delete(t.Context(), &pod))
		for range 4 {
			_, err := l.reconcile()
			l.must(err)
		}
		_, digest := l.warehouse.receipt(t, testNamespace+"/"+string(testUID)+".json")
		for i := range 46 {
			l.checkMarked(fmt.Sprintf("run-%02d", i), digest)
		}
	})
}

// TestAPIServerPagesTheRunsOfADataset asks a real one, by the field that it selects by.
func TestAPIServerPagesTheRunsOfADataset(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	namespace := cluster.Namespace(t)
	for i := range 5 {
		for _, dataset := range []string{"digits", "other"} {
			r := &v1alpha1.TrainingRun{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%d", dataset, i)},
				Spec: v1alpha1.TrainingRunSpec{
					DatasetRef: v1alpha1.DatasetReference{Name: dataset},
					Trainer:    v1alpha1.Trainer{Image: "registry.example/trainer:1"},
				},
			}
			if err := cluster.Client.Create(t.Context(), r); err != nil {
				t.Fatalf("create run: %v", err)
			}
		}
	}
	d := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "digits"}}
	var sizes []int
	var names []string
	ask := question{from: cluster.Client, page: 2, what: runsOnDataset(d)}
	err := eachPage(t.Context(), ask, newRuns, func(list *v1alpha1.TrainingRunList) error {
		sizes = append(sizes, len(list.Items))
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		return nil
	})
	want := []string{"digits-0", "digits-1", "digits-2", "digits-3", "digits-4"}
	if err != nil || !slices.Equal(sizes, []int{2, 2, 1}) || !slices.Equal(names, want) {
		t.Errorf("pages of %v with %v: %v", sizes, names, err)
	}
}
