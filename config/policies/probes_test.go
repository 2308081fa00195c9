package policies_test

import (
	"context"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// probes are, by policy, requests that it alone refuses; none of them changes anything.
func probes(ctx context.Context, admin client.Client, config *rest.Config, namespace string) (map[string]func() error, error) {
	mallory, err := client.New(config, client.Options{Scheme: admin.Scheme()})
	if err != nil {
		return nil, err
	}
	kept := run(namespace, "kept", allowedImage)
	kept.Finalizers = []string{v1alpha1.FinalizerRun}
	kept.Spec.Limits.MaxGPUSeconds = ptr.To[int64](100)
	if err := admin.Create(ctx, kept); err != nil {
		return nil, err
	}
	wall := bound(namespace, "networkpolicies")
	if err := admin.Create(ctx, wall); err != nil {
		return nil, err
	}
	patch := func(c client.Client, change func(*v1alpha1.TrainingRun)) error {
		after := kept.DeepCopy()
		change(after)
		return c.Patch(ctx, after, client.MergeFrom(kept), client.DryRunAll)
	}
	return map[string]func() error{
		"lethe-finalizers": func() error { return patch(admin, func(r *v1alpha1.TrainingRun) { r.Finalizers = nil }) },
		"lethe-limits": func() error {
			return patch(mallory, func(r *v1alpha1.TrainingRun) { r.Spec.Limits.MaxGPUSeconds = ptr.To[int64](200) })
		},
		"lethe-hold": func() error {
			d := dataset(namespace, "held")
			d.Spec.Hold = &v1alpha1.Hold{Reason: "case-1", Until: metav1.NewTime(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))}
			return mallory.Create(ctx, d, client.DryRunAll)
		},
		"lethe-status": func() error {
			after := kept.DeepCopy()
			after.Status.Message = "forged"
			return admin.Status().Patch(ctx, after, client.MergeFrom(kept), &client.SubResourcePatchOptions{
				PatchOptions: client.PatchOptions{DryRun: []string{metav1.DryRunAll}},
			})
		},
		"lethe-tenants": func() error {
			o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
			return mallory.Patch(ctx, o, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"lethe.dev/tenant":null}}}`)), client.DryRunAll)
		},
		"lethe-tenant-objects": func() error {
			return mallory.Create(ctx, job(namespace, "forged"), client.DryRunAll)
		},
		"lethe-tenant-pods": func() error {
			p := pod(namespace, "hosted")
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
			return admin.Create(ctx, p, client.DryRunAll)
		},
		"lethe-images": func() error {
			return mallory.Create(ctx, run(namespace, "tagged", "registry.example/evil/miner:latest"), client.DryRunAll)
		},
		"lethe-root-filesystem": func() error {
			writes := run(namespace, "writes", allowedImage)
			writes.Spec.Trainer.RootFilesystem = v1alpha1.RootWritable
			return mallory.Create(ctx, writes, client.DryRunAll)
		},
		"lethe-portal": func() error {
			theirs := rest.CopyConfig(config)
			theirs.Impersonate = rest.ImpersonationConfig{UserName: v1alpha1.PortalUser, Groups: []string{"system:masters"}}
			c, err := client.New(theirs, client.Options{Scheme: admin.Scheme()})
			if err != nil {
				return err
			}
			return c.Create(ctx, dataset("default", "planted"), client.DryRunAll)
		},
		"lethe-tenant-finalizers": func() error {
			d := dataset(namespace, "sticky")
			d.Finalizers = []string{"example.com/for-ever"}
			return mallory.Create(ctx, d, client.DryRunAll)
		},
		"lethe-tenant-bounds": func() error { return mallory.Delete(ctx, wall, client.DryRunAll) },
		"lethe-exec": func() error {
			return execInto(ctx, config, client.ObjectKey{Namespace: namespace, Name: "nobody"}, "stage-out")
		},
	}, nil
}

func dataset(namespace, name string) *v1alpha1.DatasetRetention {
	return &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func run(namespace, name, image string) *v1alpha1.TrainingRun {
	return &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.TrainingRunSpec{
			DatasetRef: v1alpha1.DatasetReference{Name: "digits"}, Trainer: v1alpha1.Trainer{Image: image},
		},
	}
}

// job is a run's, as the operator makes it.
func job(namespace, name string) *batchv1.Job {
	r := run(namespace, name, allowedImage)
	r.UID = "9a1c0f3e-0000-4000-8000-000000000001"
	r.Spec.Nodes.GPUsPerNode = ptr.To[int32](1)
	return resources.Job(r, resources.Attempt{
		Number:  1,
		Dataset: v1alpha1.BoundDataset{UID: "1d5be7a2-0000-4000-8000-000000000002", ManifestDigest: "sha256:" + strings.Repeat("ab", 32)},
	}, resources.Options{StagerImage: stagerImage, BrokerURL: "https://broker.svc", TrustBundle: "lethe-broker"})
}

// pod is what the Job controller makes of it.
func pod(namespace, name string) *corev1.Pod {
	of := job(namespace, name)
	p := &corev1.Pod{ObjectMeta: of.Spec.Template.ObjectMeta, Spec: of.Spec.Template.Spec}
	p.Namespace, p.Name = namespace, name
	p.Finalizers = append(p.Finalizers, batchv1.JobTrackingFinalizer)
	p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(of, batchv1.SchemeGroupVersion.WithKind("Job"))}
	p.OwnerReferences[0].UID = "0a1c0f3e-0000-4000-8000-000000000003"
	// As the admission plugin, which is off here, fills in.
	p.Spec.ServiceAccountName = "default"
	return p
}

// execInto asks for a process in a container. A Pod that is not there is not found only
// when nothing else stands against it.
func execInto(ctx context.Context, config *rest.Config, in client.ObjectKey, container string) error {
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return err
	}
	return core.RESTClient().Post().Namespace(in.Namespace).Resource("pods").Name(in.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: []string{"id"}, Stdout: true}, clientgoscheme.ParameterCodec).
		Do(ctx).Error()
}
