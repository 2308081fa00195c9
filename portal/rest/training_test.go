package rest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/rest"
	"github.com/lethe-dev/lethe/portal/uploads/storetest"
)

// fixtures are the account's own things in a world.
type fixtures struct {
	*world
	bench *bench
	// person is who the tokens are of.
	person                  portal.Principal
	open, sealed, erased    portal.Dataset
	running, over, stranger portal.Run
}

// newTraining is the API in front of the real use cases.
func newTraining(t *testing.T) (*bench, *fixtures) {
	t.Helper()
	return newTrainingOn(t, nil)
}

// newTrainingOn has uploads go to a MinIO, where it is not nil.
func newTrainingOn(t *testing.T, minio *storetest.Store) (*bench, *fixtures) {
	t.Helper()
	f := &fixtures{}
	clock := &portaltest.Clock{}
	f.world = newWorld(t, func() time.Time {
		clock.Advance(time.Millisecond) // what waits for a time gets there
		return clock.Now()
	}, minio)
	f.bench = newBenchWith(t, func(with *rest.Dependencies) {
		with.Datasets, with.Runs, with.Live, with.ReceiptKeys = f.uploads, f.runs, f.live, f.world
	})
	f.bench.auth.sessions = f.bench.auth.sessions[:1]
	account, tenant := portaltest.AddTenant(t, f.store)
	f.bench.auth.account, f.person = account, portal.Principal{Account: account}
	uid := func(d *portal.Dataset) { d.UID = uidOf(d.ID.Object()) }
	f.open = portaltest.AddDataset(t, f.store, tenant, uid)
	f.sealed = portaltest.AddDataset(t, f.store, tenant, uid, func(d *portal.Dataset) {
		d.Wish = portal.WishSealed
		d.Seen = portal.DatasetSeen{Version: 1, State: "Ready", AfterTraining: d.AfterTraining, MaxAge: d.MaxAge, HoldUntil: portaltest.Start.Add(time.Hour), HoldReason: "case 7"}
	})
	for _, d := range []portal.Dataset{f.open, f.sealed} {
		f.datasets[d.ID.Object()] = portal.DatasetOrder{Namespace: d.Namespace, Object: d.ID.Object(), AfterTraining: d.AfterTraining, MaxAge: d.MaxAge}
	}
	run := func(seen portal.RunSeen) func(*portal.Run) {
		return func(r *portal.Run) {
			r.UID, r.Seen, r.Spec.Product = uidOf(r.ID.Object()), seen, h200
		}
	}
	f.running = portaltest.AddRun(t, f.store, f.sealed, run(running(1, portaltest.Start)))
	f.over = portaltest.AddRun(t, f.store, f.sealed, run(succeeded(1, portaltest.Start)))
	for _, name := range []string{"model/weights.bin", "logs/attempt-0001/node-0/trainer-000001.log"} {
		f.blobs[uidOf(f.over.ID.Object())+"/"+name] = []byte("what " + name + " has\n")
	}
	_, other := portaltest.AddTenant(t, f.store)
	f.stranger = portaltest.AddRun(t, f.store, portaltest.AddDataset(t, f.store, other), run(succeeded(1, portaltest.Start)))
	return f.bench, f
}

const claim = `{"files": [{"path": "a.csv", "size": 3}]}`

func sent(text string, keys ...string) []func(*http.Request) {
	return []func(*http.Request){func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(text))
		r.ContentLength = int64(len(text))
		r.Header.Set("Content-Type", "application/json")
		for _, key := range keys {
			r.Header.Add("Idempotency-Key", key)
		}
	}}
}

func (f *fixtures) order(mods ...func(map[string]any)) string {
	body := map[string]any{
		"name": "Baseline", "dataset": f.sealed.ID,
		"spec": map[string]any{"image": image, "args": []string{"--epochs", "3"}, "gpus": 2, "product": h200, "maxDurationSeconds": 14400, "env": map[string]string{"A": "b"}},
	}
	for _, mod := range mods {
		mod(body)
	}
	text, _ := json.Marshal(body)
	return string(text)
}

