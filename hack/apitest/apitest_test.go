package apitest_test

import (
	"testing"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

func TestStartServesLethesKinds(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	var runs v1alpha1.TrainingRunList
	if err := cluster.Client.List(t.Context(), &runs); err != nil {
		t.Fatalf("list runs: %v", err)
	}
	if first, second := cluster.Namespace(t), cluster.Namespace(t); first == second {
		t.Errorf("two tests got the same namespace %q", first)
	}
}
