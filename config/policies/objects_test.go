package policies_test

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

const (
	objectsPolicy = "lethe-tenant-objects"
	saysForged    = "labels of a run"
)

func saysOperator(resource string) string {
	return resource + " are made and changed by the operator alone"
}

// plain is a Pod without any sign of a run.
func plain() corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: ptr.To(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "miner", Image: pinned,
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
}

// template is of workloads that last.
func template() corev1.PodTemplateSpec {
	spec := plain()
	spec.RestartPolicy = corev1.RestartPolicyAlways
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "miner"}}, Spec: spec}
}

func named(namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: "mine"}
}

// workloads are what else would make something run, let something through, give rights
// or loosen a bound.
func workloads(ns string) map[string]client.Object {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "miner"}}
	once := batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: plain()}}
	return map[string]client.Object{
		"pods":                   &corev1.Pod{ObjectMeta: named(ns), Spec: plain()},
		"jobs":                   &batchv1.Job{ObjectMeta: named(ns), Spec: once},
		"cronjobs":               &batchv1.CronJob{ObjectMeta: named(ns), Spec: batchv1.CronJobSpec{Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: once}}},
		"deployments":            &appsv1.Deployment{ObjectMeta: named(ns), Spec: appsv1.DeploymentSpec{Selector: selector, Template: template()}},
		"statefulsets":           &appsv1.StatefulSet{ObjectMeta: named(ns), Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template()}},
		"daemonsets":             &appsv1.DaemonSet{ObjectMeta: named(ns), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template()}},
		"replicasets":            &appsv1.ReplicaSet{ObjectMeta: named(ns), Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template()}},
		"replicationcontrollers": &corev1.ReplicationController{ObjectMeta: named(ns), Spec: corev1.ReplicationControllerSpec{Selector: selector.MatchLabels, Template: ptr.To(template())}},
		"podtemplates":           &corev1.PodTemplate{ObjectMeta: named(ns), Template: template()},
		"horizontalpodautoscalers": &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: named(ns), Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference{Kind: "Deployment", Name: "mine", APIVersion: "apps/v1"}, MaxReplicas: 2,
		}},
		"services": &corev1.Service{ObjectMeta: named(ns), Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}},
		}},
		"ingresses": &networkingv1.Ingress{ObjectMeta: named(ns), Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: "mine", Port: networkingv1.ServiceBackendPort{Number: 80}},
		}}},
		"networkpolicies": &networkingv1.NetworkPolicy{ObjectMeta: named(ns), Spec: networkingv1.NetworkPolicySpec{
			Egress: []networkingv1.NetworkPolicyEgressRule{{}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		}},
		"resourcequotas": &corev1.ResourceQuota{ObjectMeta: named(ns), Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("9")}}},
		"limitranges": &corev1.LimitRange{ObjectMeta: named(ns), Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Default: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("99")},
		}}}},
		"serviceaccounts": &corev1.ServiceAccount{ObjectMeta: named(ns), AutomountServiceAccountToken: ptr.To(true)},
		"persistentvolumeclaims": &corev1.PersistentVolumeClaim{ObjectMeta: named(ns), Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}},
		"roles": &rbacv1.Role{ObjectMeta: named(ns)},
		"rolebindings": &rbacv1.RoleBinding{
			ObjectMeta: named(ns), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:authenticated"}},
		},
		"poddisruptionbudgets": &policyv1.PodDisruptionBudget{ObjectMeta: named(ns), Spec: policyv1.PodDisruptionBudgetSpec{
			Selector: &metav1.LabelSelector{}, MaxUnavailable: ptr.To(intstr.FromInt32(0)),
		}},
		"resourceclaims": &resourcev1.ResourceClaim{ObjectMeta: named(ns), Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{
			Requests: []resourcev1.DeviceRequest{{Name: "gpu", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu.nvidia.com"}}},
		}}},
		"secrets": &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "mine", Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}},
			Type:       corev1.SecretTypeServiceAccountToken,
		},
	}
}

