package web

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// runFormPage is where runs are started.
type runFormPage struct {
	Page
	runInput
	Form                    portal.RunForm
	Datasets, Images, Kinds []option
	Sources                 []option
	Estimate                portal.RunEstimate
	// Unread reports whether numbers of the estimate could not be read.
	Unread bool
	// YAML is "" until it is asked for.
	YAML string
}

// runForm is the form; ?again=ID begins with another run's values, ?dataset=ID and
// ?resume=ID choose what their pages link here for.
func (s *Server) runForm(w http.ResponseWriter, r *request) error {
	query := r.URL.Query()
	form, err := s.runs.Form(r.Context(), *r.who, portal.RunID(query.Get("again")))
	if err != nil {
		return err
	}
	if dataset := query.Get("dataset"); dataset != "" {
		form.Dataset = portal.DatasetID(dataset)
	}
	if source := query.Get("resume"); source != "" {
		form.Spec.ResumeFrom = portal.RunID(source)
	}
	return s.render(w, r, "run_new", s.runFormPage(r, form, runInputOf(form)))
}

func (s *Server) runFormPage(r *request, form portal.RunForm, in runInput) *runFormPage {
	page := &runFormPage{Page: s.newPage(r, "Start a run"), runInput: in, Form: form}
	page.Live, page.Wide = true, true
	page.Draft = string(form.Draft)
	for _, d := range form.Datasets {
		page.Datasets = append(page.Datasets, option{string(d.ID), s.datasetWords(d), string(d.ID) == in.Dataset})
	}
	for _, image := range form.Images {
		page.Images = append(page.Images, option{image, image, image == in.Image})
	}
	for _, offer := range form.Offers {
		page.Kinds = append(page.Kinds, option{offer.Product, offerWords(offer, form.Currency), offer.Product == in.Product})
	}
	if in.Product != "" && !chosenOption(page.Kinds) {
		page.Kinds = append(page.Kinds, option{in.Product, in.Product + ", not there now", true})
	}
	for _, run := range form.Sources {
		page.Sources = append(page.Sources, option{string(run.ID), run.Name + ", " + utc(run.CreatedAt), string(run.ID) == in.ResumeFrom})
	}
	if in.ResumeFrom != "" && !chosenOption(page.Sources) {
		page.Sources = append(page.Sources, option{in.ResumeFrom, "An earlier run", true})
	}
	spec, problems := in.spec()
	page.Unread = len(problems) > 0
	page.Estimate = s.runs.Estimate(r.Context(), spec)
	return page
}

// chosenOption reports whether a list has what was chosen. What it has not is added, so
// that nothing else is taken in its place without a word.
func chosenOption(list []option) bool {
	return slices.ContainsFunc(list, func(o option) bool { return o.Selected })
}

// datasetWords are a dataset with its size, and for how long it is still there.
func (s *Server) datasetWords(d portal.Dataset) string {
	words := d.Name
	if d.Seen.Bytes > 0 {
		words += ", " + fileSize(d.Seen.Bytes)
	}
	if left := d.Seen.ExpiresAt.Sub(s.now()); !d.Seen.ExpiresAt.IsZero() && left > 0 {
		words += ", erased in " + timeLeft(left)
	}
	return words
}

// timeLeft is a span in its largest unit, rounded down: who counts on it has that long.
func timeLeft(left time.Duration) string {
	const days = 24 * time.Hour
	switch {
	case left >= 2*days:
		return plural(int(left/days), "day", "days")
	case left >= 2*time.Hour:
		return plural(int(left/time.Hour), "hour", "hours")
	}
	return plural(int(left/time.Minute), "minute", "minutes")
}

// offerWords are a kind of GPU with its price.
func offerWords(offer portal.RunOffer, currency string) string {
	name := offer.Product
	if name == "" {
		name = "GPUs without a name"
	}
	if !offer.Priced {
		return name + ", no price yet"
	}
	return name + ", " + portal.Money{Micros: offer.MicrosPerHour, Currency: currency}.String() + " an hour"
}

