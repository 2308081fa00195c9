package access

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
)

func certificate(t *testing.T) string {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
}

func published(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: discovery.Namespace, Name: discovery.ConfigMapName}, Data: data,
	}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	ca := certificate(t)
	tests := map[string]struct {
		objects  []client.Object
		override Endpoint
		want     Endpoint
		wantErr  string
		noBroker bool
	}{
		"takes what the operator published": {
			objects: []client.Object{published(map[string]string{"url": "https://broker:30443", "ca.crt": ca})},
			want:    Endpoint{URL: "https://broker:30443", CA: []byte(ca)},
		},
		"keeps the operator's certificates when only the URL is given": {
			objects:  []client.Object{published(map[string]string{"url": "https://inside", "ca.crt": ca})},
			override: Endpoint{URL: "https://outside"},
			want:     Endpoint{URL: "https://outside", CA: []byte(ca)},
		},
		"asks nobody when both are given": {
			override: Endpoint{URL: "https://outside", CA: []byte(ca)},
			want:     Endpoint{URL: "https://outside", CA: []byte(ca)},
		},
		"uses the system's certificates when a URL is given and nothing is published": {
			override: Endpoint{URL: "https://outside"},
			want:     Endpoint{URL: "https://outside"},
		},
		"says so when Lethe is not installed": {wantErr: "ask its administrator", noBroker: true},
		"says so when the operator has not started": {
			objects: []client.Object{published(nil)}, wantErr: "has not started", noBroker: true,
		},
		"refuses to send a token in the clear": {
			objects: []client.Object{published(map[string]string{"url": "http://broker", "ca.crt": ca})},
			wantErr: "https://host",
		},
		"refuses a URL with a password in it": {
			override: Endpoint{URL: "https://a:b@broker", CA: []byte(ca)}, wantErr: "https://host",
		},
		"refuses certificates that are none": {
			override: Endpoint{URL: "https://broker", CA: []byte("nonsense")}, wantErr: "PEM",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(tc.objects...).Build()
			got, err := Discover(t.Context(), c, tc.override)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || errors.Is(err, ErrNoBroker) != tc.noBroker {
					t.Fatalf("error: got %v, want one with %q, ErrNoBroker: %v", err, tc.wantErr, tc.noBroker)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "lethe-uploader"}}
	tests := map[string]struct {
		config  rest.Config
		objects []client.Object
		refused bool // The API server refuses a service account's token.
		want    string
		lent    bool
		wantErr string
	}{
		"sends the token of the kubeconfig": {
			config: rest.Config{BearerToken: "written-down"}, want: "written-down",
		},
		"reads a token file": {config: rest.Config{BearerTokenFile: file}, want: "from-file"},
		"asks a login plugin": {
			config: rest.Config{ExecProvider: &clientcmdapi.ExecConfig{
				APIVersion: "client.authentication.k8s.io/v1", Command: "sh", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
				Args: []string{"-c", `echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"from-plugin"}}'`},
			}},
			want: "from-plugin",
		},
		"reports a login plugin that fails": {
			config: rest.Config{ExecProvider: &clientcmdapi.ExecConfig{
				APIVersion: "client.authentication.k8s.io/v1", Command: "false", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
			}},
			wantErr: "log in with the kubeconfig",
		},
		// "fake-token" is what the fake API server issues.
		"borrows a service account's token for client certificates": {
			objects: []client.Object{account}, want: "fake-token", lent: true,
		},
		"borrows one for a password": {
			config: rest.Config{Username: "ann", Password: "secret"}, objects: []client.Object{account}, want: "fake-token", lent: true,
		},
		"borrows one when somebody is impersonated": {
			config:  rest.Config{BearerToken: "my-own", Impersonate: rest.ImpersonationConfig{UserName: "bob"}},
			objects: []client.Object{account}, want: "fake-token", lent: true,
		},
		"says how to create the service account": {
			wantErr: "kubectl -n team create serviceaccount lethe-uploader && kubectl -n team create rolebinding lethe-uploader " +
				"--clusterrole=lethe-user --serviceaccount=team:lethe-uploader",
		},
		"says which right is missing for the service account's token": {
			refused: true, wantErr: "log in with a token, or ask for a Role (ClusterRole lethe-user is not enough) " +
				"with the verb create on serviceaccounts/token",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var funcs interceptor.Funcs
			if tc.refused {
				funcs.SubResourceCreate = func(context.Context, client.Client, string, client.Object, client.Object, ...client.SubResourceCreateOption) error {
					return apierrors.NewForbidden(corev1.Resource("serviceaccounts"), "lethe-uploader", errors.New("no right"))
				}
			}
			tokens := Tokens{
				Config: &tc.config,
				Client: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(tc.objects...).
					WithInterceptorFuncs(funcs).Build(),
				Account: client.ObjectKey{Namespace: "team", Name: DefaultServiceAccount},
			}
			got, lent, err := tokens.Token(t.Context())
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error: got %v, want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil || got != tc.want || lent != tc.lent {
				t.Errorf("got %q, lent %v, %v; want %q, %v", got, lent, err, tc.want, tc.lent)
			}
		})
	}
}

func TestBrokerSaysWhichRoleIsMissing(t *testing.T) {
	t.Parallel()
	tokens := Tokens{Account: client.ObjectKey{Namespace: "team", Name: DefaultServiceAccount}}
	tests := map[string]struct {
		reason string
		lent   bool
		want   string
	}{
		"to a person": {reason: staging.ProblemForbidden, want: "you may not; " + AskForRole},
		"to a person who borrows a token": {
			reason: staging.ProblemForbidden, lent: true,
			want: "you may not; the one who needs it is service account lethe-uploader, whose token was used; bind ClusterRole lethe-user to it with: " +
				"kubectl -n team create rolebinding lethe-uploader --clusterrole=lethe-user --serviceaccount=team:lethe-uploader",
		},
		"only where a right is missing": {reason: staging.ProblemSealed, lent: true, want: "you may not"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				_ = json.NewEncoder(w).Encode(staging.Problem{Reason: tc.reason, Detail: "you may not"})
			}))
			defer srv.Close()
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
			c, err := brokerclient.New(srv.URL, ca, func() (string, error) { return "token", nil })
			if err != nil {
				t.Fatal(err)
			}
			broker := Broker{Client: c, Grant: tokens.Grant(tc.lent)}
			_, errUpload := broker.Upload(t.Context(), "team", "digits")
			_, errArtifacts := broker.Artifacts(t.Context(), "team", "digits-1")
			for _, err := range []error{errUpload, errArtifacts} {
				var problem *brokerclient.ProblemError
				if !errors.As(err, &problem) || problem.Problem.Detail != tc.want {
					t.Errorf("got %v, want a problem with %q", err, tc.want)
				}
			}
		})
	}
}
