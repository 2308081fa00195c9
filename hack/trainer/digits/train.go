package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/contract"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/team"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/training"
)

// train is "digits train".
func (p program) train(ctx context.Context, args []string) error {
	options, err := p.trainOptions(args)
	if err != nil {
		return err
	}
	places, err := contract.FromEnvironment(p.env)
	if err != nil {
		return err
	}
	set, err := dataset.Load(os.DirFS(places.DatasetDir), dataset.Train)
	if err != nil {
		return fmt.Errorf("load dataset: %w", err)
	}
	trainer, err := training.New(options, places, set, p.clock, p.out)
	if err != nil {
		return err
	}
	nodes, err := contract.NodesFromEnvironment(p.env)
	if err != nil {
		return err
	}
	if nodes.Count > 1 {
		others := team.New(team.Place{Index: nodes.Index, Count: nodes.Count, Address: nodes.Master})
		defer others.Close()
		trainer.Join(others)
	}
	_, err = trainer.Run(ctx)
	return err
}

// trainOptions takes defaults, then DIGITS_* variables, then flags; the later one wins.
func (p program) trainOptions(args []string) (training.Options, error) {
	options := training.Defaults()
	set := p.flags("train")
	set.IntVar(&options.Epochs, "epochs", options.Epochs, "how often all rows are seen")
	set.IntVar(&options.Model.Hidden, "hidden", options.Model.Hidden, "units of the hidden layer")
	set.IntVar(&options.Model.Batch, "batch", options.Model.Batch, "rows per step")
	set.Float64Var(&options.Model.LearningRate, "learning-rate", options.Model.LearningRate, "size of the first steps")
	set.Uint64Var(&options.Model.Seed, "seed", options.Model.Seed, "the same seed gives the same model")
	set.IntVar(&options.CheckpointEvery, "checkpoint-every", options.CheckpointEvery, "epochs between checkpoints")
	set.IntVar(&options.KeepCheckpoints, "keep-checkpoints", options.KeepCheckpoints, "newest checkpoints to keep")
	pace := set.Float64("seconds-per-epoch-min", 0,
		"stretch each epoch to at least this many seconds, so that it can be watched")
	if err := setFromEnvironment(set, p.env); err != nil {
		return training.Options{}, err
	}
	if err := parse(set, args, 0); err != nil {
		return training.Options{}, err
	}
	options.MinEpoch = time.Duration(*pace * float64(time.Second))
	if err := options.Check(); err != nil {
		return training.Options{}, fmt.Errorf("%w: %w", errUsage, err)
	}
	return options, nil
}

// setFromEnvironment gives each flag a default from its variable: "learning-rate" from DIGITS_LEARNING_RATE.
func setFromEnvironment(set *flag.FlagSet, env func(string) string) error {
	var problem error
	set.VisitAll(func(f *flag.Flag) {
		name := "DIGITS_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		f.Usage += " ($" + name + ")"
		value := env(name)
		if value == "" || problem != nil {
			return
		}
		if err := set.Set(f.Name, value); err != nil {
			problem = fmt.Errorf("%w: %s is %q: %w", errUsage, name, value, err)
		}
	})
	return problem
}