func TestTenantMakesNothingThatRuns(t *testing.T) {
	t.Parallel()
	l, free := newTenant(t), newLand(t, nil)
	for kind := range workloads("") {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			refused(t, l.as(tenant).Create(t.Context(), workloads(l.namespace)[kind], client.DryRunAll), objectsPolicy, saysOperator(kind))
			refused(t, l.as(portal).Create(t.Context(), workloads(l.namespace)[kind], client.DryRunAll), objectsPolicy, saysOperator(kind))
			// In a namespace that is nobody's all is as ever.
			allowed(t, free.as(tenant).Create(t.Context(), workloads(free.namespace)[kind], client.DryRunAll))
			if kind != "pods" { // of which pods.yaml says more
				allowed(t, l.as(staff).Create(t.Context(), workloads(l.namespace)[kind], client.DryRunAll))
				allowed(t, l.as(operator).Create(t.Context(), workloads(l.namespace)[kind], client.DryRunAll))
			}
		})
	}
}

func TestTenantForgesNoRun(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	forged := pod(l.namespace, "forged")
	forged.OwnerReferences = nil
	serving := workloads(l.namespace)["services"]
	serving.SetLabels(map[string]string{v1alpha1.LabelRunUID: "u-1"})
	for what, o := range map[string]client.Object{
		"a Pod with a run's labels": forged, "a Job with a run's labels": job(l.namespace, "forged"), "a Service with a run's label": serving,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			refused(t, l.as(tenant).Create(t.Context(), o, client.DryRunAll), objectsPolicy, saysForged)
		})
	}
	t.Run("controllers of the cluster that act for others", func(t *testing.T) {
		t.Parallel()
		refused(t, l.as(cronJobs).Create(t.Context(), job(l.namespace, "cron"), client.DryRunAll), objectsPolicy, saysForged)
		refused(t, l.as(cronJobs).Create(t.Context(), workloads(l.namespace)["jobs"], client.DryRunAll), objectsPolicy, saysOperator("jobs"))
		refused(t, l.as(replicaSets).Create(t.Context(), workloads(l.namespace)["pods"], client.DryRunAll), "lethe-tenant-pods", "Pods belong to runs")
	})
}

// TestRunsGoOn is what a run needs of the API server from its Job to its end.
func TestRunsGoOn(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	of := job(l.namespace, "digits-1")
	of.OwnerReferences = nil // there is no such run, and a garbage collector may not be there either
	l.must(l.as(operator).Create(t.Context(), of))
	before := of.DeepCopy()
	of.Spec.ActiveDeadlineSeconds = ptr.To[int64](60)
	allowed(t, l.as(operator).Patch(t.Context(), of, client.MergeFrom(before)))

	for what, controller := range map[string]who{"the Job controller": jobController, "one controller for all": oneControllerForAll} {
		p := pod(l.namespace, fmt.Sprintf("digits-1-%d", len(what)))
		allowed(t, l.as(controller).Create(t.Context(), p))
		before := p.DeepCopy()
		p.Status.Phase = corev1.PodFailed
		allowed(t, l.as(kubelet).Status().Patch(t.Context(), p, client.MergeFrom(before)))
		before = p.DeepCopy()
		p.Finalizers = []string{v1alpha1.FinalizerUsage}
		allowed(t, l.as(controller).Patch(t.Context(), p, client.MergeFrom(before)))
		before = p.DeepCopy()
		p.OwnerReferences = nil
		allowed(t, l.as(collector).Patch(t.Context(), p, client.MergeFrom(before)))
		before = p.DeepCopy()
		p.Finalizers = nil
		refused(t, l.as(controller).Patch(t.Context(), p, client.MergeFrom(before)), "lethe-finalizers", v1alpha1.FinalizerUsage)
		refused(t, l.as(kubelet).Status().Patch(t.Context(), p, client.MergeFrom(before)), "lethe-finalizers", v1alpha1.FinalizerUsage)
		allowed(t, l.as(operator).Patch(t.Context(), p, client.MergeFrom(before)))
		allowed(t, l.as(namespaceController).Delete(t.Context(), p))
	}
	allowed(t, l.as(tenant).Delete(t.Context(), of))
}

