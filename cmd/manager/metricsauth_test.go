package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fakeReviews is an API server that knows one token and one permission.
type fakeReviews struct{ down bool }

const (
	knownToken    = "known"
	strangerToken = "known-but-forbidden"
)

type fakeTokens fakeReviews

func (f fakeTokens) Create(_ context.Context, r *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	if f.down {
		return nil, errors.New("the API server is away")
	}
	r.Status.Authenticated = r.Spec.Token == knownToken || r.Spec.Token == strangerToken
	r.Status.User.Username = r.Spec.Token
	return r, nil
}

type fakeAccess fakeReviews

func (f fakeAccess) Create(_ context.Context, r *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	what := r.Spec.NonResourceAttributes
	r.Status.Allowed = r.Spec.User == knownToken && what.Path == "/metrics" && what.Verb == "get"
	return r, nil
}

func TestScrapeGuard(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		header string
		method string
		path   string
		down   bool
		busy   bool
		want   int
	}{
		"lets in who may":                         {header: "Bearer " + knownToken, want: http.StatusOK},
		"refuses nobody's request":                {want: http.StatusUnauthorized},
		"refuses other schemes":                   {header: "Basic " + knownToken, want: http.StatusUnauthorized},
		"refuses an unknown token":                {header: "Bearer forged", want: http.StatusUnauthorized},
		"refuses who may not":                     {header: "Bearer " + strangerToken, want: http.StatusForbidden},
		"asks about the very path":                {header: "Bearer " + knownToken, path: "/debug", want: http.StatusForbidden},
		"asks about the very verb":                {header: "Bearer " + knownToken, method: http.MethodPost, want: http.StatusForbidden},
		"says so when it can not ask":             {header: "Bearer " + knownToken, down: true, want: http.StatusServiceUnavailable},
		"turns away more than it can ask at once": {header: "Bearer " + knownToken, busy: true, want: http.StatusTooManyRequests},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reviews := fakeReviews{down: tc.down}
			guard := &scrapeGuard{tokens: fakeTokens(reviews), access: fakeAccess(reviews), slots: make(chan struct{}, 1), log: logr.Discard()}
			if tc.busy {
				guard.slots <- struct{}{}
			}
			if tc.path == "" {
				tc.path = "/metrics"
			}
			served := false
			handler := guard.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }))
			request := httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, http.NoBody)
			if tc.header != "" {
				request.Header.Set("Authorization", tc.header)
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if answer.Code != tc.want || served != (tc.want == http.StatusOK) {
				t.Errorf("got %d, served %v; want %d", answer.Code, served, tc.want)
			}
		})
	}
}
