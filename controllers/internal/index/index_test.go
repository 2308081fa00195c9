package index_test

import (
	"net/http"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/internal/index"
)

func TestRegisterTwiceIsRegisterOnce(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatalf("build scheme: %v", err)
	}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	mapper.Add(v1alpha1.GroupVersion.WithKind("TrainingRun"), apimeta.RESTScopeNamespace)
	// Nothing listens there, and nothing is asked: the cache is never started.
	c, err := cache.New(&rest.Config{Host: "127.0.0.1:1"}, cache.Options{
		Scheme: scheme, Mapper: mapper, HTTPClient: http.DefaultClient,
	})
	if err != nil {
		t.Fatalf("make a cache: %v", err)
	}
	for range 3 {
		if err := index.Register(t.Context(), c); err != nil {
			t.Fatalf("register: %v", err)
		}
	}
	if err := c.IndexField(t.Context(), &v1alpha1.TrainingRun{}, index.RunsByDataset, index.DatasetOfRun); err == nil {
		t.Error("the index was not registered: it could be added by hand")
	}
}

func TestDatasetOfRun(t *testing.T) {
	t.Parallel()
	run := &v1alpha1.TrainingRun{Spec: v1alpha1.TrainingRunSpec{DatasetRef: v1alpha1.DatasetReference{Name: "digits"}}}
	if got := index.DatasetOfRun(run); len(got) != 1 || got[0] != "digits" {
		t.Errorf("run is indexed under %v", got)
	}
	if got := index.DatasetOfRun(&v1alpha1.DatasetRetention{}); got != nil {
		t.Errorf("another kind is indexed under %v", got)
	}
}
