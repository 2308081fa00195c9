package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

// Runs is what the API needs of the use cases of runs.
type Runs interface {
	RunStarts
	RunActs
	RunLists
}

// RunStarts starts runs.
type RunStarts interface {
	Offers(ctx context.Context, p portal.Principal) ([]portal.RunOffer, error)
	// Currency is what prices are in: an ISO 4217 code.
	Currency() string
	Estimate(ctx context.Context, spec portal.RunSpec) portal.RunEstimate
	// StartKeyed gives the same run for the same ID, however often it is called. What the
	// cluster refuses comes with the run, whose ID is used up then.
	StartKeyed(ctx context.Context, p portal.Principal, id portal.RunID, name string, dataset portal.DatasetID, spec portal.RunSpec) (portal.Run, error)
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
}

const (
	readRuns  = Access(portal.ScopeRunsRead)
	writeRuns = Access(portal.ScopeRunsWrite)
)

const pathRuns = "/api/v1/runs"

func (s *Server) runRoutes() []Route {
	if s.Runs == nil {
		return nil
	}
	return []Route{
		{"GET", "/api/v1/offers", readRuns, s.offers},
		{"GET", pathRuns, readRuns, s.listRuns},
		{"POST", pathRuns, writeRuns, s.startRun},
		{"POST", pathRuns + "/estimate", readRuns, s.estimate},
		{"POST", pathRuns + "/{id}/cancel", writeRuns, s.onRun(RunActs.Cancel)},
		{"POST", pathRuns + "/{id}/suspend", writeRuns, s.onRun(RunActs.Suspend)},
		{"POST", pathRuns + "/{id}/resume", writeRuns, s.onRun(RunActs.Resume)},
		{"DELETE", pathRuns + "/{id}", writeRuns, s.onRun(RunActs.Delete)},
	}
}

func runID(r *request) portal.RunID { return portal.RunID(r.PathValue("id")) }

// Offer is a kind of GPU that the cluster has.
type Offer struct {
	// Product is "" where the nodes don't tell their kind.
	Product string `json:"product"`
	Total   int    `json:"total"`
	PerNode int    `json:"perNode"`
	// PerHour is for one; absent when there is no price.
	PerHour *Money `json:"perHour,omitempty"`
}

// OfferList is the answer to GET /api/v1/offers.
type OfferList struct {
	Offers []Offer `json:"offers"`
}

// offers handles GET /api/v1/offers.
func (s *Server) offers(r *request) (any, error) {
	found, err := s.Runs.Offers(r.Context(), r.who)
	if err != nil {
		return nil, err
	}
	list := OfferList{Offers: make([]Offer, len(found))}
	for i, o := range found {
		list.Offers[i] = Offer{Product: o.Product, Total: o.Total, PerNode: o.PerNode}
		if o.Priced {
			list.Offers[i].PerHour = &Money{Micros: o.MicrosPerHour, Currency: s.Runs.Currency()}
		}
	}
	return list, nil
}

// Estimate is what a run will cost, as far as can be told before.
type Estimate struct {
	GPUs int `json:"gpus"`
	// AnyKind: no kind was chosen, and the amounts are for the dearest.
	AnyKind bool `json:"anyKind"`
	// Capped is false when nothing but the trainer ends the run.
	Capped     bool  `json:"capped"`
	GPUSeconds int64 `json:"gpuSeconds,omitempty"`
	// PerHour and Maximum are absent when there is no price; Maximum also without a cap.
	PerHour *Money `json:"perHour,omitempty"`
	Maximum *Money `json:"maximum,omitempty"`
}

// estimate handles POST /api/v1/runs/estimate.
func (s *Server) estimate(r *request) (any, error) {
	body, err := decodeBody[struct {
		Spec RunSpec `json:"spec"`
	}](r, maxBody)
	if err != nil {
		return nil, err
	}
	spec, err := body.Spec.domain()
	if err != nil {
		return nil, err
	}
	e := s.Runs.Estimate(r.Context(), spec)
	answer := Estimate{GPUs: e.GPUs, AnyKind: e.AnyKind, Capped: e.Capped, GPUSeconds: e.GPUSeconds}
	if e.Priced {
		answer.PerHour = moneyOf(e.Rate())
		if e.Capped {
			answer.Maximum = moneyOf(e.Most())
		}
	}
	return answer, nil
}

// listRuns handles GET /api/v1/runs.
func (s *Server) listRuns(r *request) (any, error) {
	after, err := pageCursor(r)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	filter := portal.RunFilter{State: query.Get("state"), Dataset: portal.DatasetID(query.Get("dataset")), Text: query.Get("text")}
	list, next, err := s.Runs.List(r.Context(), r.who, filter, after)
	if err != nil {
		return nil, err
	}
	page := RunPage{Runs: make([]Run, len(list)), Next: cursorText(next)}
	for i, run := range list {
		page.Runs[i] = runOf(run)
	}
	return page, nil
}

// NewRun is the body of POST /api/v1/runs.
type NewRun struct {
	Name    string  `json:"name"`
	Dataset string  `json:"dataset"`
	Spec    RunSpec `json:"spec"`
}

// startRun handles POST /api/v1/runs.
func (s *Server) startRun(r *request) (any, error) {
	body, err := decodeBody[NewRun](r, maxBody)
	if err != nil {
		return nil, err
	}
	body.Name = strings.TrimSpace(body.Name)
	id, err := keyedID[portal.RunID](r, "run")
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, portal.Invalid(keyHeader, "Send an Idempotency-Key of your choice: a request that is sent again with the same key starts no second run.")
	}
	spec, err := body.Spec.domain()
	if err != nil {
		return nil, err
	}
	run, err := s.Runs.StartKeyed(r.Context(), r.who, id, body.Name, portal.DatasetID(body.Dataset), spec)
	if err != nil {
		return nil, pointing(err)
	}
	if run.Name != body.Name || string(run.Dataset) != body.Dataset || !sameSpec(run.Spec, spec) {
		return nil, &portal.Error{Kind: portal.KindConflict, Field: keyHeader, Message: "Another run was started with this Idempotency-Key. Choose a new one for each run."}
	}
	return created(pathRuns+"/"+string(run.ID), runOf(run)), nil
}

// sameSpec compares what is kept of them.
func sameSpec(a, b portal.RunSpec) bool {
	one, err := json.Marshal(a)
	other, errOther := json.Marshal(b)
	return errors.Join(err, errOther) == nil && bytes.Equal(one, other)
}

// onRun handles what is done with a run.
func (s *Server) onRun(act func(RunActs, context.Context, portal.Principal, portal.RunID) error) handler {
	return func(r *request) (any, error) { return nil, act(s.Runs, r.Context(), r.who, runID(r)) }
}