// previewRun shows what a run will cost, and as what kubectl apply would take it: parts for
// htmx, and the whole form without it.
func (s *Server) previewRun(w http.ResponseWriter, r *request) error {
	in := readRunInput(r.fields)
	spec, problems := in.spec()
	showYAML := r.fields.one("show") == "yaml"
	if r.partial() && !showYAML {
		page := &runFormPage{Page: s.newPage(r, ""), Estimate: s.runs.Estimate(r.Context(), spec), Unread: len(problems) > 0}
		return s.part(w, r, "run_new", "estimate", page)
	}
	text, err := s.runs.YAML(r.Context(), *r.who, draftOf(in), portal.DatasetID(in.Dataset), spec)
	odd, err := problemsOf(err)
	if err != nil {
		return err
	}
	if r.partial() {
		page := &runFormPage{Page: s.newPage(r, ""), YAML: string(text), Unread: len(problems) > 0}
		page.Problems = odd
		return s.part(w, r, "run_new", "yaml", page)
	}
	form, err := s.runs.Form(r.Context(), *r.who, "")
	if err != nil {
		return err
	}
	page := s.runFormPage(r, form, in)
	if showYAML {
		page.YAML = string(text)
	}
	if page.Problems = append(problems, odd...); len(page.Problems) == 0 {
		page.Problems, err = problemsOf(s.runs.Check(r.Context(), *r.who, form.Draft, in.Name, portal.DatasetID(in.Dataset), spec))
	}
	if err != nil {
		return err
	}
	if len(page.Problems) > 0 {
		page.Status = http.StatusUnprocessableEntity
	}
	return s.render(w, r, "run_new", page)
}

// draftOf is the ID that the form carries, if it is one.
func draftOf(in runInput) portal.RunID {
	if !portal.LooksLikeID(in.Draft) {
		return ""
	}
	return portal.RunID(in.Draft)
}

// startRun starts the run of the form, once however often it is sent.
func (s *Server) startRun(w http.ResponseWriter, r *request) error {
	in := readRunInput(r.fields)
	spec, problems := in.spec()
	if len(problems) > 0 {
		return s.runAgain(w, r, in, problems, http.StatusUnprocessableEntity)
	}
	id := draftOf(in)
	if id == "" {
		return s.runAgain(w, r, in, []Problem{{Message: "The form was not sent whole. Look at it once more, and start the run from here."}}, http.StatusUnprocessableEntity)
	}
	run, err := s.runs.Start(r.Context(), *r.who, id, in.Name, portal.DatasetID(in.Dataset), spec)
	if err == nil {
		return s.redirect(w, r, pathRun(run.ID), noticeRunStarted)
	}
	problems, err = problemsOf(err)
	if err != nil {
		return err
	}
	return s.runAgain(w, r, in, problems, http.StatusUnprocessableEntity)
}

// runAgain shows the form with what was filled in and what is wrong with it, under the
// draft that counts now.
func (s *Server) runAgain(w http.ResponseWriter, r *request, in runInput, problems []Problem, status int) error {
	form, err := s.runs.Form(r.Context(), *r.who, "")
	if err != nil {
		return err
	}
	page := s.runFormPage(r, form, in)
	page.Problems, page.Status = problems, status
	return s.render(w, r, "run_new", page)
}

// problemsOf takes errors apart that a form can show; the error is one that it can't.
func problemsOf(err error) ([]Problem, error) {
	if err == nil {
		return nil, nil
	}
	var e *portal.Error
	switch x := err.(type) { //nolint:errorlint // The tree is walked here.
	case *portal.Error:
		e = x
	case interface{ Unwrap() []error }:
		return problemsOfAll(x.Unwrap())
	default:
		if inner := errors.Unwrap(err); inner != nil {
			return problemsOf(inner)
		}
		return nil, err
	}
	if !told(e) {
		return nil, err
	}
	return []Problem{{Field: e.Field, Message: e.Message}}, nil
}

func problemsOfAll(all []error) ([]Problem, error) {
	var problems []Problem
	for _, err := range all {
		more, err := problemsOf(err)
		if err != nil {
			return nil, err
		}
		problems = append(problems, more...)
	}
	return problems, nil
}
