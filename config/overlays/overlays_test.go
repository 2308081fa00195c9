// Package overlays_test builds every kustomization below config/, and lets a real API
// server say whether it would take what comes out.
package overlays_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/controllers/tenant/resources"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// building one at a time: kustomize loads its schema once, without asking who else does.
var building sync.Mutex

// build is what kubectl kustomize does.
func build(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("..", folder))
	if err != nil {
		t.Fatalf("build config/%s: %v", folder, err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range built.Resources() {
		text, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(text); err != nil {
			t.Fatalf("read what config/%s has: %v", folder, err)
		}
		objects = append(objects, o)
	}
	return objects
}

// folders are all that have a kustomization, as below config/.
func folders(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "kustomization.yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		// A component is no whole; the overlays with it are.
		if err == nil && !bytes.Contains(text, []byte("\nkind: Component\n")) {
			folder, _ := filepath.Rel("..", filepath.Dir(path))
			found = append(found, filepath.ToSlash(folder))
		}
		return err
	})
	if err != nil || len(found) < 8 {
		t.Fatalf("find kustomizations: %v, %v", found, err)
	}
	return found
}

// find gives the only object of that kind and name.
func find[T any](t *testing.T, objects []*unstructured.Unstructured, kind, name string) T {
	t.Helper()
	var typed T
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == name })
	if i < 0 {
		t.Fatalf("there is no %s %s", kind, name)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(objects[i].Object, &typed, true); err != nil {
		t.Fatalf("read %s %s: %v", kind, name, err)
	}
	return typed
}

// TestTheAPIServerTakesAll applies each as a dry run, and makes a Pod of each Deployment in
// its namespace, so that Pod Security looks at it. A field that does not exist is refused,
// also in the kinds that others bring.
func TestTheAPIServerTakesAll(t *testing.T) {
	t.Parallel()
	server := apitest.Start(t)
	teach(t, server)
	for _, folder := range folders(t) {
		objects := build(t, folder)
		prepare(t, server.Client, objects)
		for _, o := range objects {
			if folder == "samples" {
				o.SetNamespace(metav1.NamespaceDefault) // They go where their user is.
			}
			if err := apply(t.Context(), server.Client, o); err != nil {
				t.Errorf("config/%s: %s %s: %v", folder, o.GetKind(), o.GetName(), err)
			}
			if o.GetKind() == "Deployment" {
				admit(t, server.Client, find[appsv1.Deployment](t, objects, "Deployment", o.GetName()))
			}
		}
	}
	queue := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(read(t, "config/kueue/localqueue.yaml")), &queue.Object); err != nil {
		t.Fatal(err)
	}
	queue.SetNamespace(metav1.NamespaceDefault)
	if err := apply(t.Context(), server.Client, queue); err != nil {
		t.Errorf("the queue of a tenant: %v", err)
	}
}

// prepare makes what has to be there before: the namespaces, and the accounts of Pods.
func prepare(t *testing.T, c client.Client, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.GetNamespace()}}
		if o.GetKind() == "Namespace" {
			namespace.Name, namespace.Labels = o.GetName(), o.GetLabels()
		}
		if namespace.Name == "" {
			continue
		}
		// With its labels, also if it was first made without.
		text, err := runtime.DefaultUnstructuredConverter.ToUnstructured(namespace)
		if err != nil {
			t.Fatal(err)
		}
		delete(text, "status")
		delete(text, "spec")
		text["apiVersion"], text["kind"] = "v1", "Namespace"
		if len(namespace.Labels) > 0 || apierrors.IsNotFound(c.Get(t.Context(), client.ObjectKeyFromObject(namespace), &corev1.Namespace{})) {
			owner := client.FieldOwner("prepare")
			if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: text}), owner, client.ForceOwnership); err != nil {
				t.Fatalf("make namespace %s: %v", namespace.Name, err)
			}
		}
		for _, account := range []string{"default", "lethe-manager", "lethe-portal"} {
			err := c.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: account}})
			if err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatal(err)
			}
		}
	}
}

// apply is a dry run that refuses unknown fields, as kubectl apply --server-side does.
func apply(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
	strict := client.NewDryRunClient(client.WithFieldValidation(c, metav1.FieldValidationStrict))
	return strict.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.FieldOwner("overlays"), client.ForceOwnership)
}

