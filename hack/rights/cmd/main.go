// Command cmd compares the operator's rights in config/rbac with what it has asked for by
// the audit logs that are named. It runs in the root of the repository, prints what is not
// as it should be, and fails then.
package main

import (
	"fmt"
	"os"

	"github.com/lethe-dev/lethe/hack/rights"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "rights:", err)
		os.Exit(1)
	}
}

func run(logs []string) error {
	if len(logs) == 0 {
		return fmt.Errorf("name the audit logs: go run ./hack/rights/cmd /var/lib/lethe-lab/logs/audit*.log")
	}
	findings, used, err := rights.OfOperator("config/rbac", logs)
	if err != nil {
		return err
	}
	for _, use := range used.Allowed {
		if use.Namespace == "" || use.Namespace == rights.Operator.Namespace {
			fmt.Println("used:", use)
		}
	}
	if !findings.None() {
		return fmt.Errorf("of %d requests\n%s", used.Requests, findings)
	}
	return nil
}
