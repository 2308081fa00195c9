package web

import (
	"context"
	"net/http"

	"github.com/lethe-dev/lethe/portal"
)

// Runs is what the pages need of the use cases of runs. Errors are portal errors; several
// at once come joined.
type Runs interface {
	RunStarts
	RunActs
	RunLists
}

// RunStarts starts runs.
type RunStarts interface {
	// Form keeps the account's draft; again is a run to begin with the values of.
	Form(ctx context.Context, p portal.Principal, again portal.RunID) (portal.RunForm, error)
	Estimate(ctx context.Context, spec portal.RunSpec) portal.RunEstimate
	YAML(ctx context.Context, p portal.Principal, id portal.RunID, dataset portal.DatasetID, spec portal.RunSpec) ([]byte, error)
	// Check says all that is wrong with a run, without starting it.
	Check(ctx context.Context, p portal.Principal, id portal.RunID, name string, dataset portal.DatasetID, spec portal.RunSpec) error
	// Start gives the same run for the same ID, however often it is called.
	Start(ctx context.Context, p portal.Principal, id portal.RunID, name string, dataset portal.DatasetID, spec portal.RunSpec) (portal.Run, error)
}

// RunActs changes runs. An act that was done is done again without an error.
type RunActs interface {
	Cancel(ctx context.Context, p portal.Principal, id portal.RunID) error
	Suspend(ctx context.Context, p portal.Principal, id portal.RunID) error
	Resume(ctx context.Context, p portal.Principal, id portal.RunID) error
	Delete(ctx context.Context, p portal.Principal, id portal.RunID) error
}

// RunLists reads runs.
type RunLists interface {
	// List gives the next page's cursor too: zero after the last page.
	List(ctx context.Context, p portal.Principal, filter portal.RunFilter, after portal.PageCursor) ([]portal.Run, portal.PageCursor, error)
	Get(ctx context.Context, p portal.Principal, id portal.RunID) (portal.Run, error)
	// Datasets are those of the account, erased ones among them.
	Datasets(ctx context.Context, p portal.Principal) ([]portal.Dataset, error)
	// Cost is what a run has cost so far; false when there is no price.
	Cost(ctx context.Context, run portal.Run) (portal.Money, bool)
}

const (
	pathRuns   = "/runs"
	pathNewRun = "/runs/new"
)

func pathRun(id portal.RunID) string { return pathRuns + "/" + string(id) }

// runsRoutes are the list, the form, and what can be done with a run. The run's own page
// is somebody else's.
func (s *Server) runsRoutes() []Route {
	return []Route{
		{"GET", pathRuns, signedIn, s.listRuns},
		{"POST", pathRuns, signedIn, s.startRun},
		{"GET", pathNewRun, signedIn, s.runForm},
		{"POST", pathNewRun, signedIn, s.previewRun},
		{"GET", "/runs/{id}/cancel", signedIn, s.askRun(cancelRun)},
		{"POST", "/runs/{id}/cancel", signedIn, s.doRun(cancelRun)},
		{"POST", "/runs/{id}/suspend", signedIn, s.doRun(suspendRun)},
		{"POST", "/runs/{id}/resume", signedIn, s.doRun(resumeRun)},
		{"GET", "/runs/{id}/delete", signedIn, s.askRun(deleteRun)},
		{"POST", "/runs/{id}/delete", signedIn, s.doRun(deleteRun)},
	}
}

// runAct is something that a person does with a run.
type runAct struct {
	// name is the last part of its path.
	name string
	do   func(RunActs, context.Context, portal.Principal, portal.RunID) error
	told notice
	// away reports whether the run's page goes too.
	away bool
}

var (
	cancelRun  = runAct{name: "cancel", do: RunActs.Cancel, told: noticeRunCancelled}
	suspendRun = runAct{name: "suspend", do: RunActs.Suspend, told: noticeRunSuspended}
	resumeRun  = runAct{name: "resume", do: RunActs.Resume, told: noticeRunResumed}
	deleteRun  = runAct{name: "delete", do: RunActs.Delete, told: noticeRunDeleted, away: true}
)

// runActPage asks before something that can't be undone.
type runActPage struct {
	Page
	Run   portal.Run
	State runState
	Act   string
}

func (s *Server) askRun(act runAct) handler {
	return func(w http.ResponseWriter, r *request) error {
		run, err := s.runs.Get(r.Context(), *r.who, portal.RunID(r.PathValue("id")))
		if err != nil {
			return err
		}
		title := map[string]string{"cancel": "Cancel the run", "delete": "Delete the run"}[act.name]
		return s.render(w, r, "run_act", &runActPage{Page: s.newPage(r, title), Run: run, State: stateOfRun(run), Act: act.name})
	}
}

func (s *Server) doRun(act runAct) handler {
	return func(w http.ResponseWriter, r *request) error {
		id := portal.RunID(r.PathValue("id"))
		if err := act.do(s.runs, r.Context(), *r.who, id); err != nil {
			return err
		}
		if act.away {
			return s.redirect(w, r, pathRuns, act.told)
		}
		return s.redirect(w, r, pathRun(id), act.told)
	}
}
