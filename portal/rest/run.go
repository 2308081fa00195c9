package rest

import (
	"cmp"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// RunSpec is what a person chooses of a run. What is not there is left to the cluster.
type RunSpec struct {
	Image                  string            `json:"image"`
	Command                []string          `json:"command,omitempty"`
	Args                   []string          `json:"args,omitempty"`
	Env                    map[string]string `json:"env,omitempty"`
	CPU                    string            `json:"cpu,omitempty"`
	Memory                 string            `json:"memory,omitempty"`
	Nodes                  int               `json:"nodes,omitempty"`
	GPUs                   int               `json:"gpus"`
	Product                string            `json:"product,omitempty"`
	Sharded                bool              `json:"sharded,omitempty"`
	MaxDurationSeconds     int64             `json:"maxDurationSeconds,omitempty"`
	MaxGPUSeconds          int64             `json:"maxGpuSeconds,omitempty"`
	StartWithinSeconds     int64             `json:"startWithinSeconds,omitempty"`
	StalledAfterSeconds    int64             `json:"stalledAfterSeconds,omitempty"`
	Retries                int               `json:"retries,omitempty"`
	CheckpointEverySeconds int64             `json:"checkpointEverySeconds,omitempty"`
	KeepLast               int               `json:"keepLast,omitempty"`
	ResumeFrom             string            `json:"resumeFrom,omitempty"`
}

// maxNumber bounds numbers of nodes and GPUs before they are multiplied; what the cluster
// takes is far less.
const maxNumber = 1_000_000

// domain gives the spec to the use cases, which say what is wrong with it.
func (s RunSpec) domain() (portal.RunSpec, error) {
	for field, n := range map[string]int{"nodes": s.Nodes, "gpus": s.GPUs} {
		if n < -maxNumber || n > maxNumber {
			return portal.RunSpec{}, pointing(portal.Invalid(field, "This is more than any cluster has."))
		}
	}
	return portal.RunSpec{
		Image: s.Image, Command: s.Command, Args: s.Args, Env: s.Env, CPU: s.CPU, Memory: s.Memory,
		Nodes: cmp.Or(s.Nodes, 1), GPUs: s.GPUs, Product: s.Product, Sharded: s.Sharded,
		MaxDuration: duration(s.MaxDurationSeconds), MaxGPUSeconds: s.MaxGPUSeconds,
		StartWithin: duration(s.StartWithinSeconds), StalledAfter: duration(s.StalledAfterSeconds), Retries: s.Retries,
		CheckpointEvery: duration(s.CheckpointEverySeconds), KeepLast: s.KeepLast, ResumeFrom: portal.RunID(s.ResumeFrom),
	}, nil
}

func specOf(s portal.RunSpec) RunSpec {
	return RunSpec{
		Image: s.Image, Command: s.Command, Args: s.Args, Env: s.Env, CPU: s.CPU, Memory: s.Memory,
		Nodes: s.Nodes, GPUs: s.GPUs, Product: s.Product, Sharded: s.Sharded,
		MaxDurationSeconds: seconds(s.MaxDuration), MaxGPUSeconds: s.MaxGPUSeconds,
		StartWithinSeconds: seconds(s.StartWithin), StalledAfterSeconds: seconds(s.StalledAfter), Retries: s.Retries,
		CheckpointEverySeconds: seconds(s.CheckpointEvery), KeepLast: s.KeepLast, ResumeFrom: string(s.ResumeFrom),
	}
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Run is one training.
type Run struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Dataset string `json:"dataset"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Wish is what was asked for last: the cluster may not have followed it yet.
	Wish string `json:"wish"`
	// Over says that nothing of it changes any more.
	Over      bool       `json:"over"`
	Spec      RunSpec    `json:"spec"`
	CreatedAt time.Time  `json:"createdAt"`
	StartedAt *time.Time `json:"startedAt,omitempty"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
	// GPUSeconds were used in all, LostGPUSeconds of them since a checkpoint that an attempt
	// had to go back to.
	GPUSeconds     int64      `json:"gpuSeconds"`
	LostGPUSeconds int64      `json:"lostGpuSeconds,omitempty"`
	Progress       *Progress  `json:"progress,omitempty"`
	Attempts       []Attempt  `json:"attempts,omitempty"`
	CheckpointAt   *time.Time `json:"checkpointAt,omitempty"`
	// Artifacts are absent until they are published.
	Artifacts *Artifacts `json:"artifacts,omitempty"`
	Failure   *Failure   `json:"failure,omitempty"`
	// Cost is only of one run, and where GPUs have a price.
	Cost *Cost `json:"cost,omitempty"`
}

// Progress is the newest that the trainer told.
type Progress struct {
	At         time.Time          `json:"at"`
	Percent    *float64           `json:"percent,omitempty"`
	Step       int64              `json:"step,omitempty"`
	TotalSteps int64              `json:"totalSteps,omitempty"`
	Epoch      int64              `json:"epoch,omitempty"`
	Epochs     int64              `json:"epochs,omitempty"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`
	EndsAt     *time.Time         `json:"endsAt,omitempty"`
}

// Attempt is one try of a run.
type Attempt struct {
	Number     int        `json:"number"`
	Result     string     `json:"result,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Message    string     `json:"message,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	EndedAt    *time.Time `json:"endedAt,omitempty"`
	GPUSeconds int64      `json:"gpuSeconds"`
}

// Artifacts are what a run has left.
type Artifacts struct {
	Files    int64  `json:"files"`
	Bytes    int64  `json:"bytes"`
	Manifest string `json:"manifest"`
}

// Failure is why a run has failed.
type Failure struct {
	Blame    string `json:"blame,omitempty"`
	Reason   string `json:"reason,omitempty"`
	ExitCode *int   `json:"exitCode,omitempty"`
	Hint     string `json:"hint,omitempty"`
	LogTail  string `json:"logTail,omitempty"`
}

// Cost is what a run has cost so far, at today's prices.
type Cost struct {
	Spent Money `json:"spent"`
	Lost  Money `json:"lost"`
	// Cap is absent where nothing bounds it.
	Cap     *Money `json:"cap,omitempty"`
	PerHour Money  `json:"perHour"`
}

// RunPage is the answer to GET /api/v1/runs, newest first.
type RunPage struct {
	Runs []Run  `json:"runs"`
	Next string `json:"next,omitempty"`
}

// States of runs that the cluster does not tell.
const (
	runRefused = "Refused"
	runDeleted = "Deleted"
)

// RunStates are all of them.
func RunStates() []string {
	return []string{
		portal.RunWaiting, runRefused, "Pending", "Queued", "Starting", "Running", "Publishing", "Suspended",
		"Succeeded", "Failed", "Cancelled", runDeleted,
	}
}

func runState(run portal.Run) string {
	switch {
	case run.Refused != "":
		return runRefused
	case !run.GoneAt.IsZero():
		return runDeleted
	case run.Seen.State == "":
		return portal.RunWaiting
	}
	return run.Seen.State
}

func runOf(run portal.Run) Run {
	seen := run.Seen
	r := Run{
		ID: string(run.ID), Name: run.Name, Dataset: string(run.Dataset), State: runState(run), Reason: seen.Reason, Message: seen.Message,
		Wish: string(run.Wish), Over: seen.Finished() || run.Refused != "" || !run.GoneAt.IsZero(), Spec: specOf(run.Spec),
		CreatedAt: run.CreatedAt.UTC(), StartedAt: moment(seen.StartedAt), EndedAt: moment(seen.EndedAt),
		GPUSeconds: seen.GPUSeconds, LostGPUSeconds: seen.LostGPUSeconds, CheckpointAt: moment(seen.CheckpointAt),
	}
	if run.Refused != "" {
		r.Message = run.Refused
	}
	if p := seen.Progress; !p.At.IsZero() {
		r.Progress = &Progress{
			At: p.At.UTC(), Percent: p.Percent, Step: p.Step, TotalSteps: p.TotalSteps, Epoch: p.Epoch, Epochs: p.Epochs,
			Metrics: p.Metrics, EndsAt: moment(p.EndsAt),
		}
	}
	for _, a := range seen.Attempts {
		r.Attempts = append(r.Attempts, Attempt{
			Number: a.Number, Result: a.Result, Reason: a.Reason, Message: a.Message,
			StartedAt: moment(a.StartedAt), EndedAt: moment(a.EndedAt), GPUSeconds: a.GPUSeconds,
		})
	}
	if seen.ArtifactManifest != "" {
		r.Artifacts = &Artifacts{Files: seen.ArtifactFiles, Bytes: seen.ArtifactBytes, Manifest: seen.ArtifactManifest}
	}
	if f := seen.Failure; f != nil {
		r.Failure = &Failure{Blame: f.Blame, Reason: f.Reason, ExitCode: f.ExitCode, Hint: f.Hint, LogTail: f.LogTail}
	}
	return r
}

func costOf(c *portal.RunCost) *Cost {
	if c == nil {
		return nil
	}
	cost := &Cost{Spent: *moneyOf(c.Spent), Lost: *moneyOf(c.Lost), PerHour: *moneyOf(c.PerHour)}
	if c.Cap.Micros > 0 {
		cost.Cap = moneyOf(c.Cap)
	}
	return cost
}
