package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// What the operator puts together fits.
var (
	_ manager.Runnable               = (*Server)(nil)
	_ manager.LeaderElectionRunnable = (*Server)(nil)
	_ healthz.Checker                = (*Server)(nil).Ready
	_ Assumer                        = (*objectstore.Client)(nil)
	_ TokenReviewer                  = authenticationv1client.TokenReviewInterface(nil)
	_ AccessReviewer                 = authorizationv1client.SubjectAccessReviewInterface(nil)
)

// raw sends what the client would never send.
func (w *world) raw(t *testing.T, method, path, body string) (*http.Response, staging.Problem) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "bearer "+w.token)
	res, err := w.http.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var problem staging.Problem
	if err := json.Unmarshal(data, &problem); err != nil {
		t.Fatalf("answer is not JSON: %q", data)
	}
	return res, problem
}

func TestRequestsThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	const stage = staging.PathStage
	cases := map[string]struct {
		method, path, body string
		status             int
		reason             string
	}{
		"no body":                   {http.MethodPost, stage, "", 400, staging.ProblemMalformed},
		"blanks":                    {http.MethodPost, stage, "  \n", 400, staging.ProblemMalformed},
		"no JSON":                   {http.MethodPost, stage, "step=stage-in", 400, staging.ProblemMalformed},
		"another type":              {http.MethodPost, stage, `["stage-in"]`, 400, staging.ProblemMalformed},
		"nothing":                   {http.MethodPost, stage, `null`, 400, staging.ProblemMalformed},
		"an unknown field":          {http.MethodPost, stage, `{"step":"stage-in","run":"other"}`, 400, staging.ProblemMalformed},
		"a second value":            {http.MethodPost, stage, `{"step":"stage-in"}{}`, 400, staging.ProblemMalformed},
		"rubbish at the end":        {http.MethodPost, stage, `{"step":"stage-in"} x`, 400, staging.ProblemMalformed},
		"too large a body":          {http.MethodPost, stage, `{"step":"` + strings.Repeat("x", maxBody) + `"}`, 413, staging.ProblemMalformed},
		"a body where none belongs": {http.MethodPost, staging.PathTrainer, `{}`, 400, staging.ProblemMalformed},
		"a GET":                     {http.MethodGet, stage, "", 405, staging.ProblemMalformed},
		"a DELETE":                  {http.MethodDelete, staging.PathUpload, "", 405, staging.ProblemMalformed},
		"an unknown path":           {http.MethodPost, "/v1/other", "", 404, staging.ProblemNotFound},
		"the root":                  {http.MethodGet, "/", "", 404, staging.ProblemNotFound},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.start(t)
			res, problem := w.raw(t, tc.method, tc.path, tc.body)
			if res.StatusCode != tc.status || problem.Status != tc.status || problem.Reason != tc.reason {
				t.Errorf("got %d %+v, want %d %s", res.StatusCode, problem, tc.status, tc.reason)
			}
			if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type = %q", got)
			}
			if tc.status == http.StatusMethodNotAllowed && res.Header.Get("Allow") != http.MethodPost {
				t.Errorf("Allow = %q", res.Header.Get("Allow"))
			}
		})
	}
}

func TestAnswersAreNotKeptAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.start(t)
	res, _ := w.raw(t, http.MethodPost, staging.PathStage, `{"step":"stage-out"}`)
	if got := res.Header.Get("Cache-Control"); res.StatusCode != http.StatusOK || got != "no-store" {
		t.Errorf("status %d with Cache-Control %q", res.StatusCode, got)
	}
}

func TestInternalErrorsAreLoggedOnceWithTheirNumberAndNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.sts.err = errBroken
	w.start(t)
	res, problem := w.raw(t, http.MethodPost, staging.PathStage, `{"step":"stage-in"}`)
	id := res.Header.Get("X-Request-Id")
	logged := w.logs()
	if len(logged) != 1 || !strings.Contains(logged[0], id) || !strings.Contains(logged[0], errBroken.Error()) {
		t.Fatalf("logs = %q, want one with the number %q and the cause", logged, id)
	}
	if id == "" || !strings.Contains(problem.Detail, id) || res.Header.Get("Retry-After") == "" {
		t.Errorf("the answer %+v does not tell the number %q or when to come back", problem, id)
	}
	for _, secret := range []string{podToken, "store-secret", "session", "127.0.0.1"} {
		if strings.Contains(logged[0], secret) {
			t.Errorf("the log tells %q: %s", secret, logged[0])
		}
	}
}

func TestSlotsBoundTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	for range cap(w.server.working) {
		w.server.working <- struct{}{}
	}
	_, err := c.Stage(t.Context(), staging.StepStageIn)
	var problem *brokerclient.ProblemError
	if !errors.As(err, &problem) || problem.Problem.Reason != staging.ProblemTooMany || problem.RetryAfter != time.Second {
		t.Errorf("error = %v, want TooMany with a pause of a second", err)
	}
	<-w.server.working
	if _, err := c.Stage(t.Context(), staging.StepStageIn); err != nil {
		t.Errorf("with a free slot: %v", err)
	}
}

func TestMetricsCountAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	registry := prometheus.NewPedanticRegistry()
	w.options = func(o *Options) { o.Metrics = registry }
	c := w.start(t)
	_, _ = c.Stage(t.Context(), staging.StepStageIn)
	_, _ = c.Stage(t.Context(), staging.StepStageIn)
	_, _ = c.Stage(t.Context(), "other")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, metric := range families[0].GetMetric() {
		labels := []string{}
		for _, label := range metric.GetLabel() {
			labels = append(labels, label.GetValue())
		}
		got[strings.Join(labels, " ")] = metric.GetCounter().GetValue()
	}
	if got["/v1/stage OK"] != 2 || got["/v1/stage Malformed"] != 1 || len(got) != 2 {
		t.Errorf("%s = %v", families[0].GetName(), got)
	}
}

func TestStartServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld()
	o := w.baseOptions(t)
	// The certificate is verified by this machine's clock.
	w.clock.SetTime(clock.RealClock{}.Now())
	ca, err := EnsureCA(t.Context(), fake.NewClientBuilder().WithScheme(testScheme(t)).Build(), "lethe-system", w.clock.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o.Certificate = NewCertificates(ca, []string{"127.0.0.1"}, w.clock, rand.Reader).Get
	if w.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	if w.server.NeedLeaderElection() || w.server.Ready(nil) == nil || w.server.Addr() != nil {
		t.Error("before the start: needs a leader, or is ready")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.server.Start(ctx) }()
	eventually(t, "the server listens", func() bool { return w.server.Ready(nil) == nil })
	c, err := brokerclient.New("https://"+w.server.Addr().String(), ca.Bundle(), func() (string, error) { return podToken, nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stage(t.Context(), staging.StepStageIn); err != nil {
		t.Errorf("Stage: %v", err)
	}
	answers := w.wait(t.Context(), t, c)
	stop()
	if got := <-answers; got.err != nil || got.status.Ended {
		t.Errorf("a waiting request was not let go: %+v", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Start: %v", err)
	}
	if w.server.Ready(nil) == nil {
		t.Error("ready after the end")
	}
}

func TestStartFailsWhereItCanNotListen(t *testing.T) {
	t.Parallel()
	w := newWorld()
	o := w.baseOptions(t)
	o.Address = "256.0.0.1:1"
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("want an error")
	}
}

func TestNewRefusesOptions(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*Options){
		"no address":           func(o *Options) { o.Address = "" },
		"no clock":             func(o *Options) { o.Clock = nil },
		"no reader":            func(o *Options) { o.Live = nil },
		"no STS":               func(o *Options) { o.STS = nil },
		"no logs":              func(o *Options) { o.Logs = nil },
		"no writer":            func(o *Options) { o.Statuses = nil },
		"no keys":              func(o *Options) { o.Keys = nil },
		"a plain store":        func(o *Options) { o.Store.Endpoint = "http://minio:9000" },
		"a store by FTP":       func(o *Options) { o.Store.Endpoint, o.Store.InsecurePlaintext = "ftp://minio", true },
		"too short a life":     func(o *Options) { o.CredentialLife = objectstore.MinSessionLife - 1 },
		"a negative rate":      func(o *Options) { o.RequestsPerSecond = -1 },
		"a negative burst":     func(o *Options) { o.Burst = -1 },
		"no endpoint":          func(o *Options) { o.Store.Endpoint = "" },
		"a wildcard bucket":    func(o *Options) { o.Store.DatasetsBucket = "data*" },
		"one bucket for all":   func(o *Options) { o.Store.ArtifactsBucket = o.Store.DatasetsBucket },
		"metrics that collide": func(o *Options) { collide(o) },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newWorld().baseOptions(t)
			change(&o)
			if _, err := New(o); err == nil {
				t.Error("want an error")
			}
		})
	}
}

func collide(o *Options) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "lethe_broker_answers_total", Help: "another"}))
	o.Metrics = registry
}

func TestRequestNumbersNeedNoLuck(t *testing.T) {
	t.Parallel()
	s := &Server{random: bytes.NewReader(nil)}
	if got := s.requestID(); got != "none" {
		t.Errorf("requestID = %q without randomness", got)
	}
}

func TestLimitsStayBoundedAndKeepTheirCallers(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	l := newLimits(1, 1)
	for i := range maxLimiters {
		if !l.allow(strconv.Itoa(i), now) {
			t.Fatalf("caller %d was refused at first", i)
		}
	}
	if l.allow("0", now) {
		t.Error("a second request passed")
	}
	if !l.allow("late", now) || l.allow("later", now) {
		t.Error("callers without a bucket of their own share one")
	}
	if len(l.each) != maxLimiters {
		t.Errorf("%d buckets, want at most %d", len(l.each), maxLimiters)
	}
	later := now.Add(time.Second)
	if !l.allow("late", later) || len(l.each) != 1 {
		t.Errorf("%d buckets are left after all were full again, want 1", len(l.each))
	}
}

func TestTokenMemoryStaysBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	m := newTokenMemory[string](memberLife)
	for i := range maxTokens {
		m.put(strconv.Itoa(i), "old", now)
	}
	m.put("new", "new", now)
	if _, ok := m.get("0", now); ok || len(m.entries) != 1 {
		t.Errorf("%d entries after a full memory was cleared, want 1", len(m.entries))
	}
	for i := range maxTokens - 1 {
		m.put(strconv.Itoa(i), "old", now.Add(-time.Second))
	}
	m.put("newest", "newest", now.Add(memberLife-time.Second))
	if got, ok := m.get("new", now); !ok || got != "new" || len(m.entries) != 2 {
		t.Errorf("%d entries after the expired were dropped, want 2", len(m.entries))
	}
}
