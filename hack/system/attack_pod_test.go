package system_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// The attacks of a tenant's trainer, from inside its Pod (hack/system/internal/intruder),
// and what has to work for tenants all the same.

const intruderImage = "lethe.dev/intruder:dev"

// loadIntruder builds that trainer and puts it where the kubelet finds it.
func loadIntruder(t *testing.T) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "intruder")
	mustRun(t, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", program, "./internal/intruder")
	labCommand(t, "load", intruderImage+"="+program)
}

// break-ins that the intruder reports at least, by the beginning of their names.
var breakIns = map[string]int{"files": 10, "processes": 2, "kernel": 20, "limits": 5, "store": 10, "broker": 5, "cluster": 6, "record": 1}

// TestAttackFromTrainerPod asserts what the trainer could not do. The lab's network does
// not enforce NetworkPolicies: that the metadata address is out of reach is asserted of the
// objects, and what the Pod saw there is only recorded.
func TestAttackFromTrainerPod(t *testing.T) {
	t.Parallel()
	loadIntruder(t)
	a, b := newTenant(t, 1), newTenant(t, 0)
	upload(t, a, "digits")
	secret := upload(t, b, "secret")
	create(t, intruder(t, a, secret))
	run := waitRun(t, a, "intruder", v1alpha1.RunSucceeded)
	at := run.Status.Artifacts.Location
	report := readObject(t, at.Bucket, objectkey.Data(at.Prefix, "attempts.jsonl"))
	seen := map[string]int{}
	for line := range bytes.Lines(report) {
		var o struct {
			Name    string
			Refused bool
			Detail  string
		}
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("the report has the line %q: %v", line, err)
		}
		kind, _, _ := strings.Cut(o.Name, ":")
		seen[kind]++
		t.Run(o.Name, func(t *testing.T) {
			t.Log(o.Detail)
			if !o.Refused && kind != "record" {
				t.Errorf("it was not refused: %s", o.Detail)
			}
			if strings.Contains(o.Detail, "no such host") {
				t.Errorf("it was not even tried: %s", o.Detail)
			}
		})
	}
	for kind, least := range breakIns {
		if seen[kind] < least {
			t.Errorf("%d attempts at %s are reported, want %d", seen[kind], kind, least)
		}
	}
	assertNoLinks(t, run)
	assertWalls(t, a)
}

// intruder is a run of that trainer, who was told where everything is.
func intruder(t *testing.T, ns string, secret v1alpha1.DatasetRetention) *v1alpha1.TrainingRun {
	t.Helper()
	place := secret.Status.Location
	return aRun(ns, "intruder", "digits", func(r *v1alpha1.TrainingRun) {
		r.Spec.Trainer.Image, r.Spec.Trainer.Env = intruderImage, nil
		for name, value := range map[string]string{
			"STORE": os.Getenv("LETHE_S3_ENDPOINT"), "BUCKET": place.Bucket, "OBJECT": objectkey.Manifest(place.Prefix),
			"BROKER": "https://lethe-broker.lethe-system.svc", "METRICS": "https://lethe-metrics.lethe-system.svc:8443",
			"WEBHOOK": "https://lethe-webhook.lethe-system.svc", "NODE": "10.77.0.1", "TOKEN": forged(ns, "intruder", string(secret.UID)),
		} {
			r.Spec.Trainer.Env = append(r.Spec.Trainer.Env, v1alpha1.EnvVar{Name: "INTRUDER_" + name, Value: value})
		}
		hardware(1, 0)(r)
	})
}

