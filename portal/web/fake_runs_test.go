package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// fakeRuns has a run in every state. A method whose name is in errs fails with that error.
type fakeRuns struct {
	mutex   sync.Mutex
	errs    map[string]error
	form    portal.RunForm
	list    []portal.Run
	next    portal.PageCursor
	filter  portal.RunFilter
	started []portal.RunSpec
	done    []string
	noPrice bool
}

func idOf[T ~string](letter string) T { return T(strings.Repeat(letter, 26)) }

func newFakeRuns() *fakeRuns {
	f := &fakeRuns{errs: map[string]error{}}
	const image = "registry.lethe.example/pytorch:2.11"
	spec := portal.RunSpec{
		Image: image, Command: []string{"python", "train.py"}, Args: []string{"--name", "my model"}, Env: map[string]string{"LR": "0.001"},
		Nodes: 1, GPUs: 2, Product: "NVIDIA-H200", MaxDuration: 4 * time.Hour, StartWithin: 24 * time.Hour, CheckpointEvery: 10 * time.Minute, KeepLast: 2,
	}
	datasets := []portal.Dataset{{ID: idOf[portal.DatasetID]("d"), Name: "Speech, second try", Seen: portal.DatasetSeen{State: "Ready", Bytes: 5 << 30, ExpiresAt: start.Add(26*24*time.Hour + time.Hour)}}, {ID: idOf[portal.DatasetID]("e"), Name: "Street signs"}}
	f.form = portal.RunForm{
		Draft: idOf[portal.RunID]("f"), Datasets: datasets, OffersKnown: true, Images: []string{image, "registry.lethe.example/jax:0.9"}, Currency: "EUR",
		Offers: []portal.RunOffer{
			{GPUOffer: portal.GPUOffer{Product: "NVIDIA-H200", Total: 16, PerNode: 8}, MicrosPerHour: 3_990_000, Priced: true},
			{GPUOffer: portal.GPUOffer{Product: "NVIDIA-L4", Total: 4, PerNode: 1}, MicrosPerHour: 790_000, Priced: true},
			{GPUOffer: portal.GPUOffer{Product: "NVIDIA-B300", Total: 8, PerNode: 8}},
		},
		Dataset: datasets[0].ID, Spec: spec,
	}
	for i, seen := range fakeRunStates() {
		run := portal.Run{
			ID: portal.RunID(strings.Repeat("r", 25) + string(rune('a'+i))), Name: fmt.Sprintf("Baseline %d", i+1), Dataset: datasets[i%2].ID,
			UID: "uid", Spec: spec, Wish: portal.WishRun, CreatedAt: start.Add(-time.Duration(i) * 5 * time.Hour), Seen: seen,
		}
		if seen.State == "" {
			run.UID = ""
		}
		if seen.Checkpoint != "" {
			f.form.Sources = append(f.form.Sources, run)
		}
		f.list = append(f.list, run)
	}
	return f
}

func fakeRunStates() []portal.RunSeen {
	percent := 62.4
	ended := start.Add(-3 * time.Hour)
	return []portal.RunSeen{
		{},
		{State: "Running", GPUSeconds: 9_412, Progress: portal.RunProgress{Percent: &percent}, Checkpoint: "0001-000400"},
		{State: "Pending"},
		{State: "Queued"},
		{State: "Starting"},
		{State: "Publishing", GPUSeconds: 12},
		{State: "Suspended", Suspended: true, GPUSeconds: 3_600},
		{State: "Succeeded", EndedAt: ended, GPUSeconds: 1_284_000},
		{State: "Failed", EndedAt: ended, GPUSeconds: 61},
		{State: "Cancelled", EndedAt: ended},
	}
}

func (f *fakeRuns) err(method string) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.errs[method]
}

func (f *fakeRuns) Form(_ context.Context, _ portal.Principal, again portal.RunID) (portal.RunForm, error) {
	form := f.form
	if again != "" {
		if again != f.list[0].ID {
			return form, portal.ErrNotFound
		}
		form.Name = f.list[0].Name
	}
	return form, f.err("Form")
}

