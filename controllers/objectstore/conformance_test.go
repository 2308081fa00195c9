package objectstore_test

import (
	"testing"

	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

func TestConformanceInMemory(t *testing.T) {
	t.Parallel()
	objectstoretest.RunConformance(t, func(t *testing.T) objectstoretest.Harness {
		t.Helper()
		return objectstoretest.Memory(t)
	})
}

func TestConformanceOnMinIO(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	objectstoretest.RunConformance(t, func(t *testing.T) objectstoretest.Harness {
		t.Helper()
		return objectstoretest.Real(t, server)
	})
}
