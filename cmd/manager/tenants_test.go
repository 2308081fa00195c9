package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

func TestWhereTenantsFindTheStore(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(file, []byte("network: {store: [{cidr: 198.51.100.0/24, port: 9000}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		endpoint string
		args     []string
		want     []resources.Peer
		wantErr  string
	}{
		"an address is enough":             {endpoint: "https://192.0.2.7:9000", want: []resources.Peer{{CIDR: "192.0.2.7/32", Port: 9000}}},
		"a name says nothing":              {endpoint: "https://minio.minio.svc"},
		"the file goes before the address": {endpoint: "https://192.0.2.7", args: []string{"--tenant-config=" + file}, want: []resources.Peer{{CIDR: "198.51.100.0/24", Port: 9000}}},
		"flags add to the file": {
			endpoint: "https://s3.example", args: []string{"--tenant-config=" + file, "--tenant-egress-store-cidr=203.0.113.0/24, 2001:db8::/32"},
			want: []resources.Peer{{CIDR: "198.51.100.0/24", Port: 9000}, {CIDR: "203.0.113.0/24"}, {CIDR: "2001:db8::/32"}},
		},
		"a network that is none": {endpoint: "https://s3.example", args: []string{"--tenant-egress-store-cidr=minio"}, wantErr: `"minio" is no network`},
		"a file that is missing": {endpoint: "https://s3.example", args: []string{"--tenant-config=/none"}, wantErr: "--tenant-config"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--namespace=lethe-system", "--stager-image=stager:1"}, c.args...)
			cfg, err := parseConfig(args, func(string) string { return "" }, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cfg.tenantConfig(c.endpoint)
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("got %v, want an error with %q", err, c.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Network.Store); diff != "" {
				t.Errorf("store (-want +got):\n%s", diff)
			}
			broker := []resources.Peer{{
				Namespace: map[string]string{"kubernetes.io/metadata.name": "lethe-system"},
				Pods:      map[string]string{"app.kubernetes.io/name": "lethe-manager"}, Port: 9443,
			}}
			if diff := cmp.Diff(broker, got.Network.Broker); diff != "" {
				t.Errorf("broker (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCacheKeepsOfANamespaceWhatIsLethes(t *testing.T) {
	t.Parallel()
	ready := corev1.NamespaceCondition{Type: v1alpha1.ConditionTenantReady, Status: corev1.ConditionTrue}
	namespace := &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{
			Name: "t-abc", Labels: map[string]string{v1alpha1.LabelTenant: "x7"},
			Annotations:   map[string]string{v1alpha1.AnnotationGPUAllowance: "4", "someone/else": strings.Repeat("x", 10_000)},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "portal"}},
		},
		Status: corev1.NamespaceStatus{Conditions: []corev1.NamespaceCondition{{Type: corev1.NamespaceContentRemaining}, ready}},
	}
	kept, err := slimNamespace(namespace)
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{
			Name: "t-abc", Labels: map[string]string{v1alpha1.LabelTenant: "x7"},
			Annotations: map[string]string{v1alpha1.AnnotationGPUAllowance: "4"},
		},
		Status: corev1.NamespaceStatus{Conditions: []corev1.NamespaceCondition{ready}},
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
