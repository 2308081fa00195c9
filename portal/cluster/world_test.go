package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/cluster"
)

func TestMain(m *testing.M) { apitest.Main(m) }

var force struct {
	once sync.Once
	err  error
}

// start gives an API server with our policies and the portal's own role in force.
func start(t *testing.T) *apitest.Cluster {
	t.Helper()
	api := apitest.Start(t)
	force.once.Do(func() { force.err = putIntoForce(api) })
	if force.err != nil {
		t.Fatalf("put policies and roles into force: %v", force.err)
	}
	return api
}

func putIntoForce(api *apitest.Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := api.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lethe-system"}}); err != nil {
		return err
	}
	config := filepath.Join("..", "..", "config")
	for _, file := range []string{
		"manager/images.yaml", "rbac/tenant_roles.yaml", "portal/role.yaml",
		"policies/portal.yaml", "policies/images.yaml", "policies/limits.yaml",
	} {
		if err := install(ctx, api.Client, filepath.Join(config, filepath.FromSlash(file))); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	images := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "lethe-system", Name: "lethe-images"}}
	patch := []byte(`{"data":{"registries":"registry.example/","images":""}}`)
	if err := api.Client.Patch(ctx, images, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return err
	}
	// A policy and a role are in force a moment after they were made. By then the portal may
	// make a tenant's Namespace, and no other.
	c, err := client.New(asPortal(api.Config), client.Options{Scheme: api.Scheme})
	if err != nil {
		return err
	}
	return until(ctx, func() bool {
		tenant := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-", Labels: map[string]string{v1alpha1.LabelTenant: "x"}}}
		other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}}
		if c.Create(ctx, tenant, client.DryRunAll) != nil || c.Create(ctx, other, client.DryRunAll) == nil {
			return false
		}
		return imagesInForce(ctx, api)
	})
}

// imagesInForce sees the policy on images refuse one, and take another.
func imagesInForce(ctx context.Context, api *apitest.Cluster) bool {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "t-probe", Labels: map[string]string{v1alpha1.LabelTenant: "x"}}}
	_ = api.Client.Create(ctx, ns) // it is there after the first time
	probe := func(image string) error {
		return api.Client.Create(ctx, &v1alpha1.TrainingRun{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "probe"},
			Spec:       v1alpha1.TrainingRunSpec{DatasetRef: v1alpha1.DatasetReference{Name: "d"}, Trainer: v1alpha1.Trainer{Image: image}},
		}, client.DryRunAll)
	}
	return probe("evil.example/miner:v1") != nil && probe("registry.example/digits:v1") == nil
}

func install(ctx context.Context, c client.Client, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, o); err != nil {
			return err
		}
		if err := c.Create(ctx, o); err != nil {
			return err
		}
	}
}

// asPortal connects as the portal's service account.
func asPortal(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: v1alpha1.PortalUser, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:lethe-system", "system:authenticated"},
	}
	return config
}

// newClient makes the client that is tested.
func newClient(t *testing.T, config *rest.Config, o cluster.Options) *cluster.Client {
	t.Helper()
	o.Clock, o.Log = clock.RealClock{}, slog.New(slog.DiscardHandler)
	c, err := cluster.New(config, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// until polls until something is so: others write it.
func until(ctx context.Context, is func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := until(ctx, is); err != nil {
		t.Fatalf("not within a minute: %s", what)
	}
}

// tenant makes a tenant as the portal does, with the rights that the operator gives there.
func tenant(t *testing.T, api *apitest.Cluster, c *cluster.Client, name string) string {
	t.Helper()
	order := portal.TenantOrder{Namespace: name, Label: "tenant-" + name, GPUs: 2, Billing: portal.BillingActive}
	if err := c.EnsureTenant(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "lethe-tenant-reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "lethe-tenant-reader"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: v1alpha1.PortalUser}},
	}
	if err := api.Client.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	return name
}

// isKind asserts the kind of an error, and the form's field.
func isKind(t *testing.T, err error, kind portal.Kind, field string) {
	t.Helper()
	var told *portal.Error
	if !errors.As(err, &told) || told.Kind != kind || told.Field != field {
		t.Errorf("got %v (kind %d), want kind %d and field %q", err, portal.KindOf(err), kind, field)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
