package web

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// fakeLive has one run, which everybody owns.
type fakeLive struct {
	mutex   sync.Mutex
	view    portal.RunView
	events  []portal.RunEvent
	points  []portal.RunPoint
	files   map[portal.FileKind][]portal.RunFile
	objects map[string]string
	key     bool // files can't be had by a link
	errs    map[string]error
	parts   chan portal.LogPart
	changed chan struct{}
	after   portal.LogPosition
	stopped int
	attempt int // whose logs were asked for last
}

func newFakeLive(view portal.RunView) *fakeLive {
	return &fakeLive{
		view: view, errs: map[string]error{}, files: map[portal.FileKind][]portal.RunFile{}, objects: map[string]string{},
		parts: make(chan portal.LogPart, 8), changed: make(chan struct{}, 1),
	}
}

func (f *fakeLive) set(change func(*portal.RunView)) {
	f.mutex.Lock()
	change(&f.view)
	f.mutex.Unlock()
	f.changed <- struct{}{}
}

func (f *fakeLive) View(_ context.Context, _ portal.Principal, id portal.RunID) (portal.RunView, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	view := f.view
	view.Run.ID = id
	return view, f.errs["View"]
}

func (f *fakeLive) Changes(context.Context, portal.Principal, portal.RunID) (<-chan struct{}, func(), error) {
	return f.changed, func() {
		f.mutex.Lock()
		defer f.mutex.Unlock()
		f.stopped++
	}, f.errs["Changes"]
}

func (f *fakeLive) Log(_ context.Context, _ portal.Principal, _ portal.RunID, after portal.LogPosition) (portal.LogTail, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.after = after
	return fakeTail{f}, f.errs["Log"]
}

type fakeTail struct{ f *fakeLive }

func (t fakeTail) Next(ctx context.Context) (portal.LogPart, error) {
	t.f.mutex.Lock()
	over := t.f.view.Run.Seen.Finished()
	t.f.mutex.Unlock()
	if over && len(t.f.parts) == 0 {
		return portal.LogPart{}, io.EOF
	}
	select {
	case part, ok := <-t.f.parts:
		if !ok {
			return part, io.EOF
		}
		return part, nil
	case <-ctx.Done():
		return portal.LogPart{}, ctx.Err()
	}
}

func (fakeTail) Close() {}

func (f *fakeLive) Events(context.Context, portal.Principal, portal.RunID) ([]portal.RunEvent, error) {
	return f.events, f.errs["Events"]
}

func (f *fakeLive) Series(context.Context, portal.Principal, portal.RunID) ([]portal.RunPoint, error) {
	return f.points, f.errs["Series"]
}

func (f *fakeLive) Files(_ context.Context, _ portal.Principal, _ portal.RunID, kind portal.FileKind, after string, limit int) (portal.RunFiles, error) {
	var found portal.RunFiles
	for _, file := range f.files[kind] {
		switch {
		case file.Path <= after:
		case len(found.Files) == limit:
			found.More = true
		default:
			found.Files = append(found.Files, file)
		}
	}
	if kind == portal.FileArtifact && len(found.Files) > 0 {
		found.Manifest = "sha256:" + strings.Repeat("ab", 32)
	}
	return found, f.errs["Files"]
}

func (f *fakeLive) Logs(ctx context.Context, p portal.Principal, id portal.RunID, attempt int) (portal.RunFiles, error) {
	f.attempt = attempt
	return f.Files(ctx, p, id, portal.FileLog, "", 1000)
}

func (f *fakeLive) Download(ctx context.Context, p portal.Principal, id portal.RunID, kind portal.FileKind, path string) (portal.FileContent, error) {
	if f.key {
		return f.Open(ctx, p, id, kind, path)
	}
	if _, ok := f.objects[path]; !ok {
		return portal.FileContent{}, portal.ErrNotFound
	}
	return portal.FileContent{Link: "https://store.example.org/artifacts/" + path + "?X-Amz-Expires=60", Name: path}, f.errs["Download"]
}

func (f *fakeLive) Open(_ context.Context, _ portal.Principal, _ portal.RunID, _ portal.FileKind, path string) (portal.FileContent, error) {
	text, ok := f.objects[path]
	if !ok {
		return portal.FileContent{}, portal.ErrNotFound
	}
	return portal.FileContent{Body: io.NopCloser(strings.NewReader(text)), Name: path[strings.LastIndexByte(path, '/')+1:], Size: int64(len(text))}, nil
}

