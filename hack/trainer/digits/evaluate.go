package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/dataset"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/network"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/scoring"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/training"
)

// evaluate is "digits evaluate".
func (p program) evaluate(args []string) error {
	set := p.flags("evaluate")
	modelFile := set.String("model", training.ModelFile, "model file")
	dataDir := set.String("data", "", "dataset folder; without it the shipped dataset is used")
	bar := set.Float64("min", 0, "exit 1 when the accuracy (0 to 1) is below this")
	show := set.Int("show", 0, "draw this many images that were read wrong")
	if err := parse(set, args, 0); err != nil {
		return err
	}
	model, err := readModel(*modelFile)
	if err != nil {
		return err
	}
	heldout, err := loadHeldout(*dataDir)
	if err != nil {
		return err
	}
	score, err := scoring.Judge(model, heldout, training.Examples(heldout))
	if err != nil {
		return err
	}
	for _, miss := range score.Misses[:max(0, min(*show, len(score.Misses)))] {
		_, _ = fmt.Fprintf(p.out, "a %d, read as %d:\n%s\n",
			miss.Label, miss.Read, scoring.Draw(heldout.Images[miss.Index], heldout.Cols))
	}
	if err := score.Print(p.out); err != nil {
		return err
	}
	if score.Accuracy() < *bar {
		return fmt.Errorf("%w: %.4f, asked for %.4f", errBelow, score.Accuracy(), *bar)
	}
	return nil
}

func readModel(name string) (model network.Model, err error) {
	file, err := os.Open(name) // #nosec G304 -- the path is given by the person who runs this.
	if err != nil {
		return network.Model{}, fmt.Errorf("open model: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return network.ReadModel(file)
}

func loadHeldout(dir string) (dataset.Set, error) {
	folder := os.DirFS(dir)
	if dir == "" {
		shipped, err := shippedFolder()
		if err != nil {
			return dataset.Set{}, err
		}
		folder = shipped
	}
	set, err := dataset.Load(folder, dataset.Heldout)
	if err != nil {
		return dataset.Set{}, fmt.Errorf("load held-out rows: %w", err)
	}
	return set, nil
}
