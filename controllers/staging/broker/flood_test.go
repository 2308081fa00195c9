package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

func reasonOf(err error) string {
	var problem *brokerclient.ProblemError
	if errors.As(err, &problem) {
		return problem.Problem.Reason
	}
	return ""
}

func TestGarbageTokensOfOneHostDoNotReachTheAPIServer(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		ask     question
		reviews int // for a request
	}{
		"of pods":               {askStageIn, 1},
		"of pods that wait":     {askTrainer, 1},
		"of people":             {askUpload, 2},
		"of people for results": {askArtifacts, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const burst = 3
			w := newWorld()
			w.options = func(o *Options) { o.Burst = burst }
			c := w.start(t)
			for i := range 10 * burst {
				w.token = "garbage-" + strconv.Itoa(i)
				want := staging.ProblemUnauthenticated
				if i >= hostShare*burst {
					want = staging.ProblemTooMany
				}
				if got := reasonOf(tc.ask(t.Context(), c)); got != want {
					t.Fatalf("request %d: %q, want %q", i, got, want)
				}
			}
			if got := w.tokens.count(); got != hostShare*burst*tc.reviews {
				t.Errorf("%d reviews, want %d", got, hostShare*burst*tc.reviews)
			}
			if logged := w.logs(); len(logged) > 0 {
				t.Errorf("refusals are logged: %q", logged)
			}
		})
	}
}

func TestHostsHaveSharesOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.options = func(o *Options) { o.Burst = 1 }
	w.start(t)
	from := func(address string) error { return w.server.limitHost(&http.Request{RemoteAddr: address}) }
	for range hostShare {
		if err := from("10.0.0.1:1111"); err != nil {
			t.Fatal(err)
		}
	}
	if err := from("10.0.0.1:2222"); err == nil {
		t.Error("another port is another share")
	}
	if err := from("[fd00::1]:1111"); err != nil {
		t.Errorf("another host: %v", err)
	}
}

func TestRefusedTokensAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.start(t)
	ask := func(token string, ask question, reason string, reviews int) {
		t.Helper()
		w.token = token
		if got := reasonOf(ask(t.Context(), c)); got != reason {
			t.Errorf("answer %q, want %q", got, reason)
		}
		if got := w.tokens.count(); got != reviews {
			t.Errorf("%d reviews, want %d", got, reviews)
		}
	}
	ask("forged", askStageIn, staging.ProblemUnauthenticated, 1)
	ask("forged", askStageIn, staging.ProblemUnauthenticated, 1)
	ask("forged", askTrainer, staging.ProblemUnauthenticated, 1)
	// As a person's it has not been refused yet.
	ask("forged", askUpload, staging.ProblemUnauthenticated, 2)
	ask("forged", askUpload, staging.ProblemUnauthenticated, 2)
	w.clock.Step(refusedLife - time.Millisecond)
	ask("forged", askStageIn, staging.ProblemUnauthenticated, 2)
	w.clock.Step(time.Millisecond)
	ask("forged", askStageIn, staging.ProblemUnauthenticated, 3)
	// What is refused to a pod may still be a person's, and a failed review is none.
	ask(humanToken, askStageIn, staging.ProblemUnauthenticated, 4)
	w.tokens.err = errBroken
	ask(podToken, askStageIn, staging.ProblemUnavailable, 5)
	w.tokens.err = nil
	ask(podToken, askStageIn, "", 6)
	w.dataset.Spec.Sealed = false
	ask(humanToken, askUpload, staging.ProblemSealed, 7)
}

// stuckTokens reviews nothing before it is let go.
type stuckTokens struct {
	TokenReviewer
	entered chan struct{}
	letGo   chan struct{}
}

func (f *stuckTokens) Create(
	ctx context.Context, review *authenticationv1.TokenReview, o metav1.CreateOptions,
) (*authenticationv1.TokenReview, error) {
	f.entered <- struct{}{}
	<-f.letGo
	return f.TokenReviewer.Create(ctx, review, o)
}

func TestReviewsUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld()
	stuck := &stuckTokens{w.tokens, make(chan struct{}), make(chan struct{})}
	w.options = func(o *Options) { o.Tokens = stuck }
	c := w.start(t)
	answers := make(chan error, maxReviews)
	for range maxReviews {
		go func() { answers <- askStageIn(t.Context(), c) }()
		<-stuck.entered
	}
	if got := reasonOf(askStageIn(t.Context(), c)); got != staging.ProblemTooMany {
		t.Errorf("answer %q with all reviews under way, want %q", got, staging.ProblemTooMany)
	}
	close(stuck.letGo)
	for range maxReviews {
		if err := <-answers; err != nil {
			t.Errorf("one that was under way: %v", err)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s, err := New(w.baseOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	if s.connections != maxConnections || s.httpServer().IdleTimeout > 30*time.Second {
		t.Errorf("%d connections, idle for %s", s.connections, s.httpServer().IdleTimeout)
	}
	s.connections = 1
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	eventually(t, "the server listens", func() bool { return s.Ready(nil) == nil })
	first := handshake(t, s.Addr(), 20*time.Second)
	if first == nil {
		t.Fatal("the first connection does not come about")
	}
	if handshake(t, s.Addr(), 300*time.Millisecond) != nil {
		t.Error("a second connection is served beside the first")
	}
	_ = first.Close()
	if handshake(t, s.Addr(), 20*time.Second) == nil {
		t.Error("no connection is served after the first has ended")
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Start: %v", err)
	}
}

// handshake opens a connection; nil when the server does not take it in that time.
func handshake(t *testing.T, address net.Addr, within time.Duration) *tls.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	c, err := dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*tls.Conn)
}
