package doctor

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func checkPolicies(f Facts) verdict {
	for _, err := range []error{f.Policies.Err, f.Bindings.Err} {
		if err != nil {
			return unseen(err)
		}
	}
	var wrong []string
	for _, name := range Policies {
		if what := policyTrouble(name, f.Policies.Value, f.Bindings.Value); what != "" {
			wrong = append(wrong, name+" "+what)
		}
	}
	// The operator does by itself what these do, only later.
	if f.Defaults.Err == nil && f.DefaultBindings.Err == nil {
		for _, name := range Defaults {
			there := slices.ContainsFunc(f.Defaults.Value, func(p admissionv1.MutatingAdmissionPolicy) bool { return p.Name == name })
			bound := slices.ContainsFunc(f.DefaultBindings.Value, func(b admissionv1.MutatingAdmissionPolicyBinding) bool {
				return b.Spec.PolicyName == name
			})
			if !there || !bound {
				wrong = append(wrong, name+" is missing, or its binding is")
			}
		}
	}
	if len(wrong) > 0 {
		return fail(strings.Join(wrong, "; "), "install them: kubectl apply --server-side -k config/policies", "do not let tenants in before that")
	}
	return pass("all %d are in force", len(Policies)+len(Defaults))
}

// policyTrouble says what is wrong with a policy; "" if nothing is.
func policyTrouble(name string, policies []admissionv1.ValidatingAdmissionPolicy, bindings []admissionv1.ValidatingAdmissionPolicyBinding) string {
	i := slices.IndexFunc(policies, func(p admissionv1.ValidatingAdmissionPolicy) bool { return p.Name == name })
	if i < 0 {
		return "is missing"
	}
	policy := policies[i]
	if policy.Spec.FailurePolicy != nil && *policy.Spec.FailurePolicy != admissionv1.Fail {
		return "lets pass what it can not judge (failurePolicy)"
	}
	if c := policy.Status.TypeChecking; c != nil && len(c.ExpressionWarnings) > 0 {
		return "does not fit this cluster's kinds: " + c.ExpressionWarnings[0].FieldRef
	}
	denies := slices.ContainsFunc(bindings, func(b admissionv1.ValidatingAdmissionPolicyBinding) bool {
		return b.Spec.PolicyName == name && slices.Contains(b.Spec.ValidationActions, admissionv1.Deny)
	})
	if !denies {
		return "has no binding that denies"
	}
	return ""
}

func checkImages(f Facts) verdict {
	switch {
	case f.Images.absent():
		return fail("it is missing, so no Pod of a tenant is admitted", "install it: kubectl apply --server-side -k config/policies")
	case f.Images.Err != nil:
		return unseen(f.Images.Err)
	}
	registries := strings.Fields(f.Images.Value.Data["registries"])
	if len(registries) == 0 {
		return pass("images have to be pinned by digest; no registry is allowed without (--allowed-registries)")
	}
	return pass("images have to be pinned by digest, or come from %s", strings.Join(registries, ", "))
}

func checkTenants(f Facts) verdict {
	if f.Tenants.Err != nil {
		return unseen(f.Tenants.Err)
	}
	if len(f.Tenants.Value) == 0 {
		return pass("there are no tenants yet")
	}
	var wrong []string
	for _, namespace := range f.Tenants.Value {
		c := conditionOf(namespace)
		switch {
		case namespace.DeletionTimestamp != nil, ready(namespace):
			continue
		case c.Reason == v1alpha1.ReasonAllowanceMissing, c.Reason == v1alpha1.ReasonPaymentRequired:
			continue // It is meant to be so.
		}
		wrong = append(wrong, fmt.Sprintf("%s (%s: %s)", namespace.Name, c.Reason, c.Message))
	}
	if len(wrong) == 0 {
		return pass("of %d tenants none lacks anything", len(f.Tenants.Value))
	}
	more := ""
	if shown := 5; len(wrong) > shown {
		more = fmt.Sprintf("; and %d more", len(wrong)-shown)
		wrong = wrong[:shown]
	}
	return fail("not ready: "+strings.Join(wrong, "; ")+more,
		"see what the reason means: go doc github.com/lethe-dev/lethe/controllers/tenant",
		"StoreUnreachable: start the operator with --tenant-egress-store-cidr")
}

func checkPrivileged(f Facts) verdict {
	return probed(f, probePrivileged, []string{"violates PodSecurity"},
		"Pod Security is not enforced: see whether the API server runs its admission plugin PodSecurity, and the labels of the namespace")
}

func checkHostPath(f Facts) verdict {
	return probed(f, probeHostPath, []string{"violates PodSecurity", policyPods}, "nothing keeps a tenant from the disks of nodes; see the checks pod-security and policies")
}

func checkToken(f Facts) verdict {
	return probed(f, probeToken, []string{policyPods}, "the policy lethe-tenant-pods does not hold; see the check policies")
}

func checkImage(f Facts) verdict {
	return probed(f, probeImage, []string{"'" + Images + "'"}, "the policy lethe-images does not hold; see the checks policies and images")
}

// probed judges a try. By is what has to refuse it; one of them is enough.
func probed(f Facts, name string, by []string, otherwise string) verdict {
	if f.Probed == "" {
		return unknown("there is no tenant to try it with", "name a namespace with --tenant, or make a first tenant and run this again")
	}
	err := f.Probes[name]
	if err == nil {
		return fail("the Pod would be admitted in "+f.Probed, otherwise, "do not let tenants in before that")
	}
	refused := func(text string) bool { return strings.Contains(err.Error(), text) }
	switch {
	case slices.ContainsFunc(by, refused):
		return pass("it is refused in %s", f.Probed)
	case apierrors.IsForbidden(err) && refused(" cannot create "):
		return unknown("you have no right to create Pods in "+f.Probed, "run this again as a cluster administrator")
	}
	return unknown("it is refused in "+f.Probed+" by something else, so it is not known what Lethe's part is: "+err.Error(),
		"name another tenant with --tenant")
}
