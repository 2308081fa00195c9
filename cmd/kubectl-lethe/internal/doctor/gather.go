package doctor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

// Cluster is what is looked at. None of its methods changes anything.
type Cluster interface {
	client.Reader
	// Try sends an object as a dry run and gives what the API server says of it.
	Try(ctx context.Context, o client.Object) error
	// About gives the version of the API server, and the resources that it serves as
	// group/version/resource.
	About(ctx context.Context) (version string, served map[string]bool, err error)
	// Metrics gives those of the API server that answers, as text.
	Metrics(ctx context.Context) ([]byte, error)
	// Knock asks whoever answers at a URL, over TLS verified by these certificates (PEM),
	// for anything. Any answer is good.
	Knock(ctx context.Context, url string, ca []byte) error
}

// Gather looks at a cluster. What can not be read is no error. The probes are tried in the
// namespace of a tenant; "" for any.
func Gather(ctx context.Context, c Cluster, tenant string, now time.Time) Facts {
	g := gatherer{cluster: c, facts: Facts{Now: now}}
	f := &g.facts
	g.about(ctx)
	f.Kinds = look(&g, "read Lethe's CustomResourceDefinitions", func() (map[string]Kind, error) { return readKinds(ctx, c) })
	g.operator(ctx)
	g.admission(ctx)
	f.Published = look(&g, "read the ConfigMap kube-public/lethe-broker", func() (v corev1.ConfigMap, err error) {
		return v, c.Get(ctx, client.ObjectKey{Namespace: discovery.Namespace, Name: discovery.ConfigMapName}, &v)
	})
	f.TrustBundle.Err = get(ctx, &g, "get the ClusterTrustBundle lethe-broker", discovery.TrustBundle, &f.TrustBundle.Value)
	g.broker(ctx)
	g.platform(ctx)
	g.tiers(ctx)
	g.tenants(ctx)
	g.probe(ctx, tenant)
	return *f
}

type gatherer struct {
	cluster Cluster
	facts   Facts
}

// look notes what there is no right to.
func look[T any](g *gatherer, what string, read func() (T, error)) Seen[T] {
	value, err := read()
	return Seen[T]{Value: value, Err: g.judge(what, err)}
}

func (g *gatherer) judge(what string, err error) error {
	if apierrors.IsForbidden(err) {
		g.facts.Denied = append(g.facts.Denied, what)
		return fmt.Errorf("you have no right to %s", what)
	}
	return notThere(err)
}

// get reads an object that is in no namespace.
func get(ctx context.Context, g *gatherer, what, name string, into client.Object) error {
	return g.judge(what, g.cluster.Get(ctx, client.ObjectKey{Name: name}, into))
}

// list reads a list.
func list(ctx context.Context, g *gatherer, what string, into client.ObjectList, options ...client.ListOption) error {
	return g.judge("list "+what, g.cluster.List(ctx, into, options...))
}

func (g *gatherer) about(ctx context.Context) {
	f := &g.facts
	version, served, err := g.cluster.About(ctx)
	err = g.judge("read what the API server serves", err)
	f.Version, f.Served = Seen[string]{version, err}, Seen[map[string]bool]{served, err}
}

func (g *gatherer) operator(ctx context.Context) {
	f := &g.facts
	key := client.ObjectKey{Namespace: Namespace, Name: Operator}
	f.Operator.Err = g.judge("get the Deployment of the operator", g.cluster.Get(ctx, key, &f.Operator.Value))
	var pods corev1.PodList
	f.OperatorPods.Err = list(ctx, g, "Pods of "+Namespace, &pods, client.InNamespace(Namespace),
		client.MatchingLabels{"app.kubernetes.io/name": Operator})
	f.OperatorPods.Value = pods.Items
	key.Name = Lease
	f.Lease.Err = g.judge("get the operator's Lease", g.cluster.Get(ctx, key, &f.Lease.Value))
}

// broker asks it, where it is published.
func (g *gatherer) broker(ctx context.Context) {
	f := &g.facts
	url := f.Published.Value.Data[discovery.KeyURL]
	if f.Published.Err != nil || url == "" {
		f.Broker.Err = errNotLooked
		return
	}
	f.Broker.Err = g.cluster.Knock(ctx, url, []byte(f.Published.Value.Data[discovery.KeyCA]))
}

