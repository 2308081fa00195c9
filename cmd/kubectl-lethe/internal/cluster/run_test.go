package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func trainingRun(name string) *v1alpha1.TrainingRun {
	return &v1alpha1.TrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: "uid-1"}}
}

func TestCreateRun(t *testing.T) {
	t.Parallel()
	c := fakeClient(t, interceptor.Funcs{}, trainingRun("taken"))
	made := trainingRun("new")
	if err := CreateRun(t.Context(), c, made, false); err != nil || made.Kind != KindRun {
		t.Errorf("got %v and kind %q, want one that is written down with its kind", err, made.Kind)
	}
	if err := CreateRun(t.Context(), c, trainingRun("tried"), true); err != nil {
		t.Errorf("dry run: %v", err)
	}
	if _, err := GetRun(t.Context(), c, client.ObjectKey{Namespace: "team", Name: "tried"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a dry run made it: %v", err)
	}
	if err := CreateRun(t.Context(), c, trainingRun("taken"), false); !errors.Is(err, ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	refusing := fakeClient(t, interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
		return apierrors.NewBadRequest("no such field")
	}})
	if err := CreateRun(t.Context(), refusing, trainingRun("new"), false); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "no such field") {
		t.Errorf("got %v, want ErrInvalid with the reason", err)
	}
}

func TestDeleteRunIsOfThatRunOnly(t *testing.T) {
	t.Parallel()
	c := fakeClient(t, interceptor.Funcs{}, trainingRun("a"))
	if err := DeleteRun(t.Context(), c, trainingRun("gone")); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
	if err := DeleteRun(t.Context(), c, trainingRun("a")); err != nil {
		t.Error(err)
	}
	if _, err := GetRun(t.Context(), c, client.ObjectKey{Namespace: "team", Name: "a"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	other := trainingRun("b")
	other.Namespace = "other"
	c := fakeClient(t, interceptor.Funcs{}, trainingRun("a"), trainingRun("c"), other, dataset())
	for _, tc := range []struct {
		kind, namespace string
		want            []string
	}{
		{KindRun, "team", []string{"a", "c"}}, {KindRun, "", []string{"a", "b", "c"}}, {KindDataset, "team", []string{"digits"}}, {KindPod, "team", []string{}},
	} {
		got, err := Names(t.Context(), c, tc.kind, tc.namespace)
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%s in %q: %v (-want +got):\n%s", tc.kind, tc.namespace, err, diff)
		}
	}
	if _, err := Names(t.Context(), c, "Secret", "team"); err == nil {
		t.Error("it lists what this program has nothing to do with")
	}
}