func TestTenantChangesNoRunsParts(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	of, p := job(l.namespace, "digits-1"), pod(l.namespace, "digits-1-x")
	of.OwnerReferences, p.OwnerReferences[0].UID = nil, "0a1c0f3e-0000-4000-8000-000000000009"
	l.must(l.as(operator).Create(t.Context(), of))
	l.must(l.as(jobController).Create(t.Context(), p))
	kube, err := kubernetes.NewForConfig(l.configOf(tenant))
	l.must(err)
	dry := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
	onJob := func(patch string, subresource ...string) func() error {
		return func() error {
			_, err := kube.BatchV1().Jobs(l.namespace).Patch(t.Context(), of.Name, types.MergePatchType, []byte(patch), dry, subresource...)
			return err
		}
	}
	onPod := func(patch string, subresource ...string) func() error {
		return func() error {
			_, err := kube.CoreV1().Pods(l.namespace).Patch(t.Context(), p.Name, types.StrategicMergePatchType, []byte(patch), dry, subresource...)
			return err
		}
	}
	attempts := map[string]struct {
		attempt func() error
		says    string
	}{
		"give a Job more time":                 {onJob(`{"spec":{"activeDeadlineSeconds":999999}}`), saysForged},
		"give a Job more Pods":                 {onJob(`{"spec":{"parallelism":64}}`), saysForged},
		"suspend a Job":                        {onJob(`{"spec":{"suspend":true}}`), saysForged},
		"take a Job from its run":              {onJob(`{"metadata":{"labels":{"lethe.dev/run":null,"lethe.dev/run-uid":null,"lethe.dev/dataset-uid":null,"lethe.dev/attempt":null}}}`), saysForged},
		"say that a Job is done":               {onJob(`{"status":{"succeeded":1}}`, "status"), saysForged},
		"take a Job from its run by status":    {onJob(`{"metadata":{"labels":{"lethe.dev/run":null}}}`, "status"), saysForged},
		"run another image":                    {onPod(`{"spec":{"containers":[{"name":"trainer","image":"` + pinned + `"}]}}`), saysForged},
		"run another stager":                   {onPod(`{"spec":{"containers":[{"name":"stage-out","image":"` + pinned + `"}]}}`), saysForged},
		"take a Pod from its run":              {onPod(`{"metadata":{"labels":{"lethe.dev/run-uid":null}}}`), saysForged},
		"take a Pod from its run by status":    {onPod(`{"metadata":{"labels":{"lethe.dev/run-uid":null}}}`, "status"), saysForged},
		"say that a Pod has ended":             {onPod(`{"status":{"phase":"Succeeded"}}`, "status"), saysForged},
		"give a Pod another dataset":           {onPod(`{"metadata":{"labels":{"lethe.dev/dataset-uid":"1d5be7a2-0000-4000-8000-00000000000f"}}}`), saysForged},
		"have more of the node":                {onPod(`{"spec":{"containers":[{"name":"trainer","resources":{"limits":{"cpu":"64"},"requests":{"cpu":"64"}}}]}}`, "resize"), saysForged},
		"tolerate all taints":                  {onPod(`{"spec":{"tolerations":[{"operator":"Exists"},{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]}}`), saysForged},
		"look into the stagers":                {onPod(`{"spec":{"ephemeralContainers":[{"name":"spy","image":"`+pinned+`","securityContext":{"allowPrivilegeEscalation":false},"targetContainerName":"stage-out"}]}}`, "ephemeralcontainers"), "ephemeral containers"},
		"look into the stagers, as if allowed": {onPod(`{"spec":{"ephemeralContainers":[{"name":"spy","image":"`+allowedImage+`","securityContext":{"allowPrivilegeEscalation":false},"targetContainerName":"stage-out"}]}}`, "ephemeralcontainers"), "ephemeral containers"},
		"keep a Pod for ever":                  {onPod(`{"metadata":{"finalizers":["example.com/for-ever"]}}`), saysForged},
		"change the namespace's account":       {func() error { return l.automount(tenant) }, saysOperator("serviceaccounts")},
		"be a Pod": {func() error {
			return l.askForToken(tenant, &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID})
		}, "tokens of Pods"},
		"be a node": {func() error {
			return l.askForToken(tenant, &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Node", Name: "node-1"})
		}, "tokens of Pods"},
	}
	l.must(l.cluster.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "default"}}))
	for name, a := range attempts {
		t.Run("the tenant wants to "+name, func(t *testing.T) {
			t.Parallel()
			refused(t, a.attempt(), objectsPolicy, a.says)
		})
	}
}

