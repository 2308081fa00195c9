package doctor

import (
	"bytes"
	"context"
	"regexp"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func (g *gatherer) admission(ctx context.Context) {
	f := &g.facts
	f.Hooks.Err = get(ctx, g, "get the ValidatingWebhookConfiguration "+Webhook, Webhook, &f.Hooks.Value)
	var policies admissionv1.ValidatingAdmissionPolicyList
	f.Policies.Err = list(ctx, g, "ValidatingAdmissionPolicies", &policies)
	f.Policies.Value = policies.Items
	var bindings admissionv1.ValidatingAdmissionPolicyBindingList
	f.Bindings.Err = list(ctx, g, "ValidatingAdmissionPolicyBindings", &bindings)
	f.Bindings.Value = bindings.Items
	var defaults admissionv1.MutatingAdmissionPolicyList
	f.Defaults.Err = list(ctx, g, "MutatingAdmissionPolicies", &defaults)
	f.Defaults.Value = defaults.Items
	var defaultBindings admissionv1.MutatingAdmissionPolicyBindingList
	f.DefaultBindings.Err = list(ctx, g, "MutatingAdmissionPolicyBindings", &defaultBindings)
	f.DefaultBindings.Value = defaultBindings.Items
	key := client.ObjectKey{Namespace: Namespace, Name: Images}
	f.Images.Err = g.judge("get the ConfigMap "+Namespace+"/"+Images, g.cluster.Get(ctx, key, &f.Images.Value))
}

func (g *gatherer) tenants(ctx context.Context) {
	var namespaces corev1.NamespaceList
	g.facts.Tenants.Err = list(ctx, g, "Namespaces", &namespaces, client.HasLabels{v1alpha1.LabelTenant})
	g.facts.Tenants.Value = namespaces.Items
}

// operations is how the API server counts what it takes from its database and puts there: by
// resource, and by the prefix that says how it is encrypted. What is not encrypted is only
// counted where encryption is configured.
var operations = regexp.MustCompile(`^apiserver_storage_transformation_operations_total\{([^}]*)\} ([0-9.e+]+)`)

// stored reads from the API server's metrics how often Secrets went through it, by the
// prefix of what is in the database; "" for what is not encrypted.
func stored(metrics []byte) map[string]float64 {
	counts := map[string]float64{}
	for line := range bytes.Lines(metrics) {
		found := operations.FindSubmatch(line)
		if found == nil {
			continue
		}
		labels := labelsOf(string(found[1]))
		if labels["resource"] != "secrets" || labels["status"] != "OK" {
			continue
		}
		if count, err := strconv.ParseFloat(string(found[2]), 64); err == nil {
			counts[strings.TrimPrefix(labels["transformer_prefix"], "identity")] += count
		}
	}
	return counts
}

// labelsOf reads the labels of a metric. None of those that are read has a quote or a comma
// in its value.
func labelsOf(text string) map[string]string {
	labels := map[string]string{}
	for label := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(label, "=")
		labels[name] = strings.Trim(value, `"`)
	}
	return labels
}
