// Command demo shows the whole of Lethe on the lab: a dataset is uploaded, a
// network trains on it, the artifacts come back and are evaluated, and then the
// dataset is erased and the store is searched for what might be left.
//
// It is run by `make demo`, which starts the lab. Every step is a command that a
// user would type, and is printed as such. The first step that fails ends the
// demo with the cause and where to look.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		var failed *stepError
		if errors.As(err, &failed) {
			failed.explain(os.Stderr)
		} else {
			fmt.Fprintln(os.Stderr, "demo:", err)
		}
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	d, err := newDemo(os.Getenv, os.Stdout)
	if err != nil {
		return err
	}
	defer d.close()
	for _, s := range []step{
		{"A namespace to work in", d.namespace},
		{"A dataset: handwritten digits, one folder", d.export},
		{"Upload it. No byte enters the store before there is a record of when it leaves", d.upload},
		{"Start a training run, as any manifest is applied", d.apply},
		{"Watch it train on a GPU of the cluster", d.follow},
		{"Fetch the artifacts, verified against their manifest, and evaluate the model", d.artifacts},
		{"What the store holds of the dataset now", d.before},
		{"The retention window passes; the dataset erases itself", d.waitErased},
		{"Search the store: current objects, old versions, delete markers, unfinished uploads", d.after},
		{"The key that the data was stored under", d.key},
		{"The signed receipt of what was erased, verified offline", d.receipt},
	} {
		if err := d.do(ctx, s); err != nil {
			return err
		}
	}
	d.next()
	return nil
}
