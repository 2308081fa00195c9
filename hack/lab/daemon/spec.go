// Package daemon runs the lab's programs in the background and finds them
// again, whoever started them.
//
// A running program is recorded by process id and start time, which together
// name one process for the life of the kernel; so a recycled process id is
// never mistaken for ours. Every program carries a marker in its environment,
// inherited by its children, by which all are found even when the records are
// gone. Nothing is restarted by itself: a lab that mends itself hides faults.
package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Spec is what one component runs.
type Spec struct {
	Name string
	Exe  string
	Args []string
	// Env is added to a small fixed environment.
	Env []string
	// Inputs are files the program reads at start: configuration, certificates.
	Inputs []string
	// Stamp identifies the build of the program.
	Stamp string
	// Log is where its output goes.
	Log string
	// Clear lists files to remove before a start, such as stale sockets.
	Clear []string
}

// Fingerprint changes exactly when the component has to be restarted: with
// its program, arguments, environment or the content of its inputs.
func Fingerprint(s Spec, read func(path string) ([]byte, error)) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", []any{s.Name, s.Exe, s.Stamp, s.Args, s.Env})
	for _, path := range s.Inputs {
		content, err := read(path)
		if err != nil {
			return "", fmt.Errorf("read input of %s: %w", s.Name, err)
		}
		fmt.Fprintf(h, "%s %x\n", path, sha256.Sum256(content))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
