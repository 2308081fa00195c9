package tenant

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	runresources "github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// podOf is a Pod as the Job controller makes it of a run's Job.
func podOf(namespace string, mods ...func(*v1alpha1.TrainingRunSpec)) *corev1.Pod {
	return podIn(namespace, "", mods...)
}

func podIn(namespace, runtimeClass string, mods ...func(*v1alpha1.TrainingRunSpec)) *corev1.Pod {
	run := &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "r", UID: "9a1c0f3e-0000-4000-8000-000000000001"},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "d"}, Trainer: v1alpha1.Trainer{Image: "registry.example/digits:v1"},
		},
	}
	for _, mod := range mods {
		mod(&run.Spec)
	}
	job := runresources.Job(run, runresources.Attempt{Number: 1, Dataset: v1alpha1.BoundDataset{
		UID: "1d5be7a2-0000-4000-8000-000000000002", ManifestDigest: "sha256:" + strings.Repeat("ab", 32),
	}}, runresources.Options{
		StagerImage: "registry.example/stager:v1", BrokerURL: "https://lethe-broker.lethe-system.svc", TrustBundle: "lethe-broker",
		ArtifactsStore: strings.Repeat("5a", 16), RuntimeClass: runtimeClass,
	})
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "r-", Labels: job.Spec.Template.Labels},
		Spec:       job.Spec.Template.Spec,
	}
	pod.Spec.ServiceAccountName = "default" // as the admission of service accounts does, which is off in this API server
	return pod
}

func withGPUs(n int32) func(*v1alpha1.TrainingRunSpec) {
	return func(s *v1alpha1.TrainingRunSpec) { s.Nodes.GPUsPerNode = ptr.To(n) }
}

func withMemory(amount string) func(*v1alpha1.TrainingRunSpec) {
	return func(s *v1alpha1.TrainingRunSpec) {
		s.Trainer.Resources = v1alpha1.TrainerResources{CPU: ptr.To(resource.MustParse("16")), Memory: ptr.To(resource.MustParse(amount))}
	}
}

func twoNodes(s *v1alpha1.TrainingRunSpec) { s.Nodes.Count = ptr.To[int32](2) }

// attempt is something that somebody creates in a tenant with 4 GPUs.
type attempt struct {
	object func(namespace string) client.Object
	// refused is what the refusal says; "": it is allowed.
	refused string
}

func meta(namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: "x"}
}

func runs(mods ...func(*v1alpha1.TrainingRunSpec)) func(string) client.Object {
	return func(namespace string) client.Object { return podOf(namespace, mods...) }
}

// altered is a run's Pod that somebody has changed.
func altered(change func(*corev1.PodSpec)) func(string) client.Object {
	return func(namespace string) client.Object {
		pod := podOf(namespace)
		change(&pod.Spec)
		return pod
	}
}

func trainerOf(spec *corev1.PodSpec) *corev1.Container { return &spec.Containers[0] }

