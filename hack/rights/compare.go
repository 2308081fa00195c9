package rights

import (
	"fmt"
	"slices"
	"strings"
)

// Excuse says why a right is given although it may not have been used.
type Excuse struct {
	Right Right
	Why   string
}

// Findings are what is not as it should be. The zero value: nothing.
type Findings struct {
	// Denied was asked for, refused, and is granted by nothing. What is granted can be
	// refused for a moment, too: before the API server has heard of it, and after an
	// uninstallation.
	Denied []Right
	// Ungranted was used, and no role gives it: something else does, which another
	// cluster does not have.
	Ungranted []Right
	// Unused is granted, was not used, and has no excuse.
	Unused []Right
	// Covered is granted, and by another right again.
	Covered []Right
	// Wide is granted in every namespace, and was used at home only.
	Wide []Right
	// Pointless are excuses for what nobody has a right to.
	Pointless []Right
}

// Compare holds what was used against what is granted. Home are the namespaces that are
// not tenants'.
func Compare(granted []Right, used Uses, excuses []Excuse, home ...string) Findings {
	f := Findings{Denied: beyond(granted, used.Denied), Ungranted: beyond(granted, used.Allowed)}
	for i, right := range granted {
		if slices.ContainsFunc(others(granted, i), func(r Right) bool { return r.Covers(right) }) {
			f.Covered = append(f.Covered, right)
			continue
		}
		excused := slices.ContainsFunc(excuses, func(e Excuse) bool { return e.Right == right })
		switch where := places(right, used.Allowed); {
		case excused:
		case len(where) == 0:
			f.Unused = append(f.Unused, right)
		case right.Namespace == "" && len(where) == 1 && slices.Contains(home, where[0]):
			f.Wide = append(f.Wide, right)
		}
	}
	for _, excuse := range excuses {
		if !slices.Contains(granted, excuse.Right) {
			f.Pointless = append(f.Pointless, excuse.Right)
		}
	}
	return f
}

// beyond is what none of the rights covers.
func beyond(given, asked []Right) []Right {
	var all []Right
	for _, one := range asked {
		if !slices.ContainsFunc(given, func(r Right) bool { return r.Covers(one) }) {
			all = append(all, one)
		}
	}
	return all
}

// others are all but one.
func others(all []Right, but int) []Right {
	return slices.Concat(all[:but], all[but+1:])
}

// places are the namespaces where a right was used.
func places(right Right, used []Right) []string {
	var where []string
	for _, use := range used {
		if right.Covers(use) && !slices.Contains(where, use.Namespace) {
			where = append(where, use.Namespace)
		}
	}
	return where
}

// None says that all is as it should be.
func (f Findings) None() bool {
	return len(f.Denied)+len(f.Ungranted)+len(f.Unused)+len(f.Covered)+len(f.Wide)+len(f.Pointless) == 0
}

// String says what is wrong, and what to do, a line for each.
func (f Findings) String() string {
	var text strings.Builder
	for _, kind := range []struct {
		what   string
		rights []Right
	}{
		{"asked for and refused; grant it where the code asks (+kubebuilder:rbac)", f.Denied},
		{"used, and granted by nothing of ours; grant it where the code asks (+kubebuilder:rbac)", f.Ungranted},
		{"granted and never used; take it out of the marker, or say in hack/rights/excuses.go why not", f.Unused},
		{"granted twice; take the narrower marker out", f.Covered},
		{"granted in every namespace and used in one of the operator's; give the marker its namespace", f.Wide},
		{"excused and not granted; take it out of hack/rights/excuses.go", f.Pointless},
	} {
		for _, right := range kind.rights {
			fmt.Fprintf(&text, "%s: %s\n", right, kind.what)
		}
	}
	return text.String()
}
