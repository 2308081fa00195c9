package webhook

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

const secret = "0123456789abcdef0123456789abcdef"

func noon() time.Time { return time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC) }

// service is our server behind a real API server, which was told of it by the file of
// config/webhook and by the Publisher.
type service struct {
	once     sync.Once
	err      error
	registry *prometheus.Registry
	server   *Server
}

var shared service

// serve starts the one server of this test binary. It lives as long as the binary.
func serve(t *testing.T) (*apitest.Cluster, *service) {
	t.Helper()
	cluster := apitest.Start(t)
	shared.once.Do(func() { shared.err = shared.start(cluster) })
	if shared.err != nil {
		t.Fatalf("serve the webhooks: %v", shared.err)
	}
	return cluster, &shared
}

func (s *service) start(cluster *apitest.Cluster) error {
	certificate, bundle, err := newCertificate()
	if err != nil {
		return err
	}
	s.registry = prometheus.NewRegistry()
	s.server, err = New(Options{
		Address: "127.0.0.1:0", Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil },
		Secret: secret, Scheme: cluster.Scheme, Cached: cluster.Client, Live: cluster.Client,
		Images:        validation.Images{Registries: []string{"registry.example/team/"}},
		MaxAgeCeiling: 2160 * time.Hour, Clock: clocktesting.NewFakePassiveClock(noon()), Log: logr.Discard(), Metrics: s.registry,
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	go func() { _ = s.server.Start(ctx) }()
	if err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return s.server.Ready(nil) == nil, nil
	}); err != nil {
		return err
	}
	configuration, err := configuration()
	if err != nil {
		return err
	}
	for i := range configuration.Webhooks {
		hook := &configuration.Webhooks[i]
		hook.ClientConfig = admissionregistrationv1.WebhookClientConfig{
			URL: ptr.To("https://" + s.server.bound.Load().String() + path(secret, hook.Name)),
		}
	}
	if err := cluster.Client.Create(ctx, configuration); err != nil {
		return err
	}
	publisher := &Publisher{Client: cluster.Client, Namespace: "lethe-system", CABundle: bundle, Secret: secret, Log: logr.Discard()}
	if err := publisher.publishWebhooks(ctx); err != nil {
		return err
	}
	return s.waitUntilAsked(ctx, cluster)
}

// waitUntilAsked waits until the API server asks, which takes it a moment.
func (s *service) waitUntilAsked(ctx context.Context, cluster *apitest.Cluster) error {
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		for _, o := range []client.Object{newRun("default", "probe"), &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "probe"}}} {
			if err := cluster.Client.Create(ctx, o, client.DryRunAll); err != nil {
				return false, err
			}
		}
		return s.count(nameRuns, "warned") > 0 && s.count(nameDatasets, "allowed") > 0, nil
	})
}

// count is how often something was answered.
func (s *service) count(webhook, answer string) float64 {
	families, err := s.registry.Gather()
	if err != nil {
		return -1
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			said := map[string]string{}
			for _, label := range metric.GetLabel() {
				said[label.GetName()] = label.GetValue()
			}
			if said["webhook"] == webhook && said["answer"] == answer {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// configuration is the ValidatingWebhookConfiguration of config/webhook.
func configuration() (*admissionregistrationv1.ValidatingWebhookConfiguration, error) {
	text, err := os.ReadFile(filepath.Join("..", "config", "webhook", "validating.yaml"))
	if err != nil {
		return nil, err
	}
	var c admissionregistrationv1.ValidatingWebhookConfiguration
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return nil, fmt.Errorf("read validating.yaml: %w", err)
	}
	return &c, nil
}

// newCertificate is for 127.0.0.1, and its own CA.
func newCertificate() (*tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<35, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// warned collects what a client is warned of.
type warned struct {
	mu   sync.Mutex
	said []string
}

func (w *warned) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, text)
}

func (w *warned) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.said, "\n")
}

// as is a client of a user, "" for the administrator, and what it is warned of.
func as(t *testing.T, cluster *apitest.Cluster, user string) (client.Client, *warned) {
	t.Helper()
	w := &warned{}
	config := rest.CopyConfig(cluster.Config)
	config.WarningHandler = w
	if user != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	}
	c, err := client.New(config, client.Options{Scheme: cluster.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c, w
}

func newRun(namespace, name string) *v1alpha1.TrainingRun {
	return &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"}, Trainer: v1alpha1.Trainer{Image: "registry.example/team/trainer:v1"},
		},
	}
}

// newNamespace makes one with these annotations; a tenant's, if there are any.
func newNamespace(t *testing.T, cluster *apitest.Cluster, annotations map[string]string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Annotations: annotations}}
	if annotations != nil {
		namespace.Labels = map[string]string{v1alpha1.LabelTenant: "t-1"}
	}
	if err := cluster.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// reader answers with what it was given: an object, or an error.
type reader struct {
	client.Reader
	objects map[string]client.Object
	err     error
	asked   int
}

var errDown = errors.New("the API server is down")
