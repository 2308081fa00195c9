package system_test

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// plainPod fits Pod Security "restricted", and no node.
func plainPod(ns, name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: plainSpec()}
}

func plainSpec() corev1.PodSpec {
	return corev1.PodSpec{
		AutomountServiceAccountToken: ptr.To(false),
		NodeSelector:                 map[string]string{"example.com/nowhere": "true"},
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "trainer", Image: unrulyImage,
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				ReadOnlyRootFilesystem: ptr.To(true),
			},
		}},
	}
}

func deployment(name string, replicas int32) client.Object {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: plainSpec()},
	}}
}

// Bodies, in YAML.

// podYAML is a Pod that fits "restricted", but for what is added. More of the container
// comes first in it, more of the Pod's spec after it.
func podYAML(labels, container, spec string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: evil, labels: {%s}}, spec: {
  automountServiceAccountToken: false, securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}},
  containers: [{name: trainer, image: 'lethe.dev/unruly:dev', %s}], %s}}`, labels, container, spec)
}

const restrictedYAML = `securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}`

// runYAML is a run without GPUs. More is of its spec, in lines.
func runYAML(name, dataset, more string) string {
	return fmt.Sprintf("apiVersion: lethe.dev/v1alpha1\nkind: TrainingRun\nmetadata: {name: %s}\nspec:\n  datasetRef: {name: %q}\n", name, dataset) +
		withDefault(more, "trainer:", "  trainer: {image: 'lethe.dev/unruly:dev'}\n") + withDefault(more, "nodes:", "  nodes: {gpusPerNode: 0}\n") + more
}

func imageYAML(image string) string {
	return runYAML("evil", "digits", fmt.Sprintf("  trainer: {image: %q}\n", image))
}

func resourcesYAML(resources string) string {
	return runYAML("evil", "digits", "  trainer: {image: 'lethe.dev/unruly:dev', resources: {"+resources+"}}\n")
}

func nodesYAML(nodes string) string { return runYAML("evil", "digits", "  nodes: {"+nodes+"}\n") }

// withDefault is what a run has unless more of it says otherwise.
func withDefault(more, key, otherwise string) string {
	if strings.Contains(more, key) {
		return ""
	}
	return otherwise
}

// Paths. The API server is to complain of fields that it does not know.
const strictly = "?fieldValidation=Strict"

func core(rest string) string { return "/api/v1/namespaces/" + rest + strictly }

func group(g, ns, rest string) string {
	return "/apis/" + g + "/namespaces/" + ns + "/" + rest + strictly
}

func runsIn(ns string) string { return group("lethe.dev/v1alpha1", ns, "trainingruns") }
func mine(sub string) string  { return group("lethe.dev/v1alpha1", "{a}", "trainingruns/mine"+sub) }

const (
	podsPath    = "{a}/pods"
	apps        = "apps/v1"
	batch       = "batch/v1"
	networking  = "networking.k8s.io/v1"
	kueue       = "kueue.x-k8s.io/v1beta1"
	rbac        = "rbac.authorization.k8s.io/v1"
	restricted  = `violates PodSecurity "restricted`
	byOperator  = "are made and changed by the operator alone"
	runsLabels  = "labels of a run"
	noRight     = "cannot"
	stagersHold = "the others hold credentials"
	saysImage   = "neither pinned by its digest"
	saysLabels  = "say what a tenant may have"
	notPositive = "greater than zero"
)

