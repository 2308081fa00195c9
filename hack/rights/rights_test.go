package rights_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/lethe-dev/lethe/hack/rights"
)

const user = "system:serviceaccount:lethe-system:lethe-manager"

func TestReadAudit(t *testing.T) {
	t.Parallel()
	line := func(fields string) string {
		return `{"kind":"Event","user":{"username":"` + user + `"},"annotations":{"authorization.k8s.io/decision":"allow"},` + fields + "}\n"
	}
	const pod = `"objectRef":{"resource":"pods","namespace":"a","name":"p","apiVersion":"v1"}`
	got := rights.Right{Verb: "get", Resource: "pods", Namespace: "a", Name: "p"}
	apply := `"verb":"patch","objectRef":{"resource":"resourcequotas","namespace":"a","name":"lethe"}`
	applied := rights.Right{Verb: "patch", Resource: "resourcequotas", Namespace: "a", Name: "lethe"}
	cases := map[string]struct {
		log  string
		want rights.Uses
		err  bool
	}{
		"nothing":             {"", rights.Uses{}, false},
		"a read":              {line(`"verb":"get",` + pod), rights.Uses{Allowed: []rights.Right{got}, Requests: 1}, false},
		"the same read twice": {strings.Repeat(line(`"verb":"get",`+pod), 2), rights.Uses{Allowed: []rights.Right{got}, Requests: 2}, false},
		"a read that was refused": {
			strings.Replace(line(`"verb":"get",`+pod), `:"allow"`, `:"forbid"`, 1), rights.Uses{Denied: []rights.Right{got}, Requests: 1}, false,
		},
		"a read that found nothing": {line(`"verb":"get","responseStatus":{"code":404},` + pod), rights.Uses{Allowed: []rights.Right{got}, Requests: 1}, false},
		"a subresource": {
			line(`"verb":"patch","objectRef":{"apiGroup":"lethe.dev","resource":"trainingruns","subresource":"status","namespace":"a","name":"r"}`),
			rights.Uses{Allowed: []rights.Right{{Verb: "patch", Group: "lethe.dev", Resource: "trainingruns/status", Namespace: "a", Name: "r"}}, Requests: 1},
			false,
		},
		"an apply that changed something": {line(apply + `,"responseStatus":{"code":200}`), rights.Uses{Allowed: []rights.Right{applied}, Requests: 1}, false},
		"an apply that made something": {
			line(apply + `,"responseStatus":{"code":201}`),
			rights.Uses{Allowed: []rights.Right{{Verb: "create", Resource: "resourcequotas", Namespace: "a", Name: "lethe"}, applied}, Requests: 1},
			false,
		},
		"a Namespace is in none": {
			line(`"verb":"get","objectRef":{"resource":"namespaces","namespace":"a","name":"a"}`),
			rights.Uses{Allowed: []rights.Right{{Verb: "get", Resource: "namespaces", Name: "a"}}, Requests: 1},
			false,
		},
		"somebody else":         {strings.Replace(line(`"verb":"get",`+pod), user, "admin", 1), rights.Uses{}, false},
		"a path":                {line(`"verb":"get","requestURI":"/api"`), rights.Uses{}, false},
		"an administrator's as": {line(`"verb":"get","impersonatedUser":{"username":"eve"},` + pod), rights.Uses{}, false},
		"a last line that is half written": {
			line(`"verb":"get",`+pod) + `{"kind":"Ev`, rights.Uses{Allowed: []rights.Right{got}, Requests: 1}, false,
		},
		"a line that is none": {"Event\n", rights.Uses{}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rights.ReadAudit(strings.NewReader(c.log), user)
			if (err != nil) != c.err {
				t.Fatalf("error %v, want one: %t", err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

const bound = `
kind: ClusterRoleBinding
metadata: {name: manager}
roleRef: {kind: ClusterRole, name: manager}
subjects: [{kind: ServiceAccount, name: lethe-manager, namespace: lethe-system}]
---
kind: RoleBinding
metadata: {name: manager, namespace: lethe-system}
roleRef: {kind: Role, name: manager}
subjects: [{kind: ServiceAccount, name: lethe-manager, namespace: lethe-system}]
---
kind: RoleBinding
metadata: {name: everybody, namespace: kube-public}
roleRef: {kind: Role, name: nobody-has-it}
subjects: [{kind: Group, name: "system:authenticated"}]
---
kind: ConfigMap
metadata: {name: something-else, namespace: kube-public}
`

func roles(cluster, namespaced string) string {
	return "kind: ClusterRole\nmetadata: {name: manager}\nrules: [" + cluster + "]\n---\n" +
		"kind: Role\nmetadata: {name: manager, namespace: elsewhere}\nrules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]\n---\n" +
		"kind: Role\nmetadata: {name: manager, namespace: lethe-system}\nrules: [" + namespaced + "]\n"
}

func TestReadRoles(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		roles string
		want  []rights.Right
		err   error
	}{
		"each verb of each resource": {
			roles("{apiGroups: [''], resources: [pods, pods/log], verbs: [get, list]}", "{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [update]}"),
			[]rights.Right{
				{Verb: "get", Resource: "pods"},
				{Verb: "list", Resource: "pods"},
				{Verb: "get", Resource: "pods/log"},
				{Verb: "list", Resource: "pods/log"},
				{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "lethe-system"},
			},
			nil,
		},
		"names": {
			roles("{apiGroups: [''], resources: [namespaces], resourceNames: [one, two], verbs: [get]}", ""),
			[]rights.Right{{Verb: "get", Resource: "namespaces", Name: "one"}, {Verb: "get", Resource: "namespaces", Name: "two"}},
			nil,
		},
		"paths that are no resources": {roles("{nonResourceURLs: [/metrics], verbs: [get]}", ""), nil, nil},
		"a wildcard":                  {roles("{apiGroups: [''], resources: [pods], verbs: ['*']}", ""), nil, rights.ErrWildcard},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rights.ReadRoles(rights.Operator, strings.NewReader(c.roles), strings.NewReader(bound))
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := rights.ReadRoles(rights.Operator, strings.NewReader(bound)); err == nil {
		t.Error("a binding of a role that is not there is taken")
	}
	if got, err := rights.ReadRoles(rbacv1.Subject{Name: "lethe-portal", Namespace: "lethe-system"}, strings.NewReader(bound)); err != nil || got != nil {
		t.Errorf("somebody to whom nothing is bound has %v, %v", got, err)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	anywhere := rights.Right{Verb: "get", Resource: "pods"}
	here := rights.Right{Verb: "get", Resource: "pods", Namespace: "a"}
	one, another := here, here
	one.Name = "p"
	another.Namespace = "b"
	nodes := rights.Right{Verb: "get", Resource: "nodes"}
	cases := map[string]struct {
		granted, used []rights.Right
		excused       []rights.Right
		want          rights.Findings
	}{
		"all is used":                    {[]rights.Right{anywhere, nodes}, []rights.Right{here, another, nodes}, nil, rights.Findings{}},
		"used in all namespaces at once": {[]rights.Right{anywhere}, []rights.Right{anywhere}, nil, rights.Findings{}},
		"something is not used":          {[]rights.Right{anywhere, nodes}, []rights.Right{here, another}, nil, rights.Findings{Unused: []rights.Right{nodes}}},
		"another verb is used": {
			[]rights.Right{here},
			[]rights.Right{{Verb: "list", Resource: "pods", Namespace: "a"}},
			nil,
			rights.Findings{Ungranted: []rights.Right{{Verb: "list", Resource: "pods", Namespace: "a"}}, Unused: []rights.Right{here}},
		},
		"it is used elsewhere":       {[]rights.Right{here}, []rights.Right{another, one}, nil, rights.Findings{Ungranted: []rights.Right{another}}},
		"a name stands for itself":   {[]rights.Right{one}, []rights.Right{one, here}, nil, rights.Findings{Ungranted: []rights.Right{here}}},
		"a subresource is another":   {[]rights.Right{{Verb: "get", Resource: "pods/log"}}, nil, nil, rights.Findings{Unused: []rights.Right{{Verb: "get", Resource: "pods/log"}}}},
		"there is an excuse":         {[]rights.Right{nodes}, nil, []rights.Right{nodes}, rights.Findings{}},
		"an excuse is used":          {[]rights.Right{nodes}, []rights.Right{nodes}, []rights.Right{nodes}, rights.Findings{}},
		"an excuse is for nothing":   {nil, nil, []rights.Right{nodes}, rights.Findings{Pointless: []rights.Right{nodes}}},
		"it is granted twice":        {[]rights.Right{anywhere, here}, []rights.Right{here, another}, nil, rights.Findings{Covered: []rights.Right{here}}},
		"it is used at home only":    {[]rights.Right{anywhere}, []rights.Right{here, one}, nil, rights.Findings{Wide: []rights.Right{anywhere}}},
		"it is used at one tenant's": {[]rights.Right{anywhere}, []rights.Right{another}, nil, rights.Findings{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var excuses []rights.Excuse
			for _, r := range c.excused {
				excuses = append(excuses, rights.Excuse{Right: r, Why: "a test"})
			}
			got := rights.Compare(c.granted, rights.Uses{Allowed: c.used}, excuses, "a")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.None() != (got.String() == "") {
				t.Errorf("it says %q", got)
			}
		})
	}
	denied := rights.Compare(nil, rights.Uses{Denied: []rights.Right{nodes}}, nil)
	if text := denied.String(); denied.None() || !strings.HasPrefix(text, "get nodes: asked for and refused") {
		t.Errorf("a refusal is told as %q", text)
	}
	early := rights.Uses{Allowed: []rights.Right{nodes}, Denied: []rights.Right{nodes}}
	if got := rights.Compare([]rights.Right{nodes}, early, nil); !got.None() {
		t.Errorf("what is granted, but was refused before the API server knew: %s", got)
	}
}

// TestOperatorsRights: nothing is granted twice, excuses are for what is granted, and each
// says why.
func TestOperatorsRights(t *testing.T) {
	t.Parallel()
	_, _, err := rights.OfOperator("../../config/rbac", nil)
	if err == nil {
		t.Error("no log at all is taken for one in which the operator asks for nothing")
	}
	granted, err := rights.OperatorRoles("../../config/rbac")
	if err != nil {
		t.Fatal(err)
	}
	f := rights.Compare(granted, rights.Uses{}, rights.OperatorExcuses)
	f.Unused = nil
	if !f.None() || len(granted) == 0 {
		t.Errorf("of %d rights\n%s", len(granted), f)
	}
	for _, e := range rights.OperatorExcuses {
		if e.Why == "" {
			t.Errorf("%s is excused, and nobody knows why", e.Right)
		}
	}
}
