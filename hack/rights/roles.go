package rights

import (
	"errors"
	"fmt"
	"io"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// ErrWildcard says that a role allows what nobody can count.
var ErrWildcard = errors.New("a role has a wildcard")

// object is as much of a role or a binding as is looked at.
type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Rules             []rbacv1.PolicyRule `json:"rules"`
	RoleRef           rbacv1.RoleRef      `json:"roleRef"`
	Subjects          []rbacv1.Subject    `json:"subjects"`
}

// ReadRoles reads the rights of a service account from manifests: what the roles allow that
// are bound to it in the same manifests. What a rule says of paths that are no resources is
// passed over. The rights are as they are written: one that another covers is there, too.
func ReadRoles(account rbacv1.Subject, manifests ...io.Reader) ([]Right, error) {
	var all []object
	for _, manifest := range manifests {
		found, err := decode(manifest)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	var rights []Right
	for _, binding := range all {
		if !slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.ServiceAccountKind && s.Name == account.Name && s.Namespace == account.Namespace
		}) {
			continue
		}
		role, err := roleOf(binding, all)
		if err != nil {
			return nil, err
		}
		for _, rule := range role.Rules {
			given, err := rightsOf(rule, binding.Namespace)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", role.Kind, role.Name, err)
			}
			rights = append(rights, given...)
		}
	}
	slices.SortFunc(rights, compare)
	return rights, nil
}

func decode(manifest io.Reader) ([]object, error) {
	var all []object
	documents := yaml.NewYAMLOrJSONDecoder(manifest, 4096)
	for {
		var o object
		err := documents.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read a manifest: %w", err)
		}
		all = append(all, o)
	}
}

// roleOf finds the role that a binding gives.
func roleOf(binding object, all []object) (object, error) {
	i := slices.IndexFunc(all, func(o object) bool {
		return o.Kind == binding.RoleRef.Kind && o.Name == binding.RoleRef.Name &&
			(o.Kind == "ClusterRole" || o.Namespace == binding.Namespace)
	})
	if i < 0 {
		return object{}, fmt.Errorf("%s %s binds the %s %s, which is not there", binding.Kind, binding.Name, binding.RoleRef.Kind, binding.RoleRef.Name)
	}
	return all[i], nil
}

func rightsOf(rule rbacv1.PolicyRule, namespace string) ([]Right, error) {
	if slices.Contains(slices.Concat(rule.Verbs, rule.APIGroups, rule.Resources), "*") {
		return nil, ErrWildcard
	}
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	var all []Right
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, name := range names {
				for _, verb := range rule.Verbs {
					all = append(all, Right{Verb: verb, Group: group, Resource: resource, Namespace: namespace, Name: name})
				}
			}
		}
	}
	return all, nil
}