// runIn is a run in a state, with all that its page can show.
func runIn(state string, mods ...func(*portal.RunView)) portal.RunView {
	percent := 41.5
	code := 1
	run := portal.Run{
		ID: "r2345678923456789234567892a", Name: "Speech, second try", Dataset: "d2345678923456789234567892a", UID: "u", Namespace: "t-x", Wish: portal.WishRun,
		CreatedAt: start.Add(-2 * time.Hour),
		Spec: portal.RunSpec{
			Image: "registry.example.org/speech/train:1.4.2", Command: []string{"python", "train.py"}, Args: []string{"--lr", "3e-4", "--note", "it's new"},
			GPUs: 2, Nodes: 1, Product: "NVIDIA-H200", CPU: "16", Memory: "128Gi", MaxDuration: 6 * time.Hour, Retries: 2, CheckpointEvery: 10 * time.Minute,
		},
		Seen: portal.RunSeen{Version: 1, State: state},
	}
	view := portal.RunView{
		Run:     run,
		Dataset: portal.Dataset{ID: run.Dataset, Name: "Interviews 2026", UID: "0b9f0c5e-7d0a-4c53-9d0d-0f3b7a1c2d01", AfterTraining: 24 * time.Hour},
	}
	seen := &view.Run.Seen
	begun := func() {
		seen.StartedAt = start.Add(-95 * time.Minute)
		seen.Attempts = []portal.RunAttempt{
			{Number: 1, Result: "Failed", Reason: "PodLost", StartedAt: start.Add(-95 * time.Minute), EndedAt: start.Add(-60 * time.Minute), GPUSeconds: 4200},
			{Number: 2, StartedAt: start.Add(-55 * time.Minute)},
		}
		seen.GPUSeconds, seen.LostGPUSeconds = 4200, 600
		seen.Progress = portal.RunProgress{At: start.Add(-5 * time.Second), Percent: &percent, Step: 4150, TotalSteps: 10_000, Epoch: 2, Epochs: 5, Metrics: map[string]float64{"loss": 0.4312, "eval_loss": 0.512, "accuracy": 0.8731}, EndsAt: start.Add(77 * time.Minute)}
		seen.CheckpointAt, seen.Checkpoint = start.Add(-4*time.Minute), "0002-000009"
		view.Cost = &portal.RunCost{Spent: portal.Money{Micros: 7_420_000, Currency: "EUR"}, PerHour: portal.Money{Micros: 6_800_000, Currency: "EUR"}, Cap: portal.Money{Micros: 40_800_000, Currency: "EUR"}}
	}
	over := func() {
		begun()
		seen.EndedAt = start.Add(-10 * time.Minute)
		seen.Attempts[1].EndedAt, seen.Attempts[1].Result = seen.EndedAt, state
		view.Dataset.Seen.ExpiresAt = start.Add(23 * time.Hour)
	}
	switch state {
	case "Running", "Publishing", "Suspended":
		begun()
		seen.Suspended = state == "Suspended"
		if seen.Suspended {
			view.Run.Wish = portal.WishSuspended
		}
	case "Succeeded":
		over()
		seen.ArtifactFiles, seen.ArtifactBytes, seen.ArtifactManifest = 3, 3_512_000_000, "sha256:"+strings.Repeat("ab", 32)
		view.Dataset.ErasedAt, view.Dataset.Receipt = start.Add(-time.Minute), "sha256:"+strings.Repeat("cd", 32)
	case "Failed":
		over()
		seen.Reason, seen.Message = "CUDAOutOfMemory", "the trainer ended with exit code 1"
		seen.Failure = &portal.RunFailure{
			Blame: "User", Reason: "CUDAOutOfMemory", ExitCode: &code, Hint: "lower the batch size",
			LogTail: "step 4150 loss 0.4312\nTraceback (most recent call last):\n  File \"/app/train.py\", line 118, in <module>\n    loss.backward()\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.40 GiB. GPU 0 has a total capacity of 139.80 GiB",
		}
	case "Cancelled":
		over()
		view.Run.Wish, seen.Reason = portal.WishCancelled, "Cancelled"
	case "Queued":
		seen.Reason = "Unschedulable"
	}
	for _, mod := range mods {
		mod(&view)
	}
	return view
}

