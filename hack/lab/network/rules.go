package network

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ownedPrefixes start the names of the chains that kube-proxy, kubelet and the
// CNI plugins make. Everything else in iptables belongs to someone else.
var ownedPrefixes = []string{"KUBE-", "CNI-"}

func ownedChain(chain string) bool {
	return slices.ContainsFunc(ownedPrefixes, func(prefix string) bool { return strings.HasPrefix(chain, prefix) })
}

// table is what one table of an iptables-save holds of ours.
type table struct {
	name string
	// chains are ours, rules lines of other chains that jump to ours.
	chains []string
	rules  []string
}

// ownedRules finds our chains, and the jumps to them, in an iptables-save.
func ownedRules(saved string) []table {
	var tables []table
	var current table
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			current = table{name: line[1:]}
		case line == "COMMIT":
			if len(current.chains)+len(current.rules) > 0 {
				tables = append(tables, current)
			}
		case strings.HasPrefix(line, ":"):
			if chain, _, _ := strings.Cut(line[1:], " "); ownedChain(chain) {
				current.chains = append(current.chains, chain)
			}
		case strings.HasPrefix(line, "-A "):
			if jumpsToOwned(line) {
				current.rules = append(current.rules, line)
			}
		}
	}
	return tables
}

// quoted matches a comment in a rule, which may say anything.
var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// jumpsToOwned tells whether a rule of a chain that is not ours leads to one of ours.
func jumpsToOwned(rule string) bool {
	fields := strings.Fields(quoted.ReplaceAllString(rule, `""`))
	if len(fields) < 2 || ownedChain(fields[1]) {
		return false
	}
	for i, field := range fields[:len(fields)-1] {
		if (field == "-j" || field == "-g") && ownedChain(fields[i+1]) {
			return true
		}
	}
	return false
}

// removal is the iptables-restore (--noflush) input that takes exactly these
// chains and jumps away: jumps first, then every chain emptied, then dropped.
func removal(tables []table) string {
	var out strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&out, "*%s\n", t.name)
		for _, rule := range t.rules {
			fmt.Fprintf(&out, "-D %s\n", strings.TrimPrefix(rule, "-A "))
		}
		for _, chain := range t.chains {
			fmt.Fprintf(&out, "-F %s\n", chain)
		}
		for _, chain := range t.chains {
			fmt.Fprintf(&out, "-X %s\n", chain)
		}
		out.WriteString("COMMIT\n")
	}
	return out.String()
}
