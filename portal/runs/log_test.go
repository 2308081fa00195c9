package runs_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/runs"
)

// TestLogsHoldNothingOfTheForm: the API repeats the values that it refuses.
func TestLogsHoldNothingOfTheForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	w.cluster.fail("CreateRun", away)
	w.start(t)
	w.cluster.fail("CreateRun", portal.Invalid("env", "Invalid value: hunter2"))
	var log bytes.Buffer
	service, err := runs.New(runs.Dependencies{
		Store: w.store, Cluster: w.cluster, Planner: w.cluster, Now: w.clock.Now,
		Random: portaltest.Random(4), Log: slog.New(slog.NewTextHandler(&log, nil)),
	}, options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.SettleAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "kind=invalid") || strings.Contains(text, "hunter2") {
		t.Errorf("the log says %q", text)
	}
}
