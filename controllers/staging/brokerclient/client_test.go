package brokerclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// seen is what a broker was asked.
type seen struct {
	Method, Path, Authorization, Body string
}

func start(t *testing.T, answer http.HandlerFunc) (server *httptest.Server, ca []byte) {
	t.Helper()
	server = httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func fixedToken(token string) func() (string, error) {
	return func() (string, error) { return token, nil }
}

func client(t *testing.T, address string, ca []byte, options ...brokerclient.Option) *brokerclient.Client {
	t.Helper()
	c, err := brokerclient.New(address, ca, fixedToken("secret\n"), options...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return c
}

func TestClientAsksAsTheProtocolSays(t *testing.T) {
	t.Parallel()
	store := staging.StoreGrant{Bucket: "datasets", Prefix: "ns/uid/", IssuedAt: time.Unix(1, 0).UTC()}
	stage := staging.StageGrant{Store: store, ManifestDigest: "sha256:1"}
	ended := staging.TrainerStatus{Ended: true, ExitCode: 3}
	cases := map[string]struct {
		ask  func(context.Context, *brokerclient.Client) (any, error)
		want seen
		give any
	}{
		"a step is asked for with its name": {
			ask: func(ctx context.Context, c *brokerclient.Client) (any, error) {
				return c.Stage(ctx, staging.StepStageIn)
			},
			want: seen{Path: staging.PathStage, Body: `{"step":"stage-in"}`},
			give: stage,
		},
		"the trainer is asked for without a body": {
			ask:  func(ctx context.Context, c *brokerclient.Client) (any, error) { return c.Trainer(ctx) },
			want: seen{Path: staging.PathTrainer},
			give: ended,
		},
		"the other nodes are asked for without a body": {
			ask:  func(ctx context.Context, c *brokerclient.Client) (any, error) { return c.Gang(ctx) },
			want: seen{Path: staging.PathGang},
			give: staging.GangStatus{Ready: true},
		},
		"progress is told without what is not known": {
			ask: func(ctx context.Context, c *brokerclient.Client) (any, error) {
				step := int64(3)
				return staging.ProgressAnswer{}, c.Progress(ctx, staging.ProgressRequest{Sequence: 7, Step: &step})
			},
			want: seen{Path: staging.PathProgress, Body: `{"sequence":7,"step":3,"idleSeconds":0}`},
			give: staging.ProgressAnswer{},
		},
		"a checkpoint is told with its record": {
			ask: func(ctx context.Context, c *brokerclient.Client) (any, error) {
				return staging.CheckpointAnswer{}, c.Checkpoint(ctx, staging.CheckpointRequest{ID: "0001-000002", Digest: "sha256:1", Bytes: 5})
			},
			want: seen{Path: staging.PathCheckpoint, Body: `{"id":"0001-000002","digest":"sha256:1","step":0,"objects":0,"bytes":5}`},
			give: staging.CheckpointAnswer{},
		},
		"a log is asked for from its beginning": {
			ask: func(ctx context.Context, c *brokerclient.Client) (any, error) {
				return c.Log(ctx, staging.LogRequest{})
			},
			want: seen{Path: staging.PathLog, Body: `{}`},
			give: staging.LogAnswer{Last: time.Unix(1, 7).UTC(), Ended: true},
		},
		"a log may be as long as an answer can be": {
			ask: func(ctx context.Context, c *brokerclient.Client) (any, error) {
				return c.Log(ctx, staging.LogRequest{Since: time.Unix(1, 7).UTC()})
			},
			want: seen{Path: staging.PathLog, Body: `{"since":"1970-01-01T00:00:01.000000007Z"}`},
			give: staging.LogAnswer{Lines: bytes.Repeat([]byte{0xff}, staging.MaxLogChunk), Last: time.Unix(2, 0).UTC(), More: true},
		},
		"an upload names its dataset": {
			ask: func(ctx context.Context, c *brokerclient.Client) (any, error) {
				return c.Upload(ctx, "ns", "digits")
			},
			want: seen{Path: staging.PathUpload, Body: `{"namespace":"ns","name":"digits"}`},
			give: store,
		},
		"artifacts are asked for by their run": {
			ask: func(ctx context.Context, c *brokerclient.Client) (any, error) {
				return c.Artifacts(ctx, "ns", "run")
			},
			want: seen{Path: staging.PathArtifacts, Body: `{"namespace":"ns","name":"run"}`},
			give: store,
		},
		"a receipt is asked for by the UID of what was erased": {
			ask: func(ctx context.Context, c *brokerclient.Client) (any, error) {
				return c.Receipt(ctx, "ns", "uid")
			},
			want: seen{Path: staging.PathReceipt, Body: `{"namespace":"ns","uid":"uid"}`},
			give: staging.ReceiptAnswer{Envelope: []byte("{}"), Digest: "sha256:1"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan seen, 1)
			server, ca := start(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				asked <- seen{r.Method, r.URL.Path, r.Header.Get("Authorization"), string(body)}
				_ = json.NewEncoder(w).Encode(tc.give)
			})
			got, err := tc.ask(t.Context(), client(t, server.URL+"/", ca))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.give, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			tc.want.Method, tc.want.Authorization = http.MethodPost, "Bearer secret"
			if diff := cmp.Diff(tc.want, <-asked); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusalsSayWhetherToTryAgain(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		status int
		body   string
		header string
		want   brokerclient.ProblemError
		retry  bool
	}{
		"a final refusal is final": {
			status: http.StatusGone,
			body:   `{"status":410,"reason":"Sealed","detail":"it is sealed"}`,
			want: brokerclient.ProblemError{Problem: staging.Problem{
				Status: 410, Reason: staging.ProblemSealed, Detail: "it is sealed",
			}},
		},
		"not yet is worth another try": {
			status: http.StatusConflict, body: `{"reason":"NotYet"}`, retry: true,
			want: brokerclient.ProblemError{Problem: staging.Problem{Status: 409, Reason: staging.ProblemNotYet}},
		},
		"too many names the pause": {
			status: http.StatusTooManyRequests, body: `{"reason":"TooMany"}`, header: "3", retry: true,
			want: brokerclient.ProblemError{
				Problem: staging.Problem{Status: 429, Reason: "TooMany"}, RetryAfter: 3 * time.Second,
			},
		},
		"an answer of something else keeps its status": {
			status: http.StatusBadGateway, body: `<html>`, retry: true,
			want: brokerclient.ProblemError{Problem: staging.Problem{Status: 502}},
		},
		"the status of the body does not count": {
			status: http.StatusForbidden, body: `{"status":503,"reason":"Forbidden"}`,
			want: brokerclient.ProblemError{Problem: staging.Problem{Status: 403, Reason: staging.ProblemForbidden}},
		},
		"a redirect is not followed": {
			status: http.StatusTemporaryRedirect,
			want:   brokerclient.ProblemError{Problem: staging.Problem{Status: 307}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, ca := start(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("Retry-After", tc.header)
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			_, err := client(t, server.URL, ca).Trainer(t.Context())
			var got *brokerclient.ProblemError
			if !errors.As(err, &got) {
				t.Fatalf("error is not a ProblemError: %v", err)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
			if brokerclient.Retryable(err) != tc.retry {
				t.Errorf("Retryable = %v, want %v", !tc.retry, tc.retry)
			}
		})
	}
}

func TestFailuresBeforeAnAnswer(t *testing.T) {
	t.Parallel()
	server, ca := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{") })
	gone, _ := start(t, nil)
	gone.Close()
	broken := func() (string, error) { return "", errors.New("no file") }
	cancelled := func(parent context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(parent)
		cancel()
		return ctx, cancel
	}
	late := func(parent context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(parent, -time.Second)
	}
	cases := map[string]struct {
		change  func(context.Context) (context.Context, context.CancelFunc)
		address string
		token   func() (string, error)
		retry   bool
	}{
		"an unreadable token is final":     {address: server.URL, token: broken},
		"a cancelled caller does not want": {change: cancelled, address: server.URL},
		"a timeout is worth another try":   {change: late, address: server.URL, retry: true},
		"nobody listens yet":               {address: gone.URL, retry: true},
		"half an answer":                   {address: server.URL, retry: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := tc.token
			if token == nil {
				token = fixedToken("secret")
			}
			c, err := brokerclient.New(tc.address, ca, token)
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if tc.change != nil {
				var cancel context.CancelFunc
				ctx, cancel = tc.change(ctx)
				defer cancel()
			}
			_, err = c.Trainer(ctx)
			if err == nil {
				t.Fatal("want an error")
			}
			if brokerclient.Retryable(err) != tc.retry {
				t.Errorf("Retryable(%v) = %v, want %v", err, !tc.retry, tc.retry)
			}
		})
	}
	if brokerclient.Retryable(nil) {
		t.Error("success is not worth another try")
	}
}

func TestNewRefusesWhatCanNotWork(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		address string
		ca      string
	}{
		"an address without TLS":     {address: "http://broker:8443"},
		"an address without scheme":  {address: "broker:8443"},
		"not an address":             {address: "https://[::1"},
		"a CA without a certificate": {address: "https://broker:8443", ca: "hello"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := brokerclient.New(tc.address, []byte(tc.ca), fixedToken("")); err == nil {
				t.Error("want an error")
			}
		})
	}
}

func TestTheBrokerIsVerifiedAndReachedAsTold(t *testing.T) {
	t.Parallel()
	server, ca := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	const elsewhere = "https://lethe-broker.lethe-system.svc:8443"
	named := client(t, elsewhere, ca,
		brokerclient.WithDialContext(dial), brokerclient.WithServerName("example.com"))
	if _, err := named.Trainer(t.Context()); err != nil {
		t.Errorf("with the name of the certificate: %v", err)
	}
	unnamed := client(t, elsewhere, ca, brokerclient.WithDialContext(dial))
	if _, err := unnamed.Trainer(t.Context()); err == nil {
		t.Error("a certificate for another name was accepted")
	}
	if _, err := client(t, server.URL, nil).Trainer(t.Context()); err == nil {
		t.Error("a certificate of an unknown CA was accepted")
	}
}