func attempts() map[string]attempt {
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: podOf("x").Spec}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	service := func(kind corev1.ServiceType) func(string) client.Object {
		return func(namespace string) client.Object {
			return &corev1.Service{ObjectMeta: meta(namespace), Spec: corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Port: 80}}}}
		}
	}
	return map[string]attempt{
		"a run of one GPU that says nothing":     {object: runs()},
		"a run of all GPUs":                      {object: runs(withGPUs(4), withMemory("900Gi"))},
		"a run without GPUs":                     {object: runs(withGPUs(0))},
		"a node of a run with two":               {object: runs(twoNodes)},
		"a run of more GPUs than there may be":   {object: runs(withGPUs(5)), refused: "requested: requests.nvidia.com/gpu=5, used: requests.nvidia.com/gpu=0, limited: requests.nvidia.com/gpu=4"},
		"a run of more memory than there may be": {object: runs(withMemory("2Ti")), refused: "limits.memory="},
		"a negative amount of GPUs": {
			object: altered(func(s *corev1.PodSpec) {
				less := corev1.ResourceList{v1alpha1.ResourceGPU: resource.MustParse("-4")}
				trainerOf(s).Resources.Limits, trainerOf(s).Resources.Requests = less, less.DeepCopy()
			}), refused: "must be greater than or equal to 0",
		},
		"more scratch space than there may be": {
			object: altered(func(s *corev1.PodSpec) {
				huge := corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("7Ei")}
				trainerOf(s).Resources.Limits, trainerOf(s).Resources.Requests = huge, nil
			}), refused: "limits.ephemeral-storage",
		},
		"a privileged container": {
			object: altered(func(s *corev1.PodSpec) { trainerOf(s).SecurityContext.Privileged = ptr.To(true) }), refused: "privileged",
		},
		"root": {
			object: altered(func(s *corev1.PodSpec) {
				s.SecurityContext.RunAsUser, s.SecurityContext.RunAsNonRoot = ptr.To[int64](0), nil
			}), refused: "runAsNonRoot",
		},
		"no seccomp profile": {
			object: altered(func(s *corev1.PodSpec) { s.SecurityContext.SeccompProfile = nil }), refused: "seccompProfile",
		},
		"a path of the node": {
			object: altered(func(s *corev1.PodSpec) {
				s.Volumes = append(s.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
			}), refused: "hostPath",
		},
		"the node's network": {object: altered(func(s *corev1.PodSpec) { s.HostNetwork = true }), refused: "hostNetwork=true"},
		"a claim for a disk": {object: func(namespace string) client.Object {
			return &corev1.PersistentVolumeClaim{ObjectMeta: meta(namespace), Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			}}
		}, refused: "persistentvolumeclaims"},
		"a port of the node":         {object: service(corev1.ServiceTypeNodePort), refused: "services.nodeports"},
		"a load balancer":            {object: service(corev1.ServiceTypeLoadBalancer), refused: "services.loadbalancers"},
		"a Service of a run's nodes": {object: service(corev1.ServiceTypeClusterIP)},
		"a Job":                      {object: func(namespace string) client.Object { return jobOf(namespace, template) }},
		"a Deployment": {object: func(namespace string) client.Object {
			return &appsv1.Deployment{ObjectMeta: meta(namespace), Spec: appsv1.DeploymentSpec{Selector: selector, Template: always(template)}}
		}, refused: "count/deployments.apps"},
		"a DaemonSet": {object: func(namespace string) client.Object {
			return &appsv1.DaemonSet{ObjectMeta: meta(namespace), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: always(template)}}
		}, refused: "count/daemonsets.apps"},
		"a CronJob": {object: func(namespace string) client.Object {
			return &batchv1.CronJob{ObjectMeta: meta(namespace), Spec: batchv1.CronJobSpec{
				Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: jobOf(namespace, template).Spec},
			}}
		}, refused: "count/cronjobs.batch"},
	}
}

func jobOf(namespace string, template corev1.PodTemplateSpec) *batchv1.Job {
	return &batchv1.Job{ObjectMeta: meta(namespace), Spec: batchv1.JobSpec{Template: template}}
}

// always is a template that the kinds take whose Pods never end.
func always(template corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	template.Spec.RestartPolicy = corev1.RestartPolicyAlways
	for _, list := range [][]corev1.Container{template.Spec.InitContainers, template.Spec.Containers} {
		for i := range list {
			list[i].RestartPolicy, list[i].RestartPolicyRules = nil, nil
		}
	}
	return template
}

// TestWhatFitsIntoATenant creates, without keeping it, what runs need and what nobody
// needs, on a real API server with the tenant's quota, limits and Pod Security.
func TestWhatFitsIntoATenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gpus("4"))
	w.settle()
	for name, a := range attempts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := w.client.Create(t.Context(), a.object(w.name), client.DryRunAll)
			switch {
			case a.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case a.refused != "" && (err == nil || !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), a.refused)):
				t.Errorf("got %v, want a refusal with %q", err, a.refused)
			}
		})
	}
}

func TestASuspendedTenantMakesNothingNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{v1alpha1.AnnotationGPUAllowance: "4", v1alpha1.AnnotationBilling: "Suspended"})
	w.settle()
	for name, object := range map[string]client.Object{
		"requests.nvidia.com/gpu": podOf(w.name),
		"count/jobs.batch":        jobOf(w.name, corev1.PodTemplateSpec{Spec: podOf(w.name, withGPUs(0)).Spec}),
	} {
		err := w.client.Create(t.Context(), object, client.DryRunAll)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want a refusal with %q", err, name)
		}
	}
}

func TestARunInASandboxFits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{v1alpha1.AnnotationGPUAllowance: "1", v1alpha1.AnnotationTier: "sandboxed"})
	w.settle()
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc"}
	w.must(client.IgnoreAlreadyExists(w.client.Create(t.Context(), class)))
	pod := podIn(w.name, w.runtimeClass())
	w.must(w.client.Create(t.Context(), pod, client.DryRunAll))
	if got := ptr.Deref(pod.Spec.RuntimeClassName, ""); got != "gvisor" {
		t.Errorf("the Pod runs in %q", got)
	}
	if got := w.namespace().Annotations[v1alpha1.AnnotationWritableRoot]; got != "true" {
		t.Errorf("the policies read %q about a writable root, want what the tier has", got)
	}
	w.annotate(v1alpha1.AnnotationTier, "")
	w.settle()
	if got, there := w.namespace().Annotations[v1alpha1.AnnotationWritableRoot]; there {
		t.Errorf("after a change of the tier the root is still writable: %q", got)
	}
}
