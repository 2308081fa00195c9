package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
)

func TestOnlyWhoKnowsThePathIsAnswered(t *testing.T) {
	t.Parallel()
	_, s := serve(t)
	question := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","operation":"CREATE","object":{
		"apiVersion":"lethe.dev/v1alpha1","kind":"TrainingRun","metadata":{"namespace":"default","name":"spy"},
		"spec":{"datasetRef":{"name":"somebodys"},"trainer":{"image":"x"}}}}}`
	cases := map[string]struct {
		method, path string
		want         int
		answers      bool
	}{
		"the API server":              {http.MethodPost, "/" + secret + "/" + nameRuns, http.StatusOK, true},
		"without the secret":          {http.MethodPost, "/" + nameRuns, http.StatusNotFound, false},
		"at the root":                 {http.MethodPost, "/", http.StatusNotFound, false},
		"with another secret":         {http.MethodPost, "/" + strings.Repeat("0", 32) + "/" + nameRuns, http.StatusNotFound, false},
		"with part of the secret":     {http.MethodPost, "/" + secret[:31] + "/" + nameRuns, http.StatusNotFound, false},
		"with the secret in capitals": {http.MethodPost, "/" + strings.ToUpper(secret) + "/" + nameRuns, http.StatusNotFound, false},
		"with an empty part before":   {http.MethodPost, "//" + secret + "/" + nameRuns, http.StatusNotFound, false},
		"with a way round":            {http.MethodPost, "/x/../" + secret + "/" + nameRuns, http.StatusNotFound, false},
		"another webhook":             {http.MethodPost, "/" + secret + "/pods.lethe.dev", http.StatusNotFound, false},
		"reading":                     {http.MethodGet, "/" + secret + "/" + nameRuns, http.StatusMethodNotAllowed, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(question))
			request.Header.Set("Content-Type", "application/json")
			answer := httptest.NewRecorder()
			s.server.handler.ServeHTTP(answer, request)
			if answer.Code != c.want {
				t.Errorf("status %d, want %d", answer.Code, c.want)
			}
			if told := strings.Contains(answer.Body.String(), "somebodys"); told != c.answers {
				t.Errorf("told of the dataset: %v, want %v: %s", told, c.answers, answer.Body)
			}
		})
	}
}

func TestNewNeedsASecret(t *testing.T) {
	t.Parallel()
	base := Options{Address: ":0", Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }} //nolint:nilnil // never called
	if _, err := New(base); err == nil {
		t.Error("a server without most of its options")
	}
	if err := (Options{
		Address: ":0", Certificate: base.Certificate, Secret: "short", Scheme: clientgoscheme.Scheme, Cached: &reader{}, Live: &reader{},
		Clock: clocktesting.NewFakePassiveClock(noon()), Metrics: (&service{}).registry,
	}).validate(); err == nil || !strings.Contains(err.Error(), "5 characters") {
		t.Errorf("a path that can be guessed: %v", err)
	}
}

func TestServerStopsInOrder(t *testing.T) {
	t.Parallel()
	s := &Server{address: "127.0.0.1:0", tls: &tls.Config{MinVersion: tls.VersionTLS13}, handler: http.NotFoundHandler(), log: logr.Discard()}
	certificate, _, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	s.tls.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }
	if s.Ready(nil) == nil {
		t.Error("ready before it listens")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	for s.Ready(nil) != nil && len(ended) == 0 {
		// Listening takes a moment.
		select {
		case <-t.Context().Done():
			t.Fatal("it never listens")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if s.Ready(nil) == nil {
		t.Error("ready when it has stopped")
	}
}

// installed are the objects of config, as they are before the operator starts.
func installed(t *testing.T) (*admissionregistrationv1.ValidatingWebhookConfiguration, *corev1.ConfigMap) {
	t.Helper()
	c, err := configuration()
	if err != nil {
		t.Fatal(err)
	}
	c.Webhooks = append(c.Webhooks, admissionregistrationv1.ValidatingWebhook{
		Name: "somebody.elses", ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Name: "x", Namespace: "y"}},
	})
	return c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "lethe-system", Name: ImagesConfigMap}}
}

func TestPublisherFillsInAndRepairs(t *testing.T) {
	t.Parallel()
	hooks, images := installed(t)
	writes := 0
	c := interceptor.NewClient(fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(hooks, images).Build(), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, options ...client.PatchOption) error {
			writes++
			return c.Patch(ctx, o, patch, options...)
		},
	})
	p := &Publisher{
		Client: c, Namespace: "lethe-system", CABundle: []byte("bundle"), Secret: secret, Log: logr.Discard(),
		Images: validation.Images{Registries: []string{"a.example/", "b.example/x/"}, Exactly: []string{"stager:1"}},
	}
	publish := func(wantWrites int) {
		t.Helper()
		writes = 0
		if err := p.publishImages(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.publishWebhooks(t.Context()); err != nil {
			t.Fatal(err)
		}
		if writes != wantWrites {
			t.Errorf("%d writes, want %d", writes, wantWrites)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(hooks), hooks); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(images), images); err != nil {
			t.Fatal(err)
		}
		for i := range hooks.Webhooks {
			hook := &hooks.Webhooks[i]
			ours := hook.Name != "somebody.elses"
			if got := bytes.Equal(hook.ClientConfig.CABundle, p.CABundle); got != ours {
				t.Errorf("%s is verified with ours: %v", hook.Name, got)
			}
			if got := ptr.Deref(hook.ClientConfig.Service.Path, ""); ours && got != "/"+secret+"/"+hook.Name {
				t.Errorf("%s is asked at %q", hook.Name, got)
			}
		}
		if diff := cmp.Diff(map[string]string{"registries": "a.example/\nb.example/x/", "images": "stager:1"}, images.Data); diff != "" {
			t.Errorf("images (-want +got):\n%s", diff)
		}
	}
	publish(2)
	publish(0)
	hooks.Webhooks[0].ClientConfig.CABundle = []byte("somebody's")
	if err := c.Update(t.Context(), hooks); err != nil {
		t.Fatal(err)
	}
	images.Data["registries"] = "evil.example/"
	if err := c.Update(t.Context(), images); err != nil {
		t.Fatal(err)
	}
	publish(2)
}

func TestPublisherDoesWithout(t *testing.T) {
	t.Parallel()
	p := &Publisher{Client: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).Build(), Namespace: "lethe-system", Log: logr.Discard()}
	if err := p.publishImages(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.publishWebhooks(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPublisherTriesAgain(t *testing.T) {
	t.Parallel()
	hooks, images := installed(t)
	down := true
	inner := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(hooks, images).Build()
	done := make(chan struct{})
	c := interceptor.NewClient(inner, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, options ...client.PatchOption) error {
			if down {
				return errDown
			}
			err := c.Patch(ctx, o, patch, options...)
			if _, last := o.(*admissionregistrationv1.ValidatingWebhookConfiguration); last {
				close(done)
			}
			return err
		},
	})
	clk := clocktesting.NewFakeClock(noon())
	p := &Publisher{Client: c, Namespace: "lethe-system", CABundle: []byte("b"), Secret: secret, Clock: clk, Log: logr.Discard()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Start(ctx) }()
	for !clk.HasWaiters() {
		<-time.After(time.Millisecond)
	}
	down = false
	clk.Step(tryAgain)
	<-done
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