// assertNoLinks wants nothing among the artifacts that the stager could only have got by
// following a link.
func assertNoLinks(t *testing.T, run v1alpha1.TrainingRun) {
	t.Helper()
	at := run.Status.Artifacts.Location
	var paths []string
	manifest := bytes.NewReader(readObject(t, at.Bucket, objectkey.Manifest(at.Prefix)))
	if _, err := objectkey.ReadManifest(manifest, func(e objectkey.Entry) error { paths = append(paths, e.Path); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(paths, "attempts.jsonl") {
		t.Errorf("published: %q, want the report", paths)
	}
	for _, path := range paths {
		if strings.HasPrefix(path, "link-") {
			t.Errorf("%s was followed and published", path)
		}
	}
}

// assertWalls wants the NetworkPolicies that keep a tenant's Pods in: nothing in, and out
// only to few places, none of which has the metadata addresses of clouds in it.
func assertWalls(t *testing.T, ns string) {
	t.Helper()
	var policies networkingv1.NetworkPolicyList
	if err := lab.kube.List(t.Context(), &policies, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	closed := false
	for _, p := range policies.Items {
		s := p.Spec
		everything := len(s.PodSelector.MatchLabels)+len(s.PodSelector.MatchExpressions) == 0
		closed = closed || everything && slices.Equal(s.PolicyTypes, both) && len(s.Ingress)+len(s.Egress) == 0
		if len(s.Ingress) > 0 {
			t.Errorf("%s lets something in: %+v", p.Name, s.Ingress)
		}
		for _, rule := range s.Egress {
			if len(rule.To) == 0 {
				t.Errorf("%s lets everything out", p.Name)
			}
			for _, to := range rule.To {
				if to.IPBlock != nil && !strings.HasSuffix(to.IPBlock.CIDR, "/32") {
					t.Errorf("%s lets out to the network %s", p.Name, to.IPBlock.CIDR)
				}
				if to.IPBlock != nil && strings.HasPrefix(to.IPBlock.CIDR, "169.254.") {
					t.Errorf("%s lets out to metadata: %s", p.Name, to.IPBlock.CIDR)
				}
			}
		}
	}
	if !closed {
		t.Errorf("no policy closes everything: %+v", policies.Items)
	}
}

// TestTenantTrains: all that keeps tenants in lets a run come to its end, on GPUs.
func TestTenantTrains(t *testing.T) {
	t.Parallel()
	ns := newTenant(t, 2)
	upload(t, ns, "digits")
	create(t, aRun(ns, "digits-1", "digits"))
	run := waitRun(t, ns, "digits-1", v1alpha1.RunSucceeded)
	if run.Status.Artifacts == nil || holdings(t, &run.Status.Artifacts.Location) == 0 {
		t.Errorf("the run published nothing: %+v", run.Status.Artifacts)
	}
	for _, pod := range podsOf(t, ns, "digits-1") {
		mounts := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
		for _, c := range mounts {
			for _, m := range c.VolumeMounts {
				if c.Name == staging.ContainerTrainer && m.MountPath == staging.TokenDir {
					t.Errorf("the trainer has a token at %s", m.MountPath)
				}
			}
		}
	}
	b := boundsOf(t, ns)
	if gpus := b.Quota["requests.nvidia.com/gpu"]; gpus.Value() != 2 {
		t.Errorf("the quota has %s GPUs, want 2", gpus.String())
	}
	if got := b.Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("Pod Security is %q, want restricted", got)
	}
}

// TestTenantSuspended: who does not pay, waits; who pays again, goes on by himself.
func TestTenantSuspended(t *testing.T) {
	t.Parallel()
	ns := newTenant(t, 1)
	upload(t, ns, "digits")
	billing := func(state v1alpha1.Billing) {
		setNamespace(t, ns, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationBilling, state))
	}
	closed := func(gpus int64) {
		eventually(t, fmt.Sprintf("the quota to have %d GPUs", gpus), func(context.Context) (bool, string, error) {
			got := boundsOf(t, ns).Quota["requests.nvidia.com/gpu"]
			return got.Value() == gpus, got.String(), nil
		})
	}
	billing(v1alpha1.BillingSuspended)
	closed(0)
	create(t, aRun(ns, "poor", "digits"))
	run := waitRunReason(t, ns, "poor", v1alpha1.ReasonPaymentRequired)
	if run.Status.State != v1alpha1.RunPending || len(podsOf(t, ns, "poor")) > 0 {
		t.Errorf("the run is %s, want it to wait without Pods", outline(run.Status))
	}
	billing(v1alpha1.BillingActive)
	closed(1)
	waitRun(t, ns, "poor", v1alpha1.RunSucceeded)
}
