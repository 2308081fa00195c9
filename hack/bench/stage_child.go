package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// stageChildName is the argument by which a process of the benchmark is bare, and
// stageVariable holds its order.
const (
	stageChildName = "stage-method"
	stageVariable  = "LETHE_BENCH_STAGE"
)

// stageOrder is what a method is to do; for a child, as JSON in its environment.
type stageOrder struct {
	Direction      string
	Hash           bool // what comes in
	Endpoint       string
	CA             string // a file
	Credentials    objectstore.Credentials
	Bucket, Prefix string
	Key            []byte
	// Folder is the volume that the dataset comes to, or that of the artifacts.
	Folder string
	// Digest of the manifest to stage in.
	Digest string
	// Count and Size of the files.
	Count int
	Size  int64
}

// stageAnswer is what a child writes.
type stageAnswer struct {
	// Seconds of what is measured, without the process around it.
	Seconds float64
}

func runStageChild(ctx context.Context, args []string, env environment) error {
	var o stageOrder
	if err := json.Unmarshal([]byte(env.getenv(stageVariable)), &o); err != nil || len(args) > 0 {
		return errors.New("this is for the benchmark itself")
	}
	method := bareIn
	if o.Direction == outward {
		method = bareOut
	}
	a, err := method(ctx, o)
	if err != nil {
		return err
	}
	return json.NewEncoder(env.stdout).Encode(a)
}

// command is the program to run, and the variable with the order.
func (o stageOrder) command() (program, variable string, err error) {
	if program, err = os.Executable(); err != nil {
		return "", "", fmt.Errorf("find this program: %w", err)
	}
	data, err := json.Marshal(o)
	if err != nil {
		return "", "", fmt.Errorf("encode order: %w", err)
	}
	return program, stageVariable + "=" + string(data), nil
}
