package main

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
	"github.com/lethe-dev/lethe/portal"
	api "github.com/lethe-dev/lethe/portal/rest"
)

func TestWhatTheBrokerRefuses(t *testing.T) {
	t.Parallel()
	refusal := func(status int, reason string) error {
		return &brokerclient.ProblemError{Problem: staging.Problem{Status: status, Reason: reason, Detail: "d"}, RetryAfter: 7 * time.Second}
	}
	cases := map[string]struct {
		err   error
		kind  portal.Kind
		retry time.Duration
	}{
		"too early":                  {refusal(http.StatusConflict, staging.ProblemNotYet), portal.KindUnavailable, 7 * time.Second},
		"a sealed dataset":           {refusal(http.StatusGone, staging.ProblemSealed), portal.KindConflict, 0},
		"a dataset that is erased":   {refusal(http.StatusGone, staging.ProblemDatasetErasing), portal.KindConflict, 0},
		"no receipt yet":             {refusal(http.StatusNotFound, staging.ProblemNotFound), portal.KindNotFound, 0},
		"too many requests":          {refusal(http.StatusTooManyRequests, staging.ProblemTooMany), portal.KindTooMany, 7 * time.Second},
		"a store that is away":       {refusal(http.StatusServiceUnavailable, staging.ProblemUnavailable), portal.KindUnavailable, notYet},
		"a right that we lack":       {refusal(http.StatusForbidden, staging.ProblemForbidden), portal.KindInternal, 0},
		"a broker that is not there": {errors.New("connection refused"), portal.KindUnavailable, notYet},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := brokerProblem(c.err)
			var told *portal.Error
			var retry time.Duration
			if errors.As(err, &told) {
				retry = told.RetryAfter
			}
			if portal.KindOf(err) != c.kind || retry != c.retry || !errors.Is(err, c.err) {
				t.Errorf("got %v: kind %d after %v, want kind %d after %v", err, portal.KindOf(err), retry, c.kind, c.retry)
			}
		})
	}
	if err := brokerProblem(nil); err != nil {
		t.Errorf("no refusal became %v", err)
	}
}

func TestTheTokenForTheBroker(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-a-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, config := range map[string]*rest.Config{
		"from-a-file": {BearerTokenFile: file, BearerToken: "older"}, "written-down": {BearerToken: "written-down"},
	} {
		token, err := tokenOf(config)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := token(); err != nil || got != want {
			t.Errorf("the token is %q, %v; want %q", got, err, want)
		}
	}
	if _, err := tokenOf(&rest.Config{}); err == nil {
		t.Error("a connection without a token was taken")
	}
}

func TestWithoutAClusterThereIsNoTraining(t *testing.T) {
	t.Parallel()
	training, err := openTraining(clusterConfig{}, nil, slog.New(slog.DiscardHandler))
	if err != nil || training != nil {
		t.Fatalf("got %v, %v", training, err)
	}
	if diff := cmp.Diff(0, len(training.loops())); diff != "" {
		t.Error(diff)
	}
	var programs api.Dependencies
	training.provideAPI(&programs)
	if programs.Datasets != nil || programs.Runs != nil || programs.Live != nil || programs.ReceiptKeys != nil {
		t.Error("the API has datasets and runs")
	}
	if err := training.away(t.Context()); err != nil {
		t.Errorf("it warns of %v", err)
	}
	if err := (clusterConfig{}).validate(); err != nil {
		t.Errorf("it is refused: %v", err)
	}
	if err := (clusterConfig{kubeconfig: inCluster, storeURL: "http://store"}).validate(); err == nil {
		t.Error("a store without TLS was taken")
	}
}
