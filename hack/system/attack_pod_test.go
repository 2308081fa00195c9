package system_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
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
var breakIns = map[string]int{"files": 10, "processes": 2, "kernel": 20, "limits": 5, "store": 10, "broker": 5, "cluster": 6, "record": 2}

// ownKernels are what a kernel of its own takes, because nobody else has it.
var ownKernels = map[string]bool{"limits: be killed last": true, "limits: be more important": true}

// TestAttackFromTrainerPod asserts what the trainer could not do. The lab's network does
// not enforce NetworkPolicies: that the metadata address is out of reach is asserted of the
// objects, and what the Pod saw there is only recorded.
//
// Both tiers are tried: the nodes' own runtime, and a kernel of its own (gVisor).
func TestAttackFromTrainerPod(t *testing.T) {
	t.Parallel()
	loadIntruder(t)
	hosts, err := os.ReadFile("/proc/version")
	if err != nil {
		t.Fatal(err)
	}
	for tier, sandboxed := range map[string]bool{"": false, "sandboxed": true} {
		t.Run("tier "+tier, func(t *testing.T) {
			t.Parallel()
			if sandboxed && os.Getenv("LETHE_TEST_GVISOR") != "1" {
				t.Skip("SKIPPED: LETHE_TEST_GVISOR=1 tries gVisor, in which stage-in could not make its folder for checkpoints when all journeys ran at once")
			}
			if seen := attackFrom(t, tier); (seen != string(hosts)) != sandboxed {
				t.Errorf("the trainer's kernel is %q, the node's %q", seen, hosts)
			}
		})
	}
}

// attackFrom attacks from a tenant of a tier, and gives the kernel that the trainer saw.
func attackFrom(t *testing.T, tier string) (version string) {
	t.Helper()
	a, b := newTenantOf(t, tier, 1), newTenant(t, 0)
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
		if o.Name == "record: the kernel" {
			version = o.Detail
		}
		t.Run(o.Name, func(t *testing.T) {
			t.Log(o.Detail)
			if !o.Refused && kind != "record" && (tier == "" || !ownKernels[o.Name]) {
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
	return version
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

// TestTenantTrains: all that keeps tenants in lets a run come to its end, on GPUs. What its
// containers may write to the node's disk is asserted of the objects: the lab's kubelet
// does not tell what its disk has (localStorageCapacityIsolation is off), and so ends no
// Pod that has written more.
func TestTenantTrains(t *testing.T) {
	t.Parallel()
	ns := newTenant(t, 2)
	upload(t, ns, "digits")
	room := resource.MustParse("2Gi")
	create(t, aRun(ns, "digits-1", "digits", slowly("1"), func(r *v1alpha1.TrainingRun) {
		r.Spec.Trainer.Resources.EphemeralStorage, r.Spec.TTLAfterFinished = &room, span(5*time.Second)
	}))
	waitRun(t, ns, "digits-1", v1alpha1.RunRunning)
	assertContained(t, podsOf(t, ns, "digits-1"), room)
	run := waitRun(t, ns, "digits-1", v1alpha1.RunSucceeded)
	if run.Status.Artifacts == nil || holdings(t, &run.Status.Artifacts.Location) == 0 {
		t.Errorf("the run published nothing: %+v", run.Status.Artifacts)
	}
	waitGone(t, &run)
	b := boundsOf(t, ns)
	if gpus := b.Quota["requests.nvidia.com/gpu"]; gpus.Value() != 2 {
		t.Errorf("the quota has %s GPUs, want 2", gpus.String())
	}
	if got := b.Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("Pod Security is %q, want restricted", got)
	}
}

// assertContained wants a trainer without a token, containers that can't write into their
// images, and a bound for what each writes elsewhere: the trainer's as asked for.
func assertContained(t *testing.T, pods []corev1.Pod, room resource.Quantity) {
	t.Helper()
	if len(pods) == 0 {
		t.Error("the run has no Pod")
	}
	for _, pod := range pods {
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			limit, bounded := c.Resources.Limits[corev1.ResourceEphemeralStorage]
			request := c.Resources.Requests[corev1.ResourceEphemeralStorage]
			if !bounded || c.Name == staging.ContainerTrainer && (!limit.Equal(room) || !request.Equal(room)) {
				t.Errorf("%s may write %s (requests %s), want %s for the trainer", c.Name, limit.String(), request.String(), room.String())
			}
			if !ptr.Deref(c.SecurityContext.ReadOnlyRootFilesystem, false) {
				t.Errorf("%s can write into its image", c.Name)
			}
			for _, m := range c.VolumeMounts {
				if c.Name == staging.ContainerTrainer && m.MountPath == staging.TokenDir {
					t.Errorf("the trainer has a token at %s", m.MountPath)
				}
			}
		}
	}
}