func (f *fakeRuns) Estimate(_ context.Context, spec portal.RunSpec) portal.RunEstimate {
	hours := int64(spec.MaxDuration / time.Hour)
	return portal.RunEstimate{
		Currency: "EUR", GPUs: spec.GPUs, Priced: spec.Product != "NVIDIA-B300", AnyKind: spec.Product == "",
		PerHour: 3_990_000 * int64(spec.GPUs), Capped: hours > 0, Maximum: 3_990_000 * int64(spec.GPUs) * hours, GPUSeconds: hours * 3600 * int64(spec.GPUs),
	}
}

func (f *fakeRuns) YAML(_ context.Context, _ portal.Principal, id portal.RunID, dataset portal.DatasetID, spec portal.RunSpec) ([]byte, error) {
	return fmt.Appendf(nil, "apiVersion: lethe.dev/v1alpha1\nkind: TrainingRun\nmetadata:\n  name: %s\nspec:\n  datasetRef:\n    name: %s\n  trainer:\n    image: %s\n", id.Object(), dataset.Object(), spec.Image), f.err("YAML")
}

func (f *fakeRuns) Check(context.Context, portal.Principal, portal.RunID, string, portal.DatasetID, portal.RunSpec) error {
	return f.err("Check")
}

func (f *fakeRuns) Start(_ context.Context, _ portal.Principal, id portal.RunID, name string, _ portal.DatasetID, spec portal.RunSpec) (portal.Run, error) {
	if err := f.err("Start"); err != nil {
		return portal.Run{}, err
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.started = append(f.started, spec)
	return portal.Run{ID: id, Name: name, Spec: spec}, nil
}

func (f *fakeRuns) act(what string, id portal.RunID) error {
	if err := f.err(what); err != nil {
		return err
	}
	if _, err := f.find(id); err != nil {
		return err
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.done = append(f.done, what+" "+string(id))
	return nil
}

func (f *fakeRuns) find(id portal.RunID) (portal.Run, error) {
	for _, run := range f.list {
		if run.ID == id {
			return run, nil
		}
	}
	return portal.Run{}, portal.ErrNotFound
}

func (f *fakeRuns) Cancel(_ context.Context, _ portal.Principal, id portal.RunID) error {
	return f.act("Cancel", id)
}

func (f *fakeRuns) Suspend(_ context.Context, _ portal.Principal, id portal.RunID) error {
	return f.act("Suspend", id)
}

func (f *fakeRuns) Resume(_ context.Context, _ portal.Principal, id portal.RunID) error {
	return f.act("Resume", id)
}

func (f *fakeRuns) Delete(_ context.Context, _ portal.Principal, id portal.RunID) error {
	return f.act("Delete", id)
}

func (f *fakeRuns) List(_ context.Context, _ portal.Principal, filter portal.RunFilter, _ portal.PageCursor) ([]portal.Run, portal.PageCursor, error) {
	f.mutex.Lock()
	f.filter = filter
	f.mutex.Unlock()
	return f.list, f.next, f.err("List")
}

func (f *fakeRuns) Get(_ context.Context, _ portal.Principal, id portal.RunID) (portal.Run, error) {
	return f.find(id)
}

func (f *fakeRuns) Datasets(context.Context, portal.Principal) ([]portal.Dataset, error) {
	return f.form.Datasets, f.err("Datasets")
}

func (f *fakeRuns) Cost(_ context.Context, run portal.Run) (portal.Money, bool) {
	return portal.Money{Micros: portal.Cost(run.Seen.GPUSeconds, 3_990_000), Currency: "EUR"}, !f.noPrice
}

// several are the errors of a form with many mistakes.
func severalProblems() error {
	return fmt.Errorf("check: %w", errors.Join(
		portal.Invalid("name", "Give the run a name, so that you know it again."),
		portal.Invalid("dataset", "Choose a dataset."),
		portal.Invalid("image", "This image is neither pinned by its digest nor from a registry that is allowed here."),
		portal.Invalid("gpus", "No node has that many GPUs of this kind: at most 8."),
	))
}