// attempts ask the API server for one thing each, as the user, who has the roles
// lethe-user and edit in his namespace, or as its owner, who has all that can be bound
// there: what only RBAC kept from the user, the policies keep from the owner.
var attempts = map[string]struct{ as, verb, path, body, says string }{
	"data: a namespace in the reference": {
		"user", "POST", runsIn("{a}"), "apiVersion: lethe.dev/v1alpha1\nkind: TrainingRun\nmetadata: {name: evil}\nspec: {datasetRef: {name: secret, namespace: '{b}'}, trainer: {image: 'lethe.dev/unruly:dev'}}",
		`unknown field "spec.datasetRef.namespace"`,
	},
	"data: a path in the reference":               {"user", "POST", runsIn("{a}"), runYAML("evil", "../{b}/secret", ""), "should match"},
	"data: a run in the other's namespace":        {"user", "POST", runsIn("{b}"), runYAML("evil", "secret", ""), noRight},
	"data: see another tenant's dataset":          {"user", "GET", group("lethe.dev/v1alpha1", "{b}", "datasetretentions/secret"), "", noRight},
	"data: see everybody's datasets":              {"user", "GET", "/apis/lethe.dev/v1alpha1/datasetretentions", "", noRight},
	"data: delete another tenant's dataset":       {"owner", "DELETE", group("lethe.dev/v1alpha1", "{b}", "datasetretentions/secret"), "", noRight},
	"data: the keys of datasets":                  {"owner", "GET", core("lethe-system/secrets"), "", noRight},
	"data: the way to the webhook":                {"owner", "GET", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/lethe", "", noRight},
	"data: take a hold":                           {"user", "MERGE", group("lethe.dev/v1alpha1", "{a}", "datasetretentions/digits"), `{"spec":{"hold":{"reason":"x"}}}`, "hold"},
	"data: keep data longer than its ceiling":     {"user", "POST", group("lethe.dev/v1alpha1", "{a}", "datasetretentions"), "{apiVersion: lethe.dev/v1alpha1, kind: DatasetRetention, metadata: {name: evil}, spec: {retention: {maxAge: -1h}}}", "maxAge"},
	"pod: a plain one":                            {"user", "POST", core(podsPath), podYAML("", restrictedYAML, ""), byOperator},
	"pod: a folder of the node":                   {"user", "POST", core(podsPath), podYAML("", restrictedYAML, "volumes: [{name: h, hostPath: {path: /var/lib/kubelet}}]"), restricted},
	"pod: a folder of the node, as owner":         {"owner", "POST", core(podsPath), podYAML("", restrictedYAML, "volumes: [{name: h, hostPath: {path: /}}]"), "hostPath"},
	"pod: another server's disk":                  {"owner", "POST", core(podsPath), podYAML("", restrictedYAML, "volumes: [{name: h, nfs: {server: 10.0.0.1, path: /}}]"), "nfs"},
	"pod: the node's network":                     {"user", "POST", core(podsPath), podYAML("", restrictedYAML, "hostNetwork: true"), "host namespaces"},
	"pod: the node's processes":                   {"owner", "POST", core(podsPath), podYAML("", restrictedYAML, "hostPID: true"), "host namespaces"},
	"pod: a port of the node":                     {"user", "POST", core(podsPath), podYAML("", restrictedYAML+", ports: [{containerPort: 80, hostPort: 80}]", ""), "hostPort"},
	"pod: privileged":                             {"user", "POST", core(podsPath), podYAML("", "securityContext: {privileged: true}", ""), "privileged"},
	"pod: a capability":                           {"user", "POST", core(podsPath), podYAML("", "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [SYS_ADMIN]}}", ""), "unrestricted capabilities"},
	"pod: root":                                   {"user", "POST", core(podsPath), podYAML("", "securityContext: {allowPrivilegeEscalation: false, runAsUser: 0, capabilities: {drop: [ALL]}}", ""), "runAsUser=0"},
	"pod: no seccomp":                             {"user", "POST", core(podsPath), podYAML("", "securityContext: {allowPrivilegeEscalation: false, seccompProfile: {type: Unconfined}, capabilities: {drop: [ALL]}}", ""), "seccompProfile"},
	"pod: a token of its account":                 {"user", "POST", core(podsPath), podYAML("", restrictedYAML, "volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]"), "tokens for the broker"},
	"pod: another account":                        {"owner", "POST", core(podsPath), podYAML("", restrictedYAML, "serviceAccountName: owner"), `service account "default"`},
	"pod: a node of its choice":                   {"user", "POST", core(podsPath), podYAML("", restrictedYAML, "nodeName: lethe-lab"), "placed by the scheduler"},
	"pod: as a dry run":                           {"user", "POST", core(podsPath) + "&dryRun=All", podYAML("", restrictedYAML, ""), byOperator},
	"pod: by apply, with force":                   {"user", "APPLY", core(podsPath+"/evil") + "&fieldManager=evil&force=true", podYAML("", restrictedYAML, ""), byOperator},
	"pod: the labels of a run":                    {"user", "POST", core(podsPath), podYAML("lethe.dev/run: mine, lethe.dev/run-uid: x", restrictedYAML, ""), runsLabels},
	"pod: one label of a run, in another case":    {"user", "POST", core(podsPath), podYAML("Lethe.dev/run: mine", restrictedYAML, ""), "metadata.labels"},
	"pod: take the labels of a run off":           {"user", "MERGE", core(podsPath + "/{pod}"), `{"metadata":{"labels":{"lethe.dev/run-uid":null}}}`, runsLabels},
	"pod: another image for a run":                {"user", "STRATEGIC", core(podsPath + "/{pod}"), `{"spec":{"containers":[{"name":"trainer","image":"lethe.dev/digits:dev"}]}}`, runsLabels},
	"pod: another stager":                         {"owner", "STRATEGIC", core(podsPath + "/{pod}"), `{"spec":{"containers":[{"name":"stage-out","image":"lethe.dev/unruly:dev"}]}}`, runsLabels},
	"pod: take the finalizer off":                 {"user", "MERGE", core(podsPath + "/{pod}"), `{"metadata":{"finalizers":null}}`, "lethe.dev"},
	"pod: say that it has ended":                  {"owner", "MERGE", core(podsPath + "/{pod}/status"), `{"status":{"phase":"Succeeded"}}`, runsLabels},
	"pod: more of the node":                       {"owner", "STRATEGIC", core(podsPath + "/{pod}/resize"), `{"spec":{"containers":[{"name":"trainer","resources":{"requests":{"cpu":"100m"}}}]}}`, runsLabels},
	"pod: bind it to a node":                      {"owner", "POST", core(podsPath + "/{pod}/binding"), "{apiVersion: v1, kind: Binding, metadata: {name: '{pod}'}, target: {kind: Node, name: lethe-lab}}", "operator alone"},
	"pod: an ephemeral container":                 {"user", "STRATEGIC", core(podsPath + "/{pod}/ephemeralcontainers"), spyYAML, noRight},
	"pod: an ephemeral container, as owner":       {"owner", "STRATEGIC", core(podsPath + "/{pod}/ephemeralcontainers"), spyYAML, "nobody adds ephemeral containers"},
	"pod: exec into stage-in":                     {"user", "POST", core(podsPath+"/{pod}/exec") + "&command=env&stdout=true&container=stage-in", "", stagersHold},
	"pod: exec into stage-out":                    {"user", "POST", core(podsPath+"/{pod}/exec") + "&command=env&stdout=true&container=stage-out", "", stagersHold},
	"pod: exec into stage-out, by GET":            {"owner", "GET", core(podsPath+"/{pod}/exec") + "&command=env&stdout=true&container=stage-out", "", stagersHold},
	"pod: exec without a container":               {"user", "POST", core(podsPath+"/{pod}/exec") + "&command=env&stdout=true", "", stagersHold},
	"pod: another runtime":                        {"owner", "POST", core(podsPath), podYAML("", restrictedYAML, "runtimeClassName: '{weak}'"), "RuntimeClass of its tier"},
	"pod: an image to write into":                 {"owner", "POST", core(podsPath), podYAML("", "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}", ""), "do not write into their images"},
	"pod: attach to stage-in":                     {"owner", "POST", core(podsPath+"/{pod}/attach") + "&stdin=true&container=stage-in", "", stagersHold},
	"pod: attach without a container":             {"user", "POST", core(podsPath+"/{pod}/attach") + "&stdout=true", "", stagersHold},
	"pod: attach to stage-out, by GET":            {"owner", "GET", core(podsPath+"/{pod}/attach") + "&stdout=true&container=stage-out", "", stagersHold},
	"pod: attach to stage-out":                    {"user", "POST", core(podsPath+"/{pod}/attach") + "&stdout=true&container=stage-out", "", stagersHold},
	"workload: a Job with the labels of a run":    {"user", "POST", group(batch, "{a}", "jobs"), jobYAML("labels: {lethe.dev/run: mine, lethe.dev/run-uid: x}"), runsLabels},
	"workload: a Job":                             {"user", "POST", group(batch, "{a}", "jobs"), jobYAML(""), byOperator},
	"workload: a CronJob":                         {"user", "POST", group(batch, "{a}", "cronjobs"), "{apiVersion: batch/v1, kind: CronJob, metadata: {name: evil}, spec: {schedule: '* * * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: 'lethe.dev/unruly:dev'}]}}}}}}", byOperator},
	"workload: more Pods for a run's Job":         {"user", "MERGE", group(batch, "{a}", "jobs/{job}"), `{"spec":{"parallelism":64}}`, runsLabels},
	"workload: more time for a run's Job":         {"owner", "MERGE", group(batch, "{a}", "jobs/{job}"), `{"spec":{"activeDeadlineSeconds":9999999}}`, runsLabels},
	"workload: more time, by apply with force":    {"owner", "APPLY", group(batch, "{a}", "jobs/{job}") + "&fieldManager=lethe&force=true", "{apiVersion: batch/v1, kind: Job, metadata: {name: '{job}'}, spec: {activeDeadlineSeconds: 9999999}}", runsLabels},
	"workload: scale what was there before":       {"user", "MERGE", group(apps, "{a}", "deployments/old/scale"), `{"spec":{"replicas":3}}`, byOperator},
	"workload: patch what was there before":       {"user", "MERGE", group(apps, "{a}", "deployments/old"), `{"spec":{"replicas":3}}`, byOperator},
	"workload: a Deployment":                      {"user", "POST", group(apps, "{a}", "deployments"), "{apiVersion: apps/v1, kind: Deployment, metadata: {name: evil}, spec: {selector: {matchLabels: {app: evil}}, template: {metadata: {labels: {app: evil}}, spec: {containers: [{name: c, image: 'lethe.dev/unruly:dev'}]}}}}", byOperator},
	"workload: a claim of a disk":                 {"user", "POST", core("{a}/persistentvolumeclaims"), "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: evil}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", byOperator},
	"workload: a budget that stops drains":        {"user", "POST", group("policy/v1", "{a}", "poddisruptionbudgets"), "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: evil}, spec: {maxUnavailable: 0, selector: {}}}", byOperator},
	"connect: into another tenant's trainer":      {"owner", "POST", core("{b}/pods/theirs-0/exec") + "&command=env&stdout=true&container=trainer", "", noRight},
	"connect: attach to another tenant's trainer": {"owner", "POST", core("{b}/pods/theirs-0/attach") + "&stdout=true&container=trainer", "", noRight},
	"connect: a port of another tenant's Pod":     {"owner", "POST", core("{b}/pods/theirs-0/portforward") + "&ports=8080", "", noRight},
	"connect: a port of the operator":             {"owner", "POST", core("lethe-system/pods/{operator-pod}/portforward") + "&ports=9443", "", noRight},
	"connect: a page of another tenant's Pod":     {"owner", "GET", core("{b}/pods/theirs-0:8080/proxy/"), "", noRight},
	"connect: a page of the operator":             {"owner", "GET", core("lethe-system/pods/https:{operator-pod}:9443/proxy/v1/stage"), "", noRight},
	"connect: the operator's metrics":             {"owner", "GET", core("lethe-system/services/https:lethe-metrics:8443/proxy/metrics"), "", noRight},
	"connect: the API server, by its Service":     {"owner", "GET", core("default/services/https:kubernetes:443/proxy/api"), "", noRight},
	"connect: the node's list of Pods":            {"owner", "GET", "/api/v1/nodes/lethe-lab/proxy/pods", "", noRight},
	"connect: the node's files":                   {"owner", "GET", "/api/v1/nodes/lethe-lab/proxy/logs/", "", noRight},
	"connect: run something on the node":          {"owner", "POST", "/api/v1/nodes/lethe-lab/proxy/run/{a}/{pod}/stage-out?cmd=env", "", noRight},
	"connect: the node's list of Pods, as user":   {"user", "GET", "/api/v1/nodes/lethe-lab/proxy/pods", "", noRight},
	"connect: a Service that is another's":        {"owner", "POST", core("{a}/services"), "{apiVersion: v1, kind: Service, metadata: {name: evil}, spec: {type: ExternalName, externalName: lethe-metrics.lethe-system.svc}}", byOperator},
	"connect: an address that is another's":       {"owner", "POST", core("{a}/endpoints"), "{apiVersion: v1, kind: Endpoints, metadata: {name: evil}, subsets: [{addresses: [{ip: 10.77.0.1}], ports: [{port: 10250}]}]}", byOperator},
	"connect: an address, in a slice":             {"owner", "POST", group("discovery.k8s.io/v1", "{a}", "endpointslices"), "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: evil}, addressType: IPv4, endpoints: [{addresses: [10.77.0.1]}], ports: [{port: 10250}]}", byOperator},
	"connect: an address for a Pod":               {"owner", "MERGE", core(podsPath + "/{pod}/status"), `{"status":{"podIP":"10.77.0.1","podIPs":[{"ip":"10.77.0.1"}]}}`, runsLabels},
	"queue: another tenant's, by a path":          {"user", "POST", runsIn("{a}"), runYAML("evil", "digits", "  queueName: '{b}/queue'\n"), "should match"},
	"queue: another tenant's, by a field":         {"user", "POST", runsIn("{a}"), runYAML("evil", "digits", "  queueNamespace: '{b}'\n"), "unknown field \"spec.queueNamespace\""},
	"queue: one in another tenant's namespace":    {"owner", "POST", group(kueue, "{b}", "localqueues"), queueYAML, noRight},
	"queue: see another tenant's":                 {"owner", "GET", group(kueue, "{b}", "localqueues"), "", noRight},
	"queue: the cluster's own":                    {"owner", "GET", "/apis/" + kueue + "/clusterqueues", "", noRight},
	"queue: admit its own run":                    {"owner", "MERGE", group(batch, "{a}", "jobs/{job}"), `{"spec":{"suspend":false},"metadata":{"labels":{"kueue.x-k8s.io/queue-name":"queue"}}}`, runsLabels},
	"disk: negative":                              {"user", "POST", runsIn("{a}"), resourcesYAML(`ephemeralStorage: "-1Gi"`), notPositive},
	"disk: with a huge exponent":                  {"user", "POST", runsIn("{a}"), resourcesYAML(`ephemeralStorage: "1e99999"`), "ephemeralStorage"},
	"disk: a writable root, in a run":             {"user", "POST", runsIn("{a}"), runYAML("evil", "digits", "  trainer: {image: 'lethe.dev/unruly:dev', rootFilesystem: Writable}\n"), "read-only root filesystems"},
	"disk: a writable root, for a run that is":    {"owner", "MERGE", mine(""), `{"spec":{"trainer":{"rootFilesystem":"Writable"}}}`, "can not be changed"},
	"disk: a tier that has one":                   {"owner", "MERGE", core("{a}"), `{"metadata":{"annotations":{"lethe.dev/writable-root":"true"}}}`, saysLabels},
	"runtime: another, in a run":                  {"user", "POST", runsIn("{a}"), runYAML("evil", "digits", "  trainer: {image: 'lethe.dev/unruly:dev', runtimeClassName: '{weak}'}\n"), "unknown field \"spec.trainer.runtimeClassName\""},
	"runtime: another, for a run's Job":           {"owner", "MERGE", group(batch, "{a}", "jobs/{job}"), `{"spec":{"template":{"spec":{"runtimeClassName":"{weak}"}}}}`, "field is immutable"},
	"runtime: a class of its own":                 {"owner", "POST", "/apis/node.k8s.io/v1/runtimeclasses", "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: evil}, handler: runc}", noRight},
	"run: write its status":                       {"user", "MERGE", mine("/status"), `{"status":{"state":"Succeeded"}}`, noRight},
	"run: write its status, as owner":             {"owner", "MERGE", mine("/status"), `{"status":{"usage":{"gpuSeconds":0}}}`, "written by the operator alone"},
	"run: write its status, as owner, by force":   {"owner", "APPLY", mine("/status") + "&fieldManager=lethe-manager&force=true", "{apiVersion: lethe.dev/v1alpha1, kind: TrainingRun, metadata: {name: mine}, status: {state: Succeeded}}", "written by the operator alone"},
	"run: write a dataset's place":                {"owner", "MERGE", group("lethe.dev/v1alpha1", "{a}", "datasetretentions/digits/status"), `{"status":{"location":{"bucket":"lethe-datasets","prefix":"{b}/{secret-uid}/"}}}`, "set once"},
	"run: say that one was the operator":          {"operator", "MERGE", mine("/status"), `{"status":{"state":"Succeeded"}}`, "cannot impersonate"},
	"run: take its finalizer off":                 {"user", "MERGE", mine(""), `{"metadata":{"finalizers":null}}`, "taken off by the operator alone"},
	"run: take its finalizer off, by a JSON path": {"user", "JSON", mine(""), `[{"op":"remove","path":"/metadata/finalizers/0"}]`, "taken off by the operator alone"},
	"run: take a dataset's finalizer off":         {"user", "MERGE", group("lethe.dev/v1alpha1", "{a}", "datasetretentions/digits"), `{"metadata":{"finalizers":[]}}`, "taken off by the operator alone"},
	"run: a finalizer that keeps the namespace":   {"user", "POST", core("{a}/configmaps"), "{apiVersion: v1, kind: ConfigMap, metadata: {name: evil, finalizers: [example.com/for-ever]}}", "nobody adds finalizers"},
	"run: raise maxGPUSeconds":                    {"user", "MERGE", mine(""), `{"spec":{"limits":{"maxGPUSeconds":1001}}}`, "reserved for the run"},
	"run: raise maxGPUSeconds to the largest":     {"owner", "MERGE", mine(""), `{"spec":{"limits":{"maxGPUSeconds":9223372036854775807}}}`, "reserved for the run"},
	"run: raise maxGPUSeconds beyond the largest": {"user", "MERGE", mine(""), `{"spec":{"limits":{"maxGPUSeconds":9223372036854775808}}}`, "maxGPUSeconds"},
	"run: a negative maxGPUSeconds":               {"user", "MERGE", mine(""), `{"spec":{"limits":{"maxGPUSeconds":-1}}}`, "maxGPUSeconds"},
	"run: take maxGPUSeconds away":                {"user", "MERGE", mine(""), `{"spec":{"limits":{"maxGPUSeconds":null}}}`, "maxGPUSeconds"},
	"run: raise maxDuration":                      {"user", "MERGE", mine(""), `{"spec":{"limits":{"maxDuration":"2h"}}}`, "maxDuration"},
	"run: raise maxDuration, by apply with force": {"user", "APPLY", mine("") + "&fieldManager=evil&force=true", "{apiVersion: lethe.dev/v1alpha1, kind: TrainingRun, metadata: {name: mine}, spec: {limits: {maxDuration: 2h}}}", "maxDuration"},
	"run: another dataset":                        {"user", "MERGE", mine(""), `{"spec":{"datasetRef":{"name":"secret"}}}`, "can not be changed"},
	"run: variables that are Lethe's":             {"user", "POST", runsIn("{a}"), runYAML("evil", "digits", "  trainer: {image: 'lethe.dev/unruly:dev', env: [{name: LETHE_BROKER_URL, value: x}]}\n"), "set by the operator"},
	"quota: negative CPUs":                        {"user", "POST", runsIn("{a}"), resourcesYAML(`cpu: "-1"`), notPositive},
	"quota: CPUs with an exponent":                {"user", "POST", runsIn("{a}"), resourcesYAML(`cpu: "1e9"`), notPositive},
	"quota: CPUs that overflow":                   {"user", "POST", runsIn("{a}"), resourcesYAML(`cpu: "18446744073709551617"`), notPositive},
	"quota: memory with a huge exponent":          {"user", "POST", runsIn("{a}"), resourcesYAML(`memory: "1e99999"`), "memory"},
	"quota: negative memory":                      {"user", "POST", runsIn("{a}"), resourcesYAML(`memory: "-8Gi"`), notPositive},
	"quota: negative GPUs":                        {"user", "POST", runsIn("{a}"), nodesYAML("gpusPerNode: -1"), "gpusPerNode"},
	"quota: GPUs that overflow":                   {"user", "POST", runsIn("{a}"), nodesYAML("gpusPerNode: 4294967297"), "gpusPerNode"},
	"quota: more nodes than there are":            {"user", "POST", runsIn("{a}"), nodesYAML("count: 64, gpusPerNode: 16"), "at most 256 GPUs"},
	"quota: more GPUs than the allowance":         {"user", "POST", runsIn("{a}"), nodesYAML("gpusPerNode: 3"), "may have 2"},
	"quota: more GPUs, on several nodes":          {"user", "POST", runsIn("{a}"), nodesYAML("count: 3, gpusPerNode: 1"), "may have 2"},
	"tenant: be no tenant any more":               {"owner", "MERGE", core("{a}"), `{"metadata":{"labels":{"lethe.dev/tenant":null}}}`, saysLabels},
	"tenant: be no tenant, as user":               {"user", "MERGE", core("{a}"), `{"metadata":{"labels":{"lethe.dev/tenant":null}}}`, noRight},
	"tenant: raise the allowance":                 {"owner", "MERGE", core("{a}"), `{"metadata":{"annotations":{"lethe.dev/gpu-allowance":"64"}}}`, saysLabels},
	"tenant: raise the allowance, by the status":  {"owner", "MERGE", core("{a}/status"), `{"metadata":{"annotations":{"lethe.dev/gpu-allowance":"64"}}}`, saysLabels},
	"tenant: open the internet":                   {"owner", "APPLY", core("{a}") + "&fieldManager=lethe-portal&force=true", "{apiVersion: v1, kind: Namespace, metadata: {name: '{a}', annotations: {lethe.dev/internet-egress: 'true'}}}", saysLabels},
	"tenant: another runtime":                     {"owner", "MERGE", core("{a}"), `{"metadata":{"annotations":{"lethe.dev/runtime-class":"none"}}}`, saysLabels},
	"tenant: privileged Pod Security":             {"owner", "MERGE", core("{a}"), `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`, "Pod Security labels"},
	"tenant: finalize the namespace":              {"owner", "PUT", core("{a}/finalize"), "{apiVersion: v1, kind: Namespace, metadata: {name: '{a}', labels: {lethe.dev/tenant: 't-{a}'}}, spec: {finalizers: []}}", "lethe.dev"},
	"tenant: a bigger role":                       {"user", "POST", group(rbac, "{a}", "rolebindings"), bindingYAML, noRight},
	"tenant: a bigger role, as owner":             {"owner", "POST", group(rbac, "{a}", "rolebindings"), bindingYAML, byOperator},
	"tenant: a Role of its own":                   {"owner", "POST", group(rbac, "{a}", "roles"), "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: evil}, rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]}", byOperator},
	"tenant: the portal's rights":                 {"owner", "STRATEGIC", group(rbac, "{a}", "rolebindings/lethe-portal"), `{"subjects":[{"kind":"ServiceAccount","name":"mallory","namespace":"{a}"}]}`, byOperator},
	"tenant: a network without walls":             {"user", "POST", group(networking, "{a}", "networkpolicies"), "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: evil}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}}", byOperator},
	"tenant: a hole in the wall":                  {"user", "MERGE", group(networking, "{a}", "networkpolicies/lethe-deny-all"), `{"spec":{"egress":[{}]}}`, byOperator},
	"tenant: no wall":                             {"user", "DELETE", group(networking, "{a}", "networkpolicies/lethe-deny-all"), "", "not taken away"},
	"tenant: no walls at all":                     {"user", "DELETE", group(networking, "{a}", "networkpolicies"), "", "not taken away"},
	"tenant: a larger quota":                      {"user", "MERGE", core("{a}/resourcequotas/lethe"), quotaPatch, noRight},
	"tenant: a larger quota, as owner":            {"owner", "MERGE", core("{a}/resourcequotas/lethe"), quotaPatch, byOperator},
	"tenant: a quota that is not used":            {"owner", "MERGE", core("{a}/resourcequotas/lethe/status"), `{"status":{"used":{"pods":"0"}}}`, byOperator},
	"tenant: no quota":                            {"owner", "DELETE", core("{a}/resourcequotas/lethe"), "", "not taken away"},
	"tenant: larger limits":                       {"owner", "MERGE", core("{a}/limitranges/lethe"), `{"spec":{"limits":[]}}`, byOperator},
	"tenant: no limits":                           {"owner", "DELETE", core("{a}/limitranges/lethe"), "", "not taken away"},
	"tenant: a port of the nodes":                 {"user", "POST", core("{a}/services"), serviceYAML("NodePort"), byOperator},
	"tenant: a load balancer":                     {"user", "POST", core("{a}/services"), serviceYAML("LoadBalancer"), byOperator},
	"tenant: a Service, with a run's label":       {"user", "POST", core("{a}/services"), "{apiVersion: v1, kind: Service, metadata: {name: evil, labels: {lethe.dev/run-uid: x}}, spec: {ports: [{port: 80}]}}", runsLabels},
	"tenant: an Ingress":                          {"user", "POST", group(networking, "{a}", "ingresses"), "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: evil}, spec: {defaultBackend: {service: {name: x, port: {number: 80}}}}}", byOperator},
	"token: a Secret that is one":                 {"user", "POST", core("{a}/secrets"), "{apiVersion: v1, kind: Secret, metadata: {name: evil, annotations: {kubernetes.io/service-account.name: owner}}, type: kubernetes.io/service-account-token}", byOperator},
	"token: of the operator":                      {"user", "POST", core("lethe-system/serviceaccounts/lethe-manager/token"), tokenYAML(""), noRight},
	"token: of another tenant's account":          {"owner", "POST", core("{b}/serviceaccounts/default/token"), tokenYAML(""), noRight},
	"token: of a run's Pod":                       {"user", "POST", core("{a}/serviceaccounts/default/token"), tokenYAML("boundObjectRef: {apiVersion: v1, kind: Pod, name: '{pod}'}"), "tokens of Pods"},
	"token: of a node":                            {"owner", "POST", core("{a}/serviceaccounts/default/token"), tokenYAML("boundObjectRef: {apiVersion: v1, kind: Node, name: lethe-lab}"), "tokens of Pods"},
	"token: mounted into every Pod":               {"user", "MERGE", core("{a}/serviceaccounts/default"), `{"automountServiceAccountToken":true}`, byOperator},
	"token: an account of his own":                {"user", "POST", core("{a}/serviceaccounts"), "{apiVersion: v1, kind: ServiceAccount, metadata: {name: evil}}", byOperator},
	"image: by a tag of another registry":         {"user", "POST", runsIn("{a}"), imageYAML("registry.example/evil:1"), saysImage},
	"image: by a tag, as a dry run":               {"user", "POST", runsIn("{a}") + "&dryRun=All", imageYAML("registry.example/evil:1"), saysImage},
	"image: by a short name":                      {"user", "POST", runsIn("{a}"), imageYAML("nginx"), saysImage},
	"image: an allowed registry in another case":  {"user", "POST", runsIn("{a}"), imageYAML("Lethe.dev/unruly:dev"), saysImage},
	"image: a registry that begins like it":       {"user", "POST", runsIn("{a}"), imageYAML("lethe.dev.evil.example/unruly:dev"), saysImage},
	"image: a registry that has it in its path":   {"user", "POST", runsIn("{a}"), imageYAML("evil.example/lethe.dev/unruly:dev"), saysImage},
	"image: a path that leads out":                {"user", "POST", runsIn("{a}"), imageYAML("lethe.dev/../evil/unruly:dev"), saysImage},
	"image: a user before the registry":           {"user", "POST", runsIn("{a}"), imageYAML("lethe.dev/@evil.example/unruly:dev"), saysImage},
	"image: half a digest":                        {"user", "POST", runsIn("{a}"), imageYAML("evil.example/unruly@sha256:0123"), saysImage},
	"image: a second line that is allowed":        {"user", "POST", runsIn("{a}"), imageYAML("evil.example/x\nlethe.dev/unruly:dev"), "should match"},
}

const (
	spyYAML     = `{"spec":{"ephemeralContainers":[{"name":"spy","image":"lethe.dev/unruly:dev","targetContainerName":"stage-out","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}`
	bindingYAML = "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: evil}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: mallory, namespace: '{a}'}]}"
	queueYAML   = "{apiVersion: " + kueue + ", kind: LocalQueue, metadata: {name: evil}, spec: {clusterQueue: all}}"
	quotaPatch  = `{"spec":{"hard":{"requests.nvidia.com/gpu":"64"}}}`
)

func jobYAML(metadata string) string {
	return "{apiVersion: batch/v1, kind: Job, metadata: {name: evil, " + metadata +
		"}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: 'lethe.dev/unruly:dev'}]}}}}"
}

func serviceYAML(kind string) string {
	return "{apiVersion: v1, kind: Service, metadata: {name: evil}, spec: {type: " + kind + ", ports: [{port: 80}]}}"
}

func tokenYAML(more string) string {
	return "{apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {audiences: [broker.lethe.dev], " + more + "}}"
}
