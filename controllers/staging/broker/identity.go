package broker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// What the API server says of a service-account token. Users of other kinds can
// not have these: both the prefix and the domain are reserved to Kubernetes.
const (
	serviceAccountPrefix = "system:serviceaccount:"
	extraPodName         = "authentication.kubernetes.io/pod-name"
	extraPodUID          = "authentication.kubernetes.io/pod-uid"
)

// identity is whose a token is.
type identity struct {
	user authenticationv1.UserInfo
	// namespace of a service account; empty for other users.
	namespace string
	// podName and podUID of the pod that the token is bound to; empty for others.
	podName string
	podUID  string
}

// limitKey names the bucket that the caller's requests are taken from.
func (i identity) limitKey() string {
	if i.namespace != "" {
		return "namespace/" + i.namespace
	}
	return "user/" + i.user.Username
}

// newIdentity reads what the API server says of a user.
func newIdentity(user authenticationv1.UserInfo) identity {
	id := identity{user: user}
	account, ok := strings.CutPrefix(user.Username, serviceAccountPrefix)
	if !ok {
		return id
	}
	namespace, name, ok := strings.Cut(account, ":")
	if !ok || namespace == "" || name == "" {
		return id
	}
	id.namespace = namespace
	id.podName, id.podUID = single(user.Extra[extraPodName]), single(user.Extra[extraPodUID])
	return id
}

// single gives the only value of an extra field; several are as good as none.
func single(values authenticationv1.ExtraValue) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// bearer takes the token out of a request.
func bearer(r *http.Request) (string, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", unauthenticated(`send a token in the header "Authorization: Bearer ..."`)
	}
	return token, nil
}

// pod authenticates a pod by a token that is bound to it and to this endpoint.
func (s *Server) pod(ctx context.Context, r *http.Request) (identity, error) {
	token, err := bearer(r)
	if err != nil {
		return identity{}, err
	}
	if err := s.limitHost(r); err != nil {
		return identity{}, err
	}
	caller, ok, err := s.review(ctx, token, staging.Audience)
	if err != nil {
		return identity{}, err
	}
	if !ok {
		return identity{}, unauthenticated("the token is not valid for the audience " + staging.Audience)
	}
	if err := s.limit(caller); err != nil {
		return identity{}, err
	}
	if caller.podName == "" || caller.podUID == "" {
		return identity{}, forbidden("the token is not bound to a pod; only the pods of a run may ask this")
	}
	return caller, nil
}

// person authenticates a person or a service account, by a token for this endpoint
// or by one for the API server.
func (s *Server) person(ctx context.Context, r *http.Request) (identity, error) {
	token, err := bearer(r)
	if err != nil {
		return identity{}, err
	}
	if err := s.limitHost(r); err != nil {
		return identity{}, err
	}
	caller, ok, err := s.review(ctx, token, staging.Audience)
	if err == nil && !ok {
		caller, ok, err = s.review(ctx, token, "")
	}
	if err != nil {
		return identity{}, err
	}
	if !ok {
		return identity{}, unauthenticated("the token is not valid, or no longer; log in to the cluster again")
	}
	return caller, s.limit(caller)
}

// review asks the API server whose a token is and reports false when it is nobody's.
// An audience must be confirmed: an authenticator that knows nothing of audiences
// would accept every token for it. An empty audience asks for the API server's own.
// What was refused is not asked again for a while, and only so much is asked at a
// time: everybody who reaches the port can send tokens.
func (s *Server) review(ctx context.Context, token, audience string) (identity, bool, error) {
	key := audience + " " + token // No audience has a blank.
	if _, ok := s.refused.get(key, s.clock.Now()); ok {
		return identity{}, false, nil
	}
	select {
	case s.reviewing <- struct{}{}:
		defer func() { <-s.reviewing }()
	default:
		return identity{}, false, tooMany()
	}
	caller, ok, err := s.askReviewer(ctx, token, audience)
	if err == nil && !ok {
		s.refused.put(key, struct{}{}, s.clock.Now())
	}
	return caller, ok, err
}

func (s *Server) askReviewer(ctx context.Context, token, audience string) (identity, bool, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	if audience != "" {
		review.Spec.Audiences = []string{audience}
	}
	answer, err := s.reviewer.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return identity{}, false, fmt.Errorf("review token: %w", err)
	}
	status := answer.Status
	if !status.Authenticated || status.User.Username == "" {
		return identity{}, false, nil
	}
	if audience != "" && !slices.Contains(status.Audiences, audience) {
		return identity{}, false, nil
	}
	return newIdentity(status.User), true, nil
}

// limit takes one request from the caller's share.
func (s *Server) limit(caller identity) error {
	if !s.limits.allow(caller.limitKey(), s.clock.Now()) {
		return tooMany()
	}
	return nil
}

// limitHost takes one request from the share of the host that it came from. It is
// all that is known before a review. The address stays in memory.
func (s *Server) limitHost(r *http.Request) error {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "" // Not by TCP; such callers share one bucket.
	}
	if !s.hosts.allow(host, s.clock.Now()) {
		return tooMany()
	}
	return nil
}
