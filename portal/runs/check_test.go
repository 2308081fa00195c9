package runs_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

func TestWhatCanNotBeStartedIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	open := portaltest.AddDataset(t, w.store, w.tenant)
	erasing := portaltest.AddDataset(t, w.store, w.tenant, sealed, func(d *portal.Dataset) { d.Wish = portal.WishErased })
	plain := portaltest.AddRun(t, w.store, w.dataset)
	digest := "example.org/own@sha256:" + strings.Repeat("a", 64)
	set := func(f func(*portal.RunSpec)) func(*portal.RunSpec) { return f }
	env := func(name, value string) func(*portal.RunSpec) {
		return func(s *portal.RunSpec) { s.Env = map[string]string{name: value} }
	}
	for name, test := range map[string]struct {
		name    string
		dataset portal.DatasetID
		mod     func(*portal.RunSpec)
		want    []string
	}{
		"all is well":                {},
		"no name":                    {name: "-", want: []string{"name"}},
		"a long name":                {name: strings.Repeat("ä", portal.MaxRunName+1), want: []string{"name"}},
		"the longest name":           {name: strings.Repeat("ä", portal.MaxRunName)},
		"a name with a line break":   {name: "a\nb", want: []string{"name"}},
		"no dataset":                 {dataset: "-", want: []string{"dataset"}},
		"a dataset that is not":      {dataset: "nosuch", want: []string{"dataset"}},
		"an open dataset":            {dataset: open.ID, want: []string{"dataset"}},
		"a dataset that goes":        {dataset: erasing.ID, want: []string{"dataset"}},
		"no image":                   {mod: set(func(s *portal.RunSpec) { s.Image = "" }), want: []string{"image"}},
		"a stranger's image":         {mod: set(func(s *portal.RunSpec) { s.Image = "evil.example.org/x:1" }), want: []string{"image"}},
		"an image by digest":         {mod: set(func(s *portal.RunSpec) { s.Image = digest })},
		"an image of the registry":   {mod: set(func(s *portal.RunSpec) { s.Image = "registry.example.org/open/x:2" })},
		"too many words":             {mod: set(func(s *portal.RunSpec) { s.Command = make([]string, 65) }), want: []string{"command"}},
		"too many arguments":         {mod: set(func(s *portal.RunSpec) { s.Args = make([]string, 257) }), want: []string{"args"}},
		"a long word":                {mod: set(func(s *portal.RunSpec) { s.Args = []string{strings.Repeat("a", 4097)} }), want: []string{"args"}},
		"a variable of the contract": {mod: env("LETHE_X", "1"), want: []string{"env"}},
		"an odd variable":            {mod: env("1A", "1"), want: []string{"env"}},
		"a long value":               {mod: env("A", strings.Repeat("a", 8193)), want: []string{"env"}},
		"a good variable":            {mod: env("A_1", "=1 ")},
		"odd CPU":                    {mod: set(func(s *portal.RunSpec) { s.CPU = "1e9" }), want: []string{"cpu"}},
		"no CPU at all":              {mod: set(func(s *portal.RunSpec) { s.CPU = "0" }), want: []string{"cpu"}},
		"half a CPU":                 {mod: set(func(s *portal.RunSpec) { s.CPU = "500m" })},
		"odd memory":                 {mod: set(func(s *portal.RunSpec) { s.Memory = "16GB" }), want: []string{"memory"}},
		"good memory":                {mod: set(func(s *portal.RunSpec) { s.Memory = "1.5Gi" })},
		"too many nodes":             {mod: set(func(s *portal.RunSpec) { s.Nodes = 65; s.GPUs = 0 }), want: []string{"nodes"}},
		"too many GPUs on a node":    {mod: set(func(s *portal.RunSpec) { s.GPUs = 17 }), want: []string{"gpus", "nodes"}},
		"more than a node has":       {mod: set(func(s *portal.RunSpec) { s.Product = l4; s.GPUs = 2 }), want: []string{"gpus"}},
		"more than the cluster has":  {mod: set(func(s *portal.RunSpec) { s.Product = l4; s.GPUs = 1; s.Nodes = 5 }), want: []string{"nodes"}},
		"more than the tenant may":   {mod: set(func(s *portal.RunSpec) { s.GPUs = 8; s.Nodes = 2 }), want: []string{"gpus"}},
		"a kind that is not there":   {mod: set(func(s *portal.RunSpec) { s.Product = "NVIDIA-B200" }), want: []string{"product"}},
		"any kind":                   {mod: set(func(s *portal.RunSpec) { s.Product = "" })},
		"no GPUs":                    {mod: set(func(s *portal.RunSpec) { s.Product = ""; s.GPUs = 0 })},
		"too short":                  {mod: set(func(s *portal.RunSpec) { s.MaxDuration = 9 * time.Second }), want: []string{"max_duration"}},
		"too long":                   {mod: set(func(s *portal.RunSpec) { s.MaxDuration = 87601 * time.Hour }), want: []string{"max_duration"}},
		"too short to start":         {mod: set(func(s *portal.RunSpec) { s.StartWithin = time.Second }), want: []string{"start_within"}},
		"too short to be silent":     {mod: set(func(s *portal.RunSpec) { s.StalledAfter = 29 * time.Second }), want: []string{"stalled_after"}},
		"seldom checkpoints":         {mod: set(func(s *portal.RunSpec) { s.CheckpointEvery = 169 * time.Hour }), want: []string{"checkpoint_every"}},
		"too many kept":              {mod: set(func(s *portal.RunSpec) { s.KeepLast = 17 }), want: []string{"keep_last"}},
		"too many tries":             {mod: set(func(s *portal.RunSpec) { s.Retries = 11 }), want: []string{"retries"}},
		"negative GPU-seconds":       {mod: set(func(s *portal.RunSpec) { s.MaxGPUSeconds = -1 }), want: []string{"max_gpu_seconds"}},
		"a run without a checkpoint": {mod: set(func(s *portal.RunSpec) { s.ResumeFrom = plain.ID }), want: []string{"resume_from"}},
		"all at once":                {name: "-", dataset: "-", mod: set(func(s *portal.RunSpec) { s.Image = ""; s.CPU = "x" }), want: []string{"cpu", "dataset", "image", "name"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			called, dataset, wanted := "Baseline", w.dataset.ID, spec()
			if test.name != "" {
				called = strings.TrimPrefix(test.name, "-")
			}
			if test.dataset != "" {
				dataset = portal.DatasetID(strings.TrimPrefix(string(test.dataset), "-"))
			}
			if test.mod != nil {
				test.mod(&wanted)
			}
			err := w.service.Check(t.Context(), w.person, "x", called, dataset, wanted)
			if diff := cmp.Diff(test.want, fieldsOf(err)); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestTheWordsAreThoseOfAdmission(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	err := w.service.Check(t.Context(), w.person, "x", "A", w.dataset.ID, spec(func(s *portal.RunSpec) { s.Image, s.Nodes, s.GPUs = "evil.example.org/x:1", 2, 8 }))
	for _, want := range []string{
		"This image is neither pinned by its digest (name@sha256:…) nor from a registry that is allowed here: registry.example.org/open/.",
		"The run asks for 16 GPUs at once and this namespace may have 8;",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestTheEstimateIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	for name, test := range map[string]struct {
		mod  func(*portal.RunSpec)
		want portal.RunEstimate
	}{
		"the GPU-seconds end it first": {func(*portal.RunSpec) {}, portal.RunEstimate{GPUs: 2, Priced: true, PerHour: 7_980_000, Capped: true, Maximum: 7_980_000, GPUSeconds: 7200}},
		"the hours end it first":       {func(s *portal.RunSpec) { s.MaxDuration = 30 * time.Minute }, portal.RunEstimate{GPUs: 2, Priced: true, PerHour: 7_980_000, Capped: true, Maximum: 3_990_000, GPUSeconds: 3600}},
		"one second is rounded up":     {func(s *portal.RunSpec) { s.MaxGPUSeconds = 1 }, portal.RunEstimate{GPUs: 2, Priced: true, PerHour: 7_980_000, Capped: true, Maximum: 1109, GPUSeconds: 1}},
		"no cap":                       {func(s *portal.RunSpec) { s.MaxGPUSeconds, s.MaxDuration = 0, 0 }, portal.RunEstimate{GPUs: 2, Priced: true, PerHour: 7_980_000}},
		"any kind is the dearest":      {func(s *portal.RunSpec) { s.Product = "" }, portal.RunEstimate{GPUs: 2, Priced: true, AnyKind: true, PerHour: 7_980_000, Capped: true, Maximum: 7_980_000, GPUSeconds: 7200}},
		"several nodes":                {func(s *portal.RunSpec) { s.Product, s.Nodes, s.GPUs = l4, 4, 1 }, portal.RunEstimate{GPUs: 4, Priced: true, PerHour: 3_160_000, Capped: true, Maximum: 1_580_000, GPUSeconds: 7200}},
		"no GPUs":                      {func(s *portal.RunSpec) { s.GPUs = 0 }, portal.RunEstimate{Priced: true, Capped: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.want.Currency = "EUR"
			if diff := cmp.Diff(test.want, w.service.Estimate(t.Context(), spec(test.mod))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	// A run of ten years on everything does not turn over.
	if got := portal.Cost(256*87600*3600, math.MaxInt64/1000); got != math.MaxInt64 {
		t.Errorf("cost %d", got)
	}
}

func TestCostSoFar(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	run := portal.Run{Spec: spec(), Seen: portal.RunSeen{GPUSeconds: 1800}}
	if got, ok := w.service.Cost(t.Context(), run); !ok || got.String() != "€1.995" {
		t.Errorf("%s, %v", got, ok)
	}
}

func TestYAML(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portaltest.Store(t))
	draft := w.draft(t)
	text, err := w.service.YAML(t.Context(), w.person, draft, w.dataset.ID, spec())
	if err != nil || !strings.Contains(string(text), w.dataset.ID.Object()) || !strings.Contains(string(text), draft.Object()) {
		t.Errorf("%s, %v", text, err)
	}
}