// admit makes a Pod of the Deployment, as a dry run.
func admit(t *testing.T, c client.Client, d appsv1.Deployment) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
	pod.Namespace, pod.Name = d.Namespace, d.Name
	if pod.Spec.PriorityClassName != "" {
		pod.Spec.PriorityClassName = "" // It is part of the overlay, so it is not there yet.
	}
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := client.NewDryRunClient(c).Create(ctx, pod.DeepCopy())
		return !apierrors.IsForbidden(err) || strings.Contains(err.Error(), "violates PodSecurity"), nil
	})
	if err == nil {
		err = client.NewDryRunClient(c).Create(t.Context(), pod)
	}
	if err != nil {
		t.Errorf("a Pod of %s: %v", d.Name, err)
	}
}

func TestProduction(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"overlays/production", "overlays/example"} {
		objects := build(t, folder)
		manager := find[appsv1.Deployment](t, objects, "Deployment", "lethe-manager")
		if !slices.Contains(manager.Spec.Template.Spec.Containers[0].Args, "--leader-elect") {
			t.Errorf("%s: the operator runs with %v", folder, manager.Spec.Template.Spec.Containers[0].Args)
		}
		checkAvailable(t, folder, objects, manager)
		checkAvailable(t, folder, objects, find[appsv1.Deployment](t, objects, "Deployment", "lethe-portal"))
	}
}

// checkAvailable looks whether one replica may be lost.
func checkAvailable(t *testing.T, folder string, objects []*unstructured.Unstructured, d appsv1.Deployment) {
	t.Helper()
	if *d.Spec.Replicas != 2 || d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 {
		t.Errorf("%s: %d replicas of %s, %+v", folder, *d.Spec.Replicas, d.Name, d.Spec.Strategy)
	}
	pods := labels.Set(d.Spec.Template.Labels)
	budget := find[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget", d.Name)
	if selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector); err != nil || !selector.Matches(pods) || budget.Namespace != d.Namespace {
		t.Errorf("%s: the budget is about %v in %s, %v", folder, budget.Spec.Selector, budget.Namespace, err)
	}
	spread := d.Spec.Template.Spec.TopologySpreadConstraints
	if len(spread) != 2 {
		t.Fatalf("%s: %s is spread over %v", folder, d.Name, spread)
	}
	for _, s := range spread {
		if selector, err := metav1.LabelSelectorAsSelector(s.LabelSelector); err != nil || !selector.Matches(pods) {
			t.Errorf("%s: spread of %v, %v", folder, s.LabelSelector, err)
		}
	}
	find[schedulingv1.PriorityClass](t, objects, "PriorityClass", d.Spec.Template.Spec.PriorityClassName)
}

// TestTenantsReachTheEmbeddedStore compares the labels and the port that tenants' network
// policies name with those of the store.
func TestTenantsReachTheEmbeddedStore(t *testing.T) {
	t.Parallel()
	objects := build(t, "overlays/single-node")
	manager := find[appsv1.Deployment](t, objects, "Deployment", "lethe-manager")
	if replicas := manager.Spec.Replicas; replicas == nil || *replicas != 1 {
		t.Errorf("%v replicas of the operator", replicas)
	}
	store := find[appsv1.Deployment](t, objects, "Deployment", "lethe-minio")
	peer := config(t, objects, manager).Network.Store[0]
	if peer.Namespace[corev1.LabelMetadataName] != store.Namespace || !labels.SelectorFromSet(peer.Pods).Matches(labels.Set(store.Spec.Template.Labels)) ||
		peer.Port != store.Spec.Template.Spec.Containers[0].Ports[0].ContainerPort {
		t.Errorf("tenants reach %+v", peer)
	}
}

// config is the configuration of tenants that the operator would read.
func config(t *testing.T, objects []*unstructured.Unstructured, manager appsv1.Deployment) resources.Config {
	t.Helper()
	for _, volume := range manager.Spec.Template.Spec.Volumes {
		if volume.ConfigMap == nil {
			continue
		}
		from := find[corev1.ConfigMap](t, objects, "ConfigMap", volume.ConfigMap.Name)
		tenants, err := resources.ParseConfig([]byte(from.Data["tenants.yaml"]))
		if err != nil {
			t.Fatal(err)
		}
		return tenants
	}
	t.Fatal("the operator has no configuration of tenants")
	return resources.Config{}
}

// TestTenantsAreUnderstood reads the configuration of tenants of each overlay.
func TestTenantsAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"default", "lab", "overlays/production", "overlays/single-node", "overlays/example"} {
		objects := build(t, folder)
		tiers := config(t, objects, find[appsv1.Deployment](t, objects, "Deployment", "lethe-manager")).Tiers
		if len(tiers) == 0 {
			t.Errorf("config/%s has no tiers", folder)
		}
	}
}
