package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lethe-dev/lethe/controllers/staging/broker"
)

const (
	// reviewTimeout bounds the two questions to the API server.
	reviewTimeout = 10 * time.Second
	// scrapes at once; more are turned away, so that nobody reaches the API
	// server through us faster than this.
	scrapes = 4
)

// scrapeGuard lets those read the metrics whose bearer token the API server knows
// and who may "get" the path: what controller-runtime's own filter does, without
// the machinery of an API server behind it, which is two fifths of the program
// and does not fit into the memory that the operator is to need.
type scrapeGuard struct {
	tokens broker.TokenReviewer
	access broker.AccessReviewer
	slots  chan struct{}
	log    logr.Logger
}

func guardScrapes(cfg *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	kube, err := kubernetes.NewForConfigAndClient(cfg, client)
	if err != nil {
		return nil, fmt.Errorf("make a client for the metrics' guard: %w", err)
	}
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		guard := &scrapeGuard{
			tokens: kube.AuthenticationV1().TokenReviews(), access: kube.AuthorizationV1().SubjectAccessReviews(),
			slots: make(chan struct{}, scrapes), log: log,
		}
		return guard.wrap(next), nil
	}, nil
}

func (g *scrapeGuard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case g.slots <- struct{}{}:
			defer func() { <-g.slots }()
		default:
			http.Error(w, "too many scrapes at once", http.StatusTooManyRequests)
			return
		}
		status, err := g.judge(r)
		if err != nil {
			g.log.Error(err, "Could not judge a scrape")
		}
		if status != http.StatusOK {
			http.Error(w, http.StatusText(status), status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *scrapeGuard) judge(r *http.Request) (int, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return http.StatusUnauthorized, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), reviewTimeout)
	defer cancel()
	who, err := g.tokens.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	if err != nil {
		return http.StatusServiceUnavailable, fmt.Errorf("review token: %w", err)
	}
	if !who.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	user := who.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	may, err := g.access.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: r.URL.Path, Verb: strings.ToLower(r.Method)},
	}}, metav1.CreateOptions{})
	if err != nil {
		return http.StatusServiceUnavailable, fmt.Errorf("review access: %w", err)
	}
	if !may.Status.Allowed || may.Status.Denied {
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}