// request is one that succeeds.
func (f *fixtures) request(t *testing.T, method, pattern string) (string, []func(*http.Request)) {
	t.Helper()
	const datasets, runs = "/api/v1/datasets/{id}", "/api/v1/runs/{id}"
	id, query := string(f.over.ID), ""
	var mods []func(*http.Request)
	switch method + " " + pattern {
	case "DELETE /api/v1/sessions/{id}":
		id = string(f.bench.auth.sessions[0].ID)
	case "POST /api/v1/datasets":
		mods = sent(`{"name": "Signs", "maxAgeSeconds": 86400}`)
	case "PATCH " + datasets:
		id, mods = string(f.sealed.ID), sent(`{"maxAgeSeconds": 86400}`)
	case "DELETE " + datasets:
		id, query = string(f.sealed.ID), "?cancel=true"
	case "GET " + datasets:
		id = string(f.sealed.ID)
	case "POST " + datasets + "/files":
		id, mods = string(f.open.ID), sent(claim)
	case "POST " + datasets + "/files/sign":
		id, mods = string(f.open.ID), sent(`{"files": [{"path": "a.csv", "parts": [1]}]}`)
		f.told(t)
	case "POST " + datasets + "/files/finish":
		id, mods = string(f.open.ID), sent(`{"files": [{"path": "a.csv", "sha256": "`+strings.Repeat("a", 64)+`"}]}`)
		f.told(t)
	case "POST " + datasets + "/files/remove":
		id, mods = string(f.open.ID), sent(`{"files": ["a.csv"]}`)
	case "GET " + datasets + "/files":
		id = string(f.open.ID)
		f.told(t)
	case "POST " + datasets + "/seal":
		id = string(f.open.ID)
		f.told(t)
		if _, err := f.uploads.Finish(t.Context(), f.person, f.open.ID, []portal.FileDone{{Path: "a.csv", SHA256: strings.Repeat("a", 64)}}); err != nil {
			t.Fatal(err)
		}
	case "GET /api/v1/receipts", "GET /api/v1/receipts/{uid}", "GET /api/v1/receipts/{uid}/envelope":
		f.erase(t)
	case "POST /api/v1/runs":
		mods = sent(f.order(), "key-1")
	case "POST /api/v1/runs/estimate":
		mods = sent(`{"spec": {"image": "x", "gpus": 2, "product": "` + h200 + `", "maxDurationSeconds": 3600}}`)
	case "POST " + runs + "/cancel", "POST " + runs + "/suspend", "POST " + runs + "/resume":
		id = string(f.running.ID)
	case "GET " + runs + "/download":
		query = "?path=model/weights.bin"
	}
	path := strings.ReplaceAll(strings.ReplaceAll(pattern, "{id}", id), "{uid}", f.erased.UID)
	return path + query, mods
}

// told tells of the file a.csv of the open dataset.
func (f *fixtures) told(t *testing.T) {
	t.Helper()
	if _, err := f.uploads.AddFiles(t.Context(), f.person, f.open.ID, []portal.FileClaim{{Path: "a.csv", Size: 3}}); err != nil {
		t.Fatal(err)
	}
}

// erase has the open dataset erased, and waits for the receipt.
func (f *fixtures) erase(t *testing.T) {
	t.Helper()
	if f.erased.UID != "" {
		return
	}
	if _, err := f.uploads.Erase(t.Context(), f.person, f.open.ID, false); err != nil {
		t.Fatal(err)
	}
	f.await(t, "a receipt", func(ctx context.Context) bool {
		view, err := f.uploads.Get(ctx, f.person, f.open.ID)
		if err != nil || view.Receipt == "" {
			return false
		}
		f.erased = view.Dataset
		return true
	})
}

func (f *fixtures) await(t *testing.T, what string, done func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !done(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("%s did not come", what)
		case <-poll.C:
		}
	}
}

func TestWithoutAClusterThereAreNoSuchRoutes(t *testing.T) {
	t.Parallel()
	b := newBenchWith(t, func(*rest.Dependencies) {})
	for _, path := range []string{"/api/v1/datasets", "/api/v1/runs", "/api/v1/receipts", "/api/v1/offers", "/api/v1/runs/x/log"} {
		if answer, _ := b.ask(t, http.MethodGet, path, "", b.token(portal.Scopes()...)); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, answer.StatusCode)
		}
	}
}

