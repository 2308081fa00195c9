package access

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// Role is the ClusterRole that holds the rights that the commands need in a
// namespace; see config/rbac/user_roles.yaml.
const Role = "lethe-user"

// AskForRole says to a person without a right of Role what to do.
const AskForRole = "ClusterRole " + Role + " holds this right: ask who administers the namespace to bind it to you with a RoleBinding"

// DefaultServiceAccount is used where the kubeconfig yields no token.
const DefaultServiceAccount = "lethe-uploader"

// tokenLife is the shortest life of a token that the API server issues.
const tokenLife = 10 * time.Minute

// Tokens yields tokens for the broker.
type Tokens struct {
	// Config is what the kubeconfig says about the connection.
	Config *rest.Config
	// Client asks the API server for a service account's token.
	Client client.Client
	// Account is the service account to ask for where Config yields no token.
	Account client.ObjectKey
}

// Token is asked for afresh before each request, so that login plugins can renew
// theirs; it makes at most one call to the API server. The token is lent if it is
// the service account's.
func (t Tokens) Token(ctx context.Context) (token string, lent bool, err error) {
	token, err = personal(ctx, t.Config)
	if err != nil || token != "" {
		return token, false, err
	}
	token, err = t.serviceAccount(ctx)
	return token, true, err
}

// Grant says how whoever the broker sees comes by the rights that a command needs.
func (t Tokens) Grant(lent bool) string {
	if lent {
		return fmt.Sprintf("the one who needs it is service account %s, whose token was used; bind ClusterRole %s to it with: %s",
			t.Account.Name, Role, t.bind())
	}
	return AskForRole
}

// personal takes the bearer token that client-go would send to the API server,
// by sending a request through all of its layers into a dead end: whichever way
// the kubeconfig gets its token, it comes out here. Empty if it has none, or if
// the token would not name the person who is acted for.
func personal(ctx context.Context, config *rest.Config) (string, error) {
	if impersonates(config.Impersonate) {
		return "", nil
	}
	var end deadEnd
	layers, err := rest.HTTPWrappersForConfig(config, &end)
	if err != nil {
		return "", fmt.Errorf("read the login of the kubeconfig: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://dead.end.invalid/", nil)
	if err != nil {
		return "", fmt.Errorf("make request: %w", err)
	}
	resp, err := layers.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("log in with the kubeconfig: %w", err)
	}
	if err := resp.Body.Close(); err != nil {
		return "", fmt.Errorf("close answer: %w", err)
	}
	token, _ := strings.CutPrefix(end.authorization, "Bearer ")
	if token == end.authorization {
		return "", nil
	}
	return token, nil
}

func impersonates(i rest.ImpersonationConfig) bool {
	return i.UserName != "" || i.UID != "" || len(i.Groups) > 0 || len(i.Extra) > 0
}

// deadEnd keeps the header and sends nothing.
type deadEnd struct{ authorization string }

func (d *deadEnd) RoundTrip(req *http.Request) (*http.Response, error) {
	d.authorization = req.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

func (t Tokens) serviceAccount(ctx context.Context) (string, error) {
	seconds := int64(tokenLife / time.Second)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: t.Account.Namespace, Name: t.Account.Name,
	}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences:         []string{staging.Audience},
		ExpirationSeconds: &seconds,
	}}
	err := t.Client.SubResource("token").Create(ctx, account, request)
	switch {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("your kubeconfig has no token, and service account %s, which would lend one, does not exist; "+
			"create it with: %s", t.Account.Name, t.recipe())
	case apierrors.IsForbidden(err):
		return "", fmt.Errorf("your kubeconfig has no token, and you may not use service account %s of namespace %s instead: "+
			"log in with a token, or ask for a Role (ClusterRole %s is not enough) with the verb create on serviceaccounts/token: %w",
			t.Account.Name, t.Account.Namespace, Role, err)
	case err != nil:
		return "", fmt.Errorf("request token of service account %s: %w", t.Account.Name, err)
	}
	return request.Status.Token, nil
}

func (t Tokens) recipe() string {
	return fmt.Sprintf("kubectl -n %s create serviceaccount %s && %s", t.Account.Namespace, t.Account.Name, t.bind())
}

func (t Tokens) bind() string {
	ns, name := t.Account.Namespace, t.Account.Name
	return fmt.Sprintf("kubectl -n %s create rolebinding %s --clusterrole=%s --serviceaccount=%s:%s", ns, name, Role, ns, name)
}
