package datasetretention

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func unstructuredDataset(namespace string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("DatasetRetention"))
	u.SetNamespace(namespace)
	u.SetGenerateName("dataset-")
	return u
}

func TestAPIRefusesBadDatasets(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	namespace := cluster.Namespace(t)
	window := func(key, value string) map[string]any {
		return map[string]any{"retention": map[string]any{key: value}}
	}
	cases := map[string]struct {
		spec map[string]any
		// want is a part of the refusal; empty: it is accepted.
		want string
	}{
		"no spec at all":                         {nil, ""},
		"a window of three units":                {window("afterTraining", "1h30m10s"), ""},
		"a window of zero":                       {window("afterTraining", "0s"), ""},
		"a week in seconds":                      {window("afterTraining", "604800s"), ""},
		"a negative window":                      {window("afterTraining", "-1h"), "should match"},
		"a window in days":                       {window("afterTraining", "3d"), "should match"},
		"a window without a unit":                {window("maxAge", "30"), "should match"},
		"an empty window":                        {window("maxAge", ""), "should match"},
		"a window of centuries":                  {window("maxAge", "999999h"), "ten years"},
		"a window that no clock can count":       {window("maxAge", "999999h999999h999999h"), "maxAge"},
		"an unknown field, if asked to be exact": {map[string]any{"seald": true}, "unknown field"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := cluster.Client.Create(t.Context(), unstructuredDataset(namespace, c.spec),
				client.FieldValidation(metav1.FieldValidationStrict))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestAPIKeepsSealAndPlace(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	d := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace(t), Name: testName}}
	d.Spec.Sealed = true
	if err := cluster.Client.Create(t.Context(), d); err != nil {
		t.Fatalf("create: %v", err)
	}
	d.Status.Location = &v1alpha1.ObjectLocation{Bucket: testBucket, Prefix: testPrefix}
	if err := cluster.Client.Status().Update(t.Context(), d); err != nil {
		t.Fatalf("set the place: %v", err)
	}
	open := d.DeepCopy()
	open.Spec.Sealed = false
	if err := cluster.Client.Update(t.Context(), open); err == nil || !strings.Contains(err.Error(), "stays sealed") {
		t.Errorf("a seal was broken: %v", err)
	}
	moved := d.DeepCopy()
	moved.Status.Location.Prefix = "team-b/other/"
	if err := cluster.Client.Status().Update(t.Context(), moved); err == nil || !strings.Contains(err.Error(), "set once") {
		t.Errorf("a dataset was moved: %v", err)
	}
}

func TestAPIDefaultsRetention(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	u := unstructuredDataset(cluster.Namespace(t), nil)
	if err := cluster.Client.Create(t.Context(), u); err != nil {
		t.Fatalf("create: %v", err)
	}
	var d v1alpha1.DatasetRetention
	if err := cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(u), &d); err != nil {
		t.Fatalf("get: %v", err)
	}
	if d.Spec.Retention.AfterTraining.Duration != testWindow || d.Spec.Retention.MaxAge.Duration != testMaxAge || d.Spec.Sealed {
		t.Errorf("defaults are %+v", d.Spec)
	}
}
