package network

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// iptablesNames are the tables that the nft flavour of iptables makes at first
// use and never removes, even when they say nothing.
var iptablesNames = []string{"filter", "mangle", "nat", "raw", "security"}

// removeEmptyTables deletes those of iptables' tables that have no effect: no
// rule, no chain but the built-in ones, nothing dropped by default. Whoever
// needs one gets it made again without noticing.
func removeEmptyTables() (int, error) {
	removed := 0
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		n, err := removeEmptyOf(family)
		removed += n
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
			return removed, nil // A kernel without nftables has no such tables.
		}
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func removeEmptyOf(family nftables.TableFamily) (int, error) {
	conn, err := nftables.New()
	if err != nil {
		return 0, fmt.Errorf("reach packet filter: %w", err)
	}
	tables, err := conn.ListTablesOfFamily(family)
	if err != nil {
		return 0, fmt.Errorf("list packet filter tables: %w", err)
	}
	removed := 0
	for _, table := range tables {
		if !slices.Contains(iptablesNames, table.Name) {
			continue
		}
		empty, err := saysNothing(conn, table)
		if err != nil {
			return removed, err
		}
		if empty {
			conn.DelTable(table)
			removed++
		}
	}
	if err := conn.Flush(); err != nil {
		return 0, fmt.Errorf("remove empty packet filter tables: %w", err)
	}
	return removed, nil
}

func saysNothing(conn *nftables.Conn, table *nftables.Table) (bool, error) {
	chains, err := conn.ListChainsOfTableFamily(table.Family)
	if err != nil {
		return false, fmt.Errorf("list packet filter chains: %w", err)
	}
	for _, chain := range chains {
		if chain.Table.Name != table.Name {
			continue
		}
		builtIn := chain.Hooknum != nil
		accepts := chain.Policy == nil || *chain.Policy == nftables.ChainPolicyAccept
		if !builtIn || !accepts {
			return false, nil
		}
		rules, err := conn.GetRules(table, chain)
		if err != nil {
			return false, fmt.Errorf("list packet filter rules: %w", err)
		}
		if len(rules) > 0 {
			return false, nil
		}
	}
	return true, nil
}