// TestWhatWasThereDoesNotGrow: a namespace that becomes a tenant's may hold workloads.
func TestWhatWasThereDoesNotGrow(t *testing.T) {
	t.Parallel()
	l := newLand(t, nil)
	for _, kind := range []string{"deployments", "cronjobs", "jobs"} {
		l.must(l.as(tenant).Create(t.Context(), workloads(l.namespace)[kind]))
	}
	l.must(l.as(staff).Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace}},
		client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"lethe.dev/tenant":"t-1"}}}`))))
	kube, err := kubernetes.NewForConfig(l.configOf(tenant))
	l.must(err)
	scale := &autoscalingv1.Scale{ObjectMeta: named(l.namespace), Spec: autoscalingv1.ScaleSpec{Replicas: 64}}
	_, err = kube.AppsV1().Deployments(l.namespace).UpdateScale(t.Context(), "mine", scale, metav1.UpdateOptions{})
	refused(t, err, objectsPolicy, saysOperator("deployments"))
	binding := &corev1.Binding{ObjectMeta: named(l.namespace), Target: corev1.ObjectReference{Kind: "Node", Name: "node-1"}}
	refused(t, kube.CoreV1().RESTClient().Post().Namespace(l.namespace).Resource("bindings").Body(binding).Do(t.Context()).Error(),
		objectsPolicy, saysOperator("bindings"))
	refused(t, kube.CoreV1().Pods(l.namespace).Bind(t.Context(), binding, metav1.CreateOptions{}), objectsPolicy, saysOperator("pods"))
	more := workloads(l.namespace)["jobs"]
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"parallelism":64}}`))
	refused(t, l.as(tenant).Patch(t.Context(), more, patch), objectsPolicy, saysOperator("jobs"))
	// The controllers go on with their own bookkeeping, and everything may be deleted.
	allowed(t, l.as(collector).Status().Patch(t.Context(), workloads(l.namespace)["deployments"],
		client.RawPatch(types.MergePatchType, []byte(`{"status":{"observedGeneration":1}}`))))
	for _, kind := range []string{"deployments", "cronjobs", "jobs"} {
		allowed(t, l.as(tenant).Delete(t.Context(), workloads(l.namespace)[kind]))
	}
}

func (l *land) automount(w who) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "default"}}
	return l.as(w).Patch(l.t.Context(), account, client.RawPatch(types.MergePatchType, []byte(`{"automountServiceAccountToken":true}`)), client.DryRunAll)
}

func (l *land) askForToken(w who, bound *authenticationv1.BoundObjectReference) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "default"}}
	return l.as(w).SubResource("token").Create(l.t.Context(), account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"broker.lethe.dev"}, BoundObjectRef: bound},
	})
}

func TestWhatIsTheTenantsOwn(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	l.must(l.cluster.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "default"}}))
	c := l.as(tenant)
	allowed(t, c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: named(l.namespace), Data: map[string]string{"a": "b"}}))
	secret := &corev1.Secret{ObjectMeta: named(l.namespace), StringData: map[string]string{"a": "b"}}
	allowed(t, c.Create(t.Context(), secret))
	before := secret.DeepCopy()
	secret.StringData = map[string]string{"a": "c"}
	allowed(t, c.Patch(t.Context(), secret, client.MergeFrom(before)))
	allowed(t, c.Create(t.Context(), dataset(l.namespace, "digits")))
	of := run(l.namespace, "digits-1", allowedImage)
	allowed(t, c.Create(t.Context(), of))
	changed := of.DeepCopy()
	changed.Spec.Suspend = true
	allowed(t, c.Patch(t.Context(), changed, client.MergeFrom(of)))
	// What kubectl lethe upload asks for where a kubeconfig has no token.
	allowed(t, l.askForToken(tenant, nil))
	allowed(t, l.askForToken(kubelet, nil))
}
