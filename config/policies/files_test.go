package policies_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryFileIsInForce(t *testing.T) {
	t.Parallel()
	there, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	there = slices.DeleteFunc(there, func(name string) bool { return name == "kustomization.yaml" })
	named, err := files()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(named)
	slices.Sort(there)
	if diff := cmp.Diff(there, named); diff != "" {
		t.Errorf("kustomization.yaml (-files +named):\n%s", diff)
	}
}

// TestEveryPolicyIsBound also says that each refuses, and does so when it can not be
// evaluated.
func TestEveryPolicyIsBound(t *testing.T) {
	t.Parallel()
	named, err := files()
	if err != nil {
		t.Fatal(err)
	}
	var policies, bound []string
	for _, file := range named {
		objects, err := documents(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			spec, _ := o.Object["spec"].(map[string]any)
			switch o.GetKind() {
			case "ValidatingAdmissionPolicy":
				policies = append(policies, o.GetName())
				if spec["failurePolicy"] != "Fail" {
					t.Errorf("%s fails open", o.GetName())
				}
			case "ValidatingAdmissionPolicyBinding":
				bound = append(bound, spec["policyName"].(string))
				if diff := cmp.Diff([]any{"Deny"}, spec["validationActions"]); diff != "" {
					t.Errorf("%s does not deny: %s", o.GetName(), diff)
				}
			}
		}
	}
	if diff := cmp.Diff(policies, bound); diff != "" || len(policies) == 0 {
		t.Errorf("policies (-there +bound):\n%s", diff)
	}
}
