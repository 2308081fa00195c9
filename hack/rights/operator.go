package rights

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// OfOperator compares the operator's rights in a folder of manifests with the audit logs of
// those names.
func OfOperator(folder string, logs []string) (Findings, Uses, error) {
	granted, err := OperatorRoles(folder)
	if err != nil {
		return Findings{}, Uses{}, err
	}
	user := "system:serviceaccount:" + Operator.Namespace + ":" + Operator.Name
	var all []Uses
	for _, name := range logs {
		uses, err := fromLog(name, user)
		if err != nil {
			return Findings{}, Uses{}, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, uses)
	}
	used := Merge(all...)
	if used.Requests == 0 {
		return Findings{}, Uses{}, errors.New("the operator asked for nothing: these are the logs of another cluster, or it does not log what the operator does")
	}
	return Compare(granted, used, OperatorExcuses, home...), used, nil
}

// OperatorRoles are the operator's rights by a folder of manifests.
func OperatorRoles(folder string) ([]Right, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("find manifests: %w", err)
	}
	var manifests []io.Reader
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("open a manifest: %w", err)
		}
		defer func() { _ = f.Close() }() // only read
		manifests = append(manifests, f)
	}
	return ReadRoles(Operator, manifests...)
}

func fromLog(name, user string) (Uses, error) {
	f, err := os.Open(name)
	if err != nil {
		return Uses{}, fmt.Errorf("open the audit log: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	return ReadAudit(f, user)
}