func TestOneKeyIsOneRun(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	secret := b.token(portal.ScopeRunsWrite)
	const path = "/api/v1/runs"
	start := func(body string, keys ...string) (int, string, rest.Problem) {
		answer, text := b.ask(t, http.MethodPost, path, path, secret, sent(body, keys...)...)
		if answer.StatusCode == http.StatusCreated {
			run := decode[rest.Run](t, text)
			if answer.Header.Get("Location") != path+"/"+run.ID {
				t.Errorf("made at %q, want %s", answer.Header.Get("Location"), run.ID)
			}
			return 201, run.ID, rest.Problem{}
		}
		return answer.StatusCode, "", decode[rest.Problem](t, text)
	}
	_, first, _ := start(f.order(), "one")
	if status, again, _ := start(f.order(), "one"); status != 201 || again != first {
		t.Errorf("the same key gave %d, %s; want %s", status, again, first)
	}
	if _, other, _ := start(f.order(), "two"); other == first || other == "" {
		t.Errorf("another key gave %q", other)
	}
	changed := f.order(func(body map[string]any) { body["name"] = "Another" })
	if status, _, p := start(changed, "one"); status != 409 || p.Field != "Idempotency-Key" {
		t.Errorf("the same key for another run: %d %+v", status, p)
	}
	longer := f.order(func(body map[string]any) { body["spec"].(map[string]any)["maxDurationSeconds"] = 7200 })
	if status, _, _ := start(longer, "one"); status != 409 {
		t.Errorf("the same key for a longer run: %d", status)
	}
	for name, keys := range map[string][]string{"none": nil, "two": {"a", "b"}, "a space": {"a b"}, "empty": {""}} {
		if status, _, p := start(f.order(), keys...); status != 400 || p.Field != "Idempotency-Key" {
			t.Errorf("%s as the key: %d %+v", name, status, p)
		}
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if diff := cmp.Diff(map[string]int{"r-" + first: 1}, map[string]int{"r-" + first: f.made["r-"+first]}); diff != "" || len(f.made) != 2 {
		t.Errorf("made in the cluster: %v", f.made)
	}
}

func TestOneKeyIsOneDataset(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	secret := b.token(portal.ScopeDatasetsWrite)
	const path = "/api/v1/datasets"
	create := func(body string, keys ...string) (int, rest.Dataset) {
		answer, text := b.ask(t, http.MethodPost, path, path, secret, sent(body, keys...)...)
		if answer.StatusCode != http.StatusCreated {
			return answer.StatusCode, rest.Dataset{}
		}
		return 201, decode[rest.Dataset](t, text)
	}
	_, first := create(`{"name": "Signs "}`, "one")
	if first.AfterTrainingSeconds != 86400 || first.MaxAgeSeconds != 30*86400 {
		t.Errorf("its windows are %d and %d", first.AfterTrainingSeconds, first.MaxAgeSeconds)
	}
	if status, again := create(`{"name": "Signs"}`, "one"); status != 201 || again.ID != first.ID {
		t.Errorf("the same key gave %d, %s; want %s", status, again.ID, first.ID)
	}
	if status, _ := create(`{"name": "Other signs"}`, "one"); status != 409 {
		t.Errorf("the same key for another one: %d", status)
	}
	if _, other := create(`{"name": "Signs"}`); other.ID == first.ID {
		t.Error("without a key it was the same one")
	}
	// A key is its account's.
	before := f.bench.auth.account
	f.bench.auth.account, _ = portaltest.AddTenant(t, f.store)
	if status, other := create(`{"name": "Signs"}`, "one"); status != 201 || other.ID == first.ID {
		t.Errorf("another account's key gave %d, %s", status, other.ID)
	}
	f.bench.auth.account = before
}

// TestAWindowThatIsNotSentStays: one is shortened without the other.
func TestAWindowThatIsNotSentStays(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	secret := b.token(portal.ScopeDatasetsWrite)
	path := "/api/v1/datasets/" + string(f.sealed.ID)
	for _, test := range []struct {
		body       string
		after, age int64
	}{
		{`{}`, 86400, 30 * 86400},
		{`{"afterTrainingSeconds": 0}`, 0, 30 * 86400},
		{`{"maxAgeSeconds": 7200}`, 0, 7200},
	} {
		_, body := b.ask(t, http.MethodPatch, path, "/api/v1/datasets/{id}", secret, sent(test.body)...)
		if d := decode[rest.Dataset](t, body); d.AfterTrainingSeconds != test.after || d.MaxAgeSeconds != test.age {
			t.Errorf("%s: %d and %d, want %d and %d", test.body, d.AfterTrainingSeconds, d.MaxAgeSeconds, test.after, test.age)
		}
	}
}

func TestErasingUnderRunsTakesTheirScopeToo(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	path := "/api/v1/datasets/" + string(f.sealed.ID) + "?cancel=true"
	if answer, body := b.ask(t, http.MethodDelete, path, "/api/v1/datasets/{id}", b.token(portal.ScopeDatasetsWrite)); answer.StatusCode != http.StatusForbidden {
		t.Errorf("with the scope of datasets: %d %s", answer.StatusCode, body)
	}
	answer, body := b.ask(t, http.MethodDelete, path, "/api/v1/datasets/{id}", b.token(portal.ScopeDatasetsWrite, portal.ScopeRunsWrite))
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(decode[rest.Dataset](t, body).State, "Eras") { // or Erased: this cluster is fast
		t.Errorf("with both scopes: %d %s", answer.StatusCode, body)
	}
}

func TestProblemsPointAtMembers(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	secret := b.token(portal.Scopes()...)
	spec := func(name string, value any) func(map[string]any) {
		return func(body map[string]any) { body["spec"].(map[string]any)[name] = value }
	}
	for name, test := range map[string]struct {
		method, path, pattern, body string
		pointers                    []string
	}{
		"three mistakes at once": {
			"POST", "/api/v1/runs", "/api/v1/runs", f.order(func(body map[string]any) { body["name"] = "" }, spec("retries", 99), spec("maxDurationSeconds", 1)),
			[]string{"#/name", "#/spec/maxDurationSeconds", "#/spec/retries"},
		},
		"a run without a dataset": {"POST", "/api/v1/runs", "/api/v1/runs", f.order(func(body map[string]any) { delete(body, "dataset") }), []string{"#/dataset"}},
		"a time beyond all bounds": {
			"POST", "/api/v1/runs", "/api/v1/runs", f.order(spec("maxDurationSeconds", int64(1)<<62)), []string{"#/spec/maxDurationSeconds"},
		},
		"a number of nodes that overflows": {"POST", "/api/v1/runs", "/api/v1/runs", f.order(spec("nodes", int64(1)<<62)), []string{"#/spec/nodes"}},
		"text for a number":                {"POST", "/api/v1/runs", "/api/v1/runs", f.order(spec("gpus", "two")), []string{"#/spec/gpus"}},
		"a dataset without a name":         {"POST", "/api/v1/datasets", "/api/v1/datasets", `{}`, []string{"#/name"}},
		"a longer window": {
			"PATCH", "/api/v1/datasets/" + string(f.sealed.ID), "/api/v1/datasets/{id}", `{"maxAgeSeconds": 31536000}`, []string{"#/maxAgeSeconds"},
		},
		"a file that leads elsewhere": {
			"POST", "/api/v1/datasets/" + string(f.open.ID) + "/files", "/api/v1/datasets/{id}/files", `{"files": [{"path": "../a", "size": 1}]}`, []string{"#/files"},
		},
	} {
		answer, body := b.ask(t, test.method, test.path, test.pattern, secret, sent(test.body, "k-"+strings.ReplaceAll(name, " ", "-"))...)
		p := decode[rest.Problem](t, body)
		got := []string{p.Pointer}
		for _, fault := range p.Errors {
			got = append(got, fault.Pointer)
		}
		slices.Sort(got)
		if got = slices.Compact(got); answer.StatusCode != http.StatusBadRequest || !cmp.Equal(test.pointers, got) {
			t.Errorf("%s: %d for %q, want %q\n%s", name, answer.StatusCode, got, test.pointers, body)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	secret := b.token(portal.Scopes()...)
	plain := func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
	for name, mods := range map[string][]func(*http.Request){
		"no JSON":                sent("{"),
		"a form":                 append(sent(f.order(), "k"), plain),
		"two values":             sent(f.order()+"{}", "k"),
		"a member that is wrong": sent(`{"nam": "x"}`),
		"too much":               sent(`{"name": "` + strings.Repeat("x", 300<<10) + `"}`),
		"nothing":                sent(""),
	} {
		answer, body := b.ask(t, http.MethodPost, "/api/v1/runs", "/api/v1/runs", secret, mods...)
		if p := decode[rest.Problem](t, body); answer.StatusCode != http.StatusBadRequest || p.Detail == "" {
			t.Errorf("%s: %d %s", name, answer.StatusCode, body)
		}
	}
	if len(f.made) != 0 {
		t.Errorf("a run was made: %v", f.made)
	}
}

func TestQueriesAreRefused(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	secret := b.token(portal.Scopes()...)
	run := "/api/v1/runs/" + string(f.over.ID)
	for path, want := range map[string]struct{ pattern, field string }{
		"/api/v1/runs?after=x":        {"/api/v1/runs", "after"},
		"/api/v1/runs?after=MS54Lg":   {"/api/v1/runs", "after"},
		"/api/v1/runs?state=Happy":    {"/api/v1/runs", "state"},
		"/api/v1/datasets?erased=1":   {"/api/v1/datasets", "erased"},
		"/api/v1/datasets?after=%00":  {"/api/v1/datasets", "after"},
		"/api/v1/receipts?after=..":   {"/api/v1/receipts", "after"},
		run + "/files?kind=all":       {"/api/v1/runs/{id}/files", "kind"},
		run + "/files?limit=0":        {"/api/v1/runs/{id}/files", "limit"},
		run + "/download":             {"/api/v1/runs/{id}/download", "path"},
		run + "/log?follow=yes":       {"/api/v1/runs/{id}/log", "follow"},
		run + "/download?kind=secret": {"/api/v1/runs/{id}/download", "kind"},
	} {
		answer, body := b.ask(t, http.MethodGet, path, want.pattern, secret)
		if p := decode[rest.Problem](t, body); answer.StatusCode != http.StatusBadRequest || p.Field != want.field {
			t.Errorf("%s: %d for %q, want 400 for %q", path, answer.StatusCode, p.Field, want.field)
		}
	}
}

func TestListsGoOnByCursor(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	const more = 60
	for i := range more {
		portaltest.AddRun(t, f.store, f.sealed, func(r *portal.Run) { r.CreatedAt = portaltest.Start.Add(-time.Duration(i/2) * time.Minute) })
	}
	secret := b.token(portal.ScopeRunsRead)
	seen := map[string]bool{}
	pages := 0
	for path := "/api/v1/runs?dataset=" + string(f.sealed.ID); ; pages++ {
		_, body := b.ask(t, http.MethodGet, path, "/api/v1/runs", secret)
		page := decode[rest.RunPage](t, body)
		for _, run := range page.Runs {
			if seen[run.ID] {
				t.Errorf("the run %s came twice", run.ID)
			}
			seen[run.ID] = true
		}
		if page.Next == "" {
			break
		}
		path = "/api/v1/runs?dataset=" + string(f.sealed.ID) + "&after=" + page.Next
	}
	if len(seen) != more+2 || pages != 2 {
		t.Errorf("%d runs on %d pages, want %d on 3", len(seen), pages+1, more+2)
	}
}

func TestNobodyReachesWhatIsOthers(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	secret := b.token(portal.Scopes()...)
	for _, route := range b.server.Routes() {
		if !strings.Contains(route.Pattern, "/{id}") && !strings.Contains(route.Pattern, "/{uid}") {
			continue
		}
		path, mods := f.request(t, route.Method, route.Pattern)
		path, query, _ := strings.Cut(path, "?")
		other := string(f.stranger.Dataset)
		if strings.Contains(route.Pattern, "/runs/") {
			other = string(f.stranger.ID)
		}
		parts := strings.Split(path, "/")
		parts[4] = other
		answer, body := b.ask(t, route.Method, strings.Join(parts, "/")+"?"+query, route.Pattern, secret, mods...)
		if answer.StatusCode != http.StatusNotFound || strings.Contains(string(body), "Baseline") {
			t.Errorf("%s %s of another: %d %s", route.Method, route.Pattern, answer.StatusCode, body)
		}
	}
}

func TestRunsInTheWayOfAnErase(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	path := "/api/v1/datasets/" + string(f.sealed.ID)
	answer, body := b.ask(t, http.MethodDelete, path, "/api/v1/datasets/{id}", b.token(portal.ScopeDatasetsWrite))
	p := decode[rest.Problem](t, body)
	if diff := cmp.Diff([]rest.UsedBy{{ID: string(f.running.ID), Name: "Baseline"}}, p.Runs); answer.StatusCode != http.StatusConflict || diff != "" {
		t.Errorf("%d (-want +got):\n%s", answer.StatusCode, diff)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	secret := b.token(portal.ScopeRunsRead)
	const pattern = "/api/v1/runs/{id}/log"
	log := func(id portal.RunID, query string, mods ...func(*http.Request)) string {
		answer, body := b.ask(t, http.MethodGet, "/api/v1/runs/"+string(id)+"/log"+query, pattern, secret, mods...)
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%d: %s", answer.StatusCode, body)
		}
		return string(body)
	}
	if text := log(f.running.ID, ""); !strings.Contains(text, "epoch 1\n") || !strings.Contains(text, "epoch 2\n") {
		t.Errorf("the log of a run that runs is %q", text)
	}
	if text := log(f.over.ID, ""); !strings.HasPrefix(text, "# logs/attempt-0001/node-0/trainer-000001.log\nwhat logs/") {
		t.Errorf("the log of a run that is over is %q", text)
	}
	// The stream goes on until the server is about to end: the run has not.
	text := make(chan string)
	go func() { text <- log(f.running.ID, "?follow=true") }()
	f.await(t, "the stream", func(context.Context) bool { b.server.Drain(); return true })
	if got := <-text; !strings.HasPrefix(got, "retry: 2000\n\n") {
		t.Errorf("the stream is %q", got)
	}
}

func TestAFollowedLogHasPositions(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	b.clock.Set(portaltest.Start.AddDate(100, 0, 0)) // deadlines of the connection are real
	server := httptest.NewServer(b.server)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/runs/"+string(f.running.ID)+"/log?follow=true", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.token(portal.ScopeRunsRead))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var got strings.Builder
	for piece := make([]byte, 4096); !strings.Contains(got.String(), "epoch 2"); {
		n, err := answer.Body.Read(piece)
		got.Write(piece[:n])
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
	}
	if !strings.Contains(got.String(), "id: 17") || !strings.Contains(got.String(), "event: lines\ndata: {") {
		t.Errorf("the stream is %q", got.String())
	}
}

func TestDownloads(t *testing.T) {
	t.Parallel()
	b, f := newTraining(t)
	secret := b.token(portal.ScopeRunsRead)
	path := "/api/v1/runs/" + string(f.over.ID) + "/download"
	const pattern = "/api/v1/runs/{id}/download"
	answer, _ := b.ask(t, http.MethodGet, path+"?path=model/weights.bin", pattern, secret)
	if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), f.objects.URL) {
		t.Errorf("%d to %q", answer.StatusCode, answer.Header.Get("Location"))
	}
	answer, body := b.ask(t, http.MethodGet, path+"?kind=log&path=logs/attempt-0001/node-0/trainer-000001.log", pattern, secret)
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "what logs/") ||
		!strings.Contains(answer.Header.Get("Content-Disposition"), "trainer-000001.log") {
		t.Errorf("%d %v %q", answer.StatusCode, answer.Header, body)
	}
	if answer, _ := b.ask(t, http.MethodGet, path+"?kind=log&path=logs/none", pattern, secret); answer.StatusCode != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", answer.StatusCode)
	}
}