// runsInAllStates are runs as their pages may show them.
func runsInAllStates() map[string]portal.RunView {
	all := map[string]portal.RunView{}
	for _, state := range []string{"Pending", "Queued", "Starting", "Running", "Publishing", "Suspended", "Succeeded", "Failed", "Cancelled"} {
		all[strings.ToLower(state)] = runIn(state)
	}
	all["refused"] = runIn("", func(v *portal.RunView) {
		v.Run.UID, v.Run.Refused = "", "The image registry.example.org/speech/train:1.4.2 is not one that may be run here. Choose another one."
	})
	all["waiting"] = runIn("", func(v *portal.RunView) { v.Run.UID = "" })
	all["handed"] = runIn("", func(v *portal.RunView) { v.Run.UID, v.Run.CreatedAt = "", start.Add(-time.Second) })
	all["stopping"] = runIn("Running", func(v *portal.RunView) { v.Run.Wish = portal.WishCancelled })
	all["suspending"] = runIn("Running", func(v *portal.RunView) { v.Run.Wish = portal.WishSuspended })
	all["resuming"] = runIn("Suspended", func(v *portal.RunView) { v.Run.Wish = portal.WishRun })
	all["deleting"] = runIn("Succeeded", func(v *portal.RunView) { v.Run.Wish = portal.WishDeleted })
	all["gone"] = runIn("Succeeded", func(v *portal.RunView) { v.Run.GoneAt = start })
	all["lost"] = runIn("Running", func(v *portal.RunView) { v.Run.GoneAt = start.Add(-time.Minute) })
	return all
}

// fullLive is a fake with everything for a run's page.
func fullLive(view portal.RunView) *fakeLive {
	f := newFakeLive(view)
	if view.Run.Seen.StartedAt.IsZero() {
		return f
	}
	for step := int64(1); step <= 84; step++ {
		x := float64(step)
		f.points = append(f.points, portal.RunPoint{At: start.Add(time.Duration(step-84) * time.Minute), Step: step * 50, Metrics: map[string]float64{
			"loss": 0.35 + 2/(1+x/6) + float64(step%7)/90, "eval_loss": 0.42 + 2/(1+x/5), "accuracy": 0.9 - 0.7/(1+x/8),
		}})
	}
	f.view.Points = f.points
	f.events = []portal.RunEvent{
		{At: start.Add(-95 * time.Minute), Reason: "Started", Message: "The trainer has started.", Count: 1},
		{At: start.Add(-60 * time.Minute), Warning: true, Reason: "PodLost", Message: "The node of the run was lost; the attempt is repeated.", Count: 2},
	}
	if view.Run.Seen.ArtifactManifest != "" {
		f.files[portal.FileArtifact] = []portal.RunFile{
			{Kind: portal.FileArtifact, Path: "config.json", Size: 1832, SHA256: strings.Repeat("1f", 32)},
			{Kind: portal.FileArtifact, Path: "model/model-00001-of-00001.safetensors", Size: 3_511_000_000, SHA256: strings.Repeat("2e", 32)},
			{Kind: portal.FileArtifact, Path: "tokenizer.json", Size: 998_168, SHA256: strings.Repeat("3d", 32)},
		}
		f.files[portal.FileCheckpoint] = []portal.RunFile{{Kind: portal.FileCheckpoint, Path: "checkpoints/0002-000009/node-0/data/step-9000/model.pt", Size: 3_511_000_000}}
		f.files[portal.FileLog] = []portal.RunFile{{Kind: portal.FileLog, Path: "logs/attempt-0002/node-0/trainer-000001.log", Size: 48_221}, {Kind: portal.FileLog, Path: "logs/attempt-0002/node-0/progress.jsonl", Size: 9_120}}
	}
	return f
}

// walkedLive is for tests that walk through all routes: its files can be had.
func walkedLive() *fakeLive {
	f := fullLive(runIn("Succeeded"))
	f.files = map[portal.FileKind][]portal.RunFile{portal.FileArtifact: {{Kind: portal.FileArtifact, Path: "config.json", Size: 2}}}
	f.objects = map[string]string{"config.json": "{}"}
	return f
}
