package rights

import (
	"cmp"
	"slices"
	"strings"
)

// Right is one thing that somebody may do, or has done.
type Right struct {
	Verb string
	// Group of the API; "": the core.
	Group string
	// Resource, with its subresource after a slash.
	Resource string
	// Namespace where it holds, or was used. "" of a right: everywhere; of a use: the
	// resource has no namespace, or it was asked for in all of them.
	Namespace string
	// Name of the object. "" of a right: any.
	Name string
}

// String is short, and in the order in which people think of it.
func (r Right) String() string {
	text := r.Verb + " " + r.Resource
	if r.Group != "" {
		text += "." + r.Group
	}
	if r.Name != "" {
		text += " " + r.Name
	}
	if r.Namespace != "" {
		text += " in " + r.Namespace
	}
	return text
}

// Covers says whether the right allows what was asked for, or all that another right
// allows.
func (r Right) Covers(other Right) bool {
	return r.Verb == other.Verb && r.Group == other.Group && r.Resource == other.Resource &&
		(r.Namespace == "" || r.Namespace == other.Namespace) && (r.Name == "" || r.Name == other.Name)
}

func compare(a, b Right) int {
	return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Resource, b.Resource), strings.Compare(a.Namespace, b.Namespace),
		strings.Compare(a.Name, b.Name), strings.Compare(a.Verb, b.Verb))
}

// distinct is each of them once, in order.
func distinct(all []Right) []Right {
	all = slices.Clone(all)
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}
