package contract

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// The contract's variables about nodes. The last two are there only if there is more than one.
const (
	EnvAttempt    = "LETHE_ATTEMPT"
	EnvNodeCount  = "LETHE_NODE_COUNT"
	EnvNodeIndex  = "LETHE_NODE_INDEX"
	EnvMasterAddr = "MASTER_ADDR"
	EnvMasterPort = "MASTER_PORT"
)

// Nodes says where this process stands among those of its run.
type Nodes struct {
	// Index of this node, from 0, among Count.
	Index, Count int
	// Attempt of the run, from 1.
	Attempt int
	// Master is the address of node 0, host:port; empty if there is one node only.
	Master string
}

// First says whether this node writes what the run publishes.
func (n Nodes) First() bool { return n.Index == 0 }

// NodesFromEnvironment reads the variables about nodes; without them there is one node. Errors wrap
// ErrEnvironment.
func NodesFromEnvironment(env func(string) string) (Nodes, error) {
	var problems []error
	number := func(name string, otherwise int) int {
		text := env(name)
		if text == "" {
			return otherwise
		}
		value, err := strconv.Atoi(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s is %q, not a number", name, text))
		}
		return value
	}
	nodes := Nodes{
		Index: number(EnvNodeIndex, 0), Count: number(EnvNodeCount, 1), Attempt: number(EnvAttempt, 1),
	}
	if nodes.Count < 1 || nodes.Index < 0 || nodes.Index >= max(1, nodes.Count) {
		problems = append(problems, fmt.Errorf("node %d of %d makes no sense", nodes.Index, nodes.Count))
	}
	if nodes.Count > 1 {
		host, port := env(EnvMasterAddr), number(EnvMasterPort, 0)
		if host == "" || port < 1 || port > 65535 {
			problems = append(problems, fmt.Errorf("%s and %s do not name node 0", EnvMasterAddr, EnvMasterPort))
		}
		nodes.Master = net.JoinHostPort(host, strconv.Itoa(port))
	}
	if len(problems) > 0 {
		return Nodes{}, fmt.Errorf("%w: %w", ErrEnvironment, errors.Join(problems...))
	}
	return nodes, nil
}