func (g *gatherer) platform(ctx context.Context) {
	f := &g.facts
	var sets appsv1.DaemonSetList
	f.DaemonSets.Err = list(ctx, g, "DaemonSets of all namespaces", &sets)
	f.DaemonSets.Value = sets.Items
	var pods corev1.PodList
	f.APIServers.Err = list(ctx, g, "Pods of kube-system", &pods, client.InNamespace("kube-system"), client.MatchingLabels{"component": "kube-apiserver"})
	f.APIServers.Value = pods.Items
	f.Stored = look(g, "get /metrics of the API server", func() (map[string]float64, error) {
		text, err := g.cluster.Metrics(ctx)
		return stored(text), err
	})
	var nodes corev1.NodeList
	f.Nodes.Err = list(ctx, g, "Nodes", &nodes)
	f.Nodes.Value = nodes.Items
}

// readKinds reads the definitions of Lethe's kinds; those that are missing are left out.
func readKinds(ctx context.Context, c client.Reader) (map[string]Kind, error) {
	found := map[string]Kind{}
	for name := range kinds {
		var definition unstructured.Unstructured
		definition.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		err := notThere(c.Get(ctx, client.ObjectKey{Name: name}, &definition))
		switch {
		case err == nil:
			found[name] = readKind(definition.Object)
		case !errors.Is(err, errAbsent):
			return nil, err
		}
	}
	return found, nil
}

func readKind(definition map[string]any) Kind {
	kind := Kind{Fields: map[string]bool{}}
	conditions, _, _ := unstructured.NestedSlice(definition, "status", "conditions")
	kind.Established = slices.ContainsFunc(conditions, func(c any) bool {
		condition, _ := c.(map[string]any)
		return condition["type"] == "Established" && condition["status"] == "True"
	})
	versions, _, _ := unstructured.NestedSlice(definition, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _ := version["name"].(string)
		if served, _ := version["served"].(bool); served {
			kind.Served = append(kind.Served, name)
		}
		if name != v1alpha1.GroupVersion.Version {
			continue
		}
		for _, part := range []string{"spec", "status"} {
			properties, _, _ := unstructured.NestedMap(version, "schema", "openAPIV3Schema", "properties", part, "properties")
			for field := range properties {
				kind.Fields[part+"."+field] = true
			}
		}
	}
	return kind
}

// tiers finds the operator's configuration of tenants, as far as it comes from a
// ConfigMap.
func (g *gatherer) tiers(ctx context.Context) {
	f := &g.facts
	var classes nodev1.RuntimeClassList
	f.RuntimeClasses.Err = list(ctx, g, "RuntimeClasses", &classes)
	f.RuntimeClasses.Value = classes.Items
	if f.Operator.Err != nil {
		f.Tiers.Err = errNotLooked
		return
	}
	file, configMap, key := tenantConfig(&f.Operator.Value)
	switch {
	case file == "":
		f.Tiers.Value = resources.Default()
	case configMap == "":
		f.Tiers.Err = fmt.Errorf("the operator's --tenant-config %s is not of a ConfigMap", file)
	default:
		f.Tiers = look(g, "read the ConfigMap "+Namespace+"/"+configMap, func() (resources.Config, error) {
			var from corev1.ConfigMap
			if err := g.cluster.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: configMap}, &from); err != nil {
				return resources.Config{}, err
			}
			return resources.ParseConfig([]byte(from.Data[key]))
		})
	}
}

// tenantConfig gives the file of the operator's configuration of tenants, "" for none, and
// the ConfigMap and its key that it comes from, "" if it comes from elsewhere.
func tenantConfig(operator *appsv1.Deployment) (file, configMap, key string) {
	spec := &operator.Spec.Template.Spec
	for i := range spec.Containers {
		container := &spec.Containers[i]
		for _, argument := range container.Args {
			if value, found := strings.CutPrefix(argument, "--tenant-config="); found {
				file = value
			}
		}
		if file == "" {
			continue
		}
		for _, mount := range container.VolumeMounts {
			switch {
			case mount.MountPath == file:
				key = path.Base(mount.SubPath)
			case strings.HasPrefix(file, strings.TrimSuffix(mount.MountPath, "/")+"/"):
				key = path.Base(file)
			default:
				continue
			}
			return file, configMapOf(spec.Volumes, mount.Name), key
		}
	}
	return file, "", ""
}

func configMapOf(volumes []corev1.Volume, name string) string {
	for _, volume := range volumes {
		if volume.Name == name && volume.ConfigMap != nil {
			return volume.ConfigMap.Name
		}
	}
	return ""
}
