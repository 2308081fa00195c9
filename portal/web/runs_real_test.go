package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/runs"
)

// countingCluster takes every run, and counts how often it was made.
type countingCluster struct {
	mutex sync.Mutex
	made  map[string]int
}

func (c *countingCluster) CreateRun(_ context.Context, o portal.RunOrder) (string, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.made[o.Object] == 0 {
		c.made[o.Object]++
	}
	return "uid", nil
}

func (*countingCluster) SuspendRun(context.Context, string, string, bool) error  { return nil }
func (*countingCluster) CancelRun(context.Context, string, string, string) error { return nil }
func (*countingCluster) DeleteRun(context.Context, string, string, string) error { return nil }
func (*countingCluster) CheckRun(context.Context, portal.RunOrder) error         { return nil }
func (*countingCluster) RunYAML(portal.RunOrder) ([]byte, error) {
	return []byte("kind: TrainingRun\n"), nil
}

func (*countingCluster) Offers(context.Context) ([]portal.GPUOffer, error) {
	return []portal.GPUOffer{{Product: "NVIDIA-H200", Total: 8, PerNode: 8}}, nil
}

// realRuns are the use cases on the portal's store and a cluster in memory.
func realRuns(t *testing.T, p *portalUnderTest) *runs.Service {
	t.Helper()
	p.cluster = &countingCluster{made: map[string]int{}}
	service, err := runs.New(runs.Dependencies{
		Store: p.store, Cluster: p.cluster, Planner: p.cluster, Now: p.clock.Now, Random: portaltest.Random(4711),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, runs.Options{Images: []string{"registry.example.org/trainer:1"}, Prices: []portal.Price{{Product: portal.AnyProduct, MicrosPerHour: 1_250_000}}})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// TestAPersonStartsARunOnce goes through the pages with a browser: two tabs, a double
// click and the back button make one run, and a mistake is said beside its field.
func TestAPersonStartsARunOnce(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	b := p.signedUp(t, "starter@example.org")
	var dataset portal.Dataset
	err := p.store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		account, err := tx.AccountByEmail(ctx, portal.Email("starter@example.org").Key())
		if err != nil {
			return err
		}
		tenant := portaltest.Tenant(account)
		if err := tx.CreateTenant(ctx, tenant); err != nil {
			return err
		}
		dataset = portaltest.Dataset(tenant, func(d *portal.Dataset) {
			d.Wish, d.Seen = portal.WishSealed, portal.DatasetSeen{Version: 1, State: "Ready"}
		})
		return tx.CreateDataset(ctx, dataset)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.open("/runs").sees(200, "/runs", "You have no runs")
	b.open("/runs/new").sees(200, "/runs/new", dataset.Name)
	filled := []string{"name", "", "dataset", string(dataset.ID), "image", "registry.example.org/trainer:1", "gpus", "2", "max_duration", "2"}
	b.submit("/runs", filled...).sees(422, "/runs", "Give the run a name")
	filled[1] = "Baseline"
	form, _ := b.form("/runs")
	for i := 0; i < len(filled); i += 2 {
		form.Set(filled[i], filled[i+1])
	}
	form.Del("sharded")
	form.Del("show")

	const clicks = 50
	var wait sync.WaitGroup
	leads := make([]string, clicks)
	for i := range clicks {
		wait.Go(func() {
			w := ask(p.web, "POST", "/runs", "", form, func(r *http.Request) {
				r.AddCookie(&http.Cookie{Name: cookieSession, Value: b.cookie(cookieSession)})
			})
			leads[i] = w.Header().Get("Location")
		})
	}
	wait.Wait()
	for i, to := range leads {
		if to != "/runs/"+form.Get("draft") {
			t.Errorf("click %d leads to %q", i, to)
		}
	}
	if diff := cmp.Diff(map[string]int{"r-" + form.Get("draft"): 1}, p.cluster.made); diff != "" {
		t.Errorf("made in the cluster (-want +got):\n%s", diff)
	}
	b.open("/runs")
	if n := strings.Count(b.page, `class="list-name"`); n != 1 {
		t.Errorf("the list has %d runs:\n%s", n, b.page)
	}
	// Again like this, under another draft.
	b.open("/runs/new?again="+form.Get("draft")).sees(200, "/runs/new", `value="Baseline"`)
	if again, _ := b.form("/runs"); again.Get("draft") == form.Get("draft") || again.Get("gpus") != "2" {
		t.Errorf("again under %s with %s GPUs", again.Get("draft"), again.Get("gpus"))
	}
}
