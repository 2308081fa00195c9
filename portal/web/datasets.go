package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Datasets is what the pages of datasets and receipts need. Errors are those of the use
// cases.
type Datasets interface {
	DatasetActs
	DatasetFiles
	DatasetRecords
}

// DatasetActs change datasets.
type DatasetActs interface {
	// NewID gives the ID that a form is sent with, so that it counts once.
	NewID() portal.DatasetID
	Create(ctx context.Context, p portal.Principal, order portal.NewDataset) (portal.DatasetView, error)
	Seal(ctx context.Context, p portal.Principal, id portal.DatasetID) (portal.DatasetView, error)
	SetRetention(ctx context.Context, p portal.Principal, id portal.DatasetID, afterTraining, maxAge time.Duration) (portal.DatasetView, error)
	// Erase gives a *portal.DatasetInUse as the cause while runs would have to be
	// cancelled first.
	Erase(ctx context.Context, p portal.Principal, id portal.DatasetID, cancel bool) (portal.DatasetView, error)
}

// DatasetFiles are what is uploaded.
type DatasetFiles interface {
	AddFiles(ctx context.Context, p portal.Principal, id portal.DatasetID, claims []portal.FileClaim) ([]portal.FilePlan, error)
	Sign(ctx context.Context, p portal.Principal, id portal.DatasetID, wanted []portal.WantedParts) ([]portal.SignedPart, error)
	Finish(ctx context.Context, p portal.Principal, id portal.DatasetID, done []portal.FileDone) ([]portal.FileResult, error)
	Remove(ctx context.Context, p portal.Principal, id portal.DatasetID, paths []string) error
	Files(ctx context.Context, p portal.Principal, id portal.DatasetID, after string, limit int) ([]portal.File, error)
}

// DatasetRecords are looked at.
type DatasetRecords interface {
	List(ctx context.Context, p portal.Principal, erased bool, after portal.PageCursor) ([]portal.DatasetView, portal.PageCursor, error)
	Get(ctx context.Context, p portal.Principal, id portal.DatasetID) (portal.DatasetView, error)
	// MaxBytes is how large a dataset may be.
	MaxBytes() int64
	Receipts(ctx context.Context, p portal.Principal, after portal.PageCursor) ([]portal.Receipt, portal.PageCursor, error)
	Receipt(ctx context.Context, p portal.Principal, uid string) (portal.Receipt, error)
}

const (
	pathDatasets = "/datasets"
	pathReceipts = "/receipts"
)

func pathDataset(id portal.DatasetID) string { return pathDatasets + "/" + string(id) }

// datasetsRoutes are those of datasets and receipts.
func (s *Server) datasetsRoutes() []Route {
	return []Route{
		{"GET", "/datasets", signedIn, s.listDatasets},
		{"GET", "/datasets/new", signedIn, s.datasetForm},
		{"POST", "/datasets/new", signedIn, s.createDataset},
		{"GET", "/datasets/{id}", signedIn, s.dataset},
		{"POST", "/datasets/{id}/files", signedInScript, s.addFiles},
		{"POST", "/datasets/{id}/files/sign", signedInScript, s.signFiles},
		{"POST", "/datasets/{id}/files/finish", signedInScript, s.finishFiles},
		{"POST", "/datasets/{id}/remove", signedIn, s.removeFile},
		{"POST", "/datasets/{id}/seal", signedIn, s.sealDataset},
		{"POST", "/datasets/{id}/retention", signedIn, s.setRetention},
		{"GET", "/datasets/{id}/erase", signedIn, s.askErase},
		{"POST", "/datasets/{id}/erase", signedIn, s.eraseDataset},
		{"GET", "/receipts", signedIn, s.listReceipts},
		{"GET", "/receipts/keys.pem", signedIn, s.receiptPublicKeys},
		{"GET", "/receipts/{uid}", signedIn, s.receipt},
		{"GET", "/receipts/{uid}/receipt.json", signedIn, s.receiptEnvelope},
	}
}

type datasetsPage struct {
	Page
	Erased   bool
	Datasets []datasetRow
	// Older leads to the next page; "" on the last.
	Older string
}

// datasetRow is a dataset with its words.
type datasetRow struct {
	portal.DatasetView
	Life datasetLife
}

func (s *Server) listDatasets(w http.ResponseWriter, r *request) error {
	query := r.URL.Query()
	page := &datasetsPage{Page: s.newPage(r, "Datasets"), Erased: query.Get("erased") == "1"}
	list, next, err := s.datasets.List(r.Context(), *r.who, page.Erased, cursorOf(query))
	if err != nil {
		return err
	}
	for _, d := range list {
		page.Datasets = append(page.Datasets, datasetRow{d, lifeOfDataset(d.Dataset, s.now())})
	}
	if next.ID != "" {
		page.Older = older(pathDatasets, next, map[bool]url.Values{true: {"erased": {"1"}}}[page.Erased])
	}
	return s.render(w, r, "datasets", page)
}

// cursorOf reads where a page of a list begins; what is not one is the beginning.
func cursorOf(query url.Values) portal.PageCursor {
	micros, err := strconv.ParseInt(query.Get("before"), 10, 64)
	if err != nil || query.Get("id") == "" {
		return portal.PageCursor{}
	}
	return portal.PageCursor{Time: time.UnixMicro(micros).UTC(), ID: query.Get("id")}
}

// older leads to the page after a cursor.
func older(path string, next portal.PageCursor, query url.Values) string {
	all := url.Values{"before": {strconv.FormatInt(next.Time.UnixMicro(), 10)}, "id": {next.ID}}
	for name, values := range query {
		all[name] = values
	}
	return path + "?" + all.Encode()
}

type datasetFormPage struct {
	Page
	ID            portal.DatasetID
	Name          string
	AfterTraining []option
	MaxAge        []option
	Max           string
}

// Windows that can be chosen.
var (
	windowsAfter = []time.Duration{0, time.Hour, 6 * time.Hour, 24 * time.Hour, 72 * time.Hour, 168 * time.Hour, 720 * time.Hour}
	windowsAge   = []time.Duration{24 * time.Hour, 72 * time.Hour, 168 * time.Hour, 720 * time.Hour, 2160 * time.Hour, 8760 * time.Hour}
)

// What is chosen at first: the API's own defaults.
const (
	defaultAfterTraining = 24 * time.Hour
	defaultMaxAge        = 720 * time.Hour
)

// windowOptions are the windows up to most, and most itself.
func windowOptions(windows []time.Duration, chosen, most time.Duration) []option {
	all := slices.Clone(windows)
	if most > 0 {
		all = slices.DeleteFunc(all, func(d time.Duration) bool { return d > most })
		if !slices.Contains(all, most) {
			all = append(all, most)
		}
	}
	options := make([]option, 0, len(all))
	for _, d := range all {
		options = append(options, option{Value: d.String(), Label: windowWords(d), Selected: d == chosen})
	}
	return options
}

// windowWords say how long in whole days or hours where it is that.
func windowWords(d time.Duration) string {
	switch {
	case d == 0:
		return "At once"
	case d%(24*time.Hour) == 0:
		return plural(int(d/(24*time.Hour)), "day", "days")
	case d%time.Hour == 0:
		return plural(int(d/time.Hour), "hour", "hours")
	default:
		return lasting(d)
	}
}

// readWindow takes what windowOptions offered; what is no time is refused by the use case.
func readWindow(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return -1
	}
	return d
}

func (s *Server) datasetFormPage(r *request, order portal.NewDataset) *datasetFormPage {
	return &datasetFormPage{
		Page: s.newPage(r, "New dataset"), ID: order.ID, Name: order.Name,
		AfterTraining: windowOptions(windowsAfter, order.AfterTraining, 0),
		MaxAge:        windowOptions(windowsAge, order.MaxAge, 0),
		Max:           fileSize(s.datasets.MaxBytes()),
	}
}

func (s *Server) datasetForm(w http.ResponseWriter, r *request) error {
	order := portal.NewDataset{ID: s.datasets.NewID(), AfterTraining: defaultAfterTraining, MaxAge: defaultMaxAge}
	return s.render(w, r, "dataset_new", s.datasetFormPage(r, order))
}

func (s *Server) createDataset(w http.ResponseWriter, r *request) error {
	order := portal.NewDataset{
		ID: portal.DatasetID(r.fields.one("id")), Name: r.fields.trimmed("name"),
		AfterTraining: readWindow(r.fields.one("after_training")), MaxAge: readWindow(r.fields.one("max_age")),
	}
	made, err := s.datasets.Create(r.Context(), *r.who, order)
	if err != nil {
		if !portal.LooksLikeID(string(order.ID)) {
			order.ID = s.datasets.NewID()
		}
		return s.again(w, r, "dataset_new", s.datasetFormPage(r, order), err)
	}
	return s.redirect(w, r, pathDataset(made.ID), "")
}

// filesTold are those of an upload that its page lists.
const filesTold = 200

type datasetPage struct {
	Page
	portal.DatasetView
	Life datasetLife
	Now  time.Time
	// Told are the first files of an open dataset.
	Told []portal.File
	More int64
	// AfterTraining and MaxAge are choices for a shorter time.
	AfterTraining, MaxAge []option
	Max                   int64
	// RunOn leads to the form for a run on it; "" for none.
	RunOn string
}

// Open reports whether files can be added.
func (p *datasetPage) Open() bool { return p.Life.Open }

// Files is how many it has, for the template's sake.
func (p *datasetPage) FileCount() string { return thousands(p.DatasetView.Files()) }

// Size is how large it is.
func (p *datasetPage) Size() string { return fileSize(p.Bytes()) }

func (s *Server) datasetPage(r *request) (*datasetPage, error) {
	view, err := s.datasets.Get(r.Context(), *r.who, datasetOf(r))
	if err != nil {
		return nil, err
	}
	now := s.now()
	page := &datasetPage{
		Page: s.newPage(r, view.Name), DatasetView: view, Life: lifeOfDataset(view.Dataset, now), Now: now, Max: s.datasets.MaxBytes(),
	}
	page.Live = page.Life.Moving
	if s.runs != nil && page.Life.Usable {
		page.RunOn = pathNewRun + "?dataset=" + url.QueryEscape(string(view.ID))
	}
	if page.Life.Shortens {
		after, age := view.Windows()
		page.AfterTraining = windowOptions(windowsAfter, after, max(after, time.Nanosecond))
		page.MaxAge = windowOptions(windowsAge, age, age)
		if after == 0 {
			page.AfterTraining = windowOptions(windowsAfter[:1], 0, 0)
		}
	}
	if !page.Life.Open {
		return page, nil
	}
	page.Told, err = s.datasets.Files(r.Context(), *r.who, view.ID, "", filesTold)
	page.More = view.Count.Files - int64(len(page.Told))
	return page, err
}

func (s *Server) dataset(w http.ResponseWriter, r *request) error {
	page, err := s.datasetPage(r)
	if err != nil {
		return err
	}
	if r.partial() {
		if !page.Life.Moving {
			w.Header().Set("HX-Refresh", "true") // other parts of the page change too
		}
		return s.part(w, r, "dataset", "status", page)
	}
	return s.renderDataset(w, r, page)
}

// renderDataset lets an open one's page reach the store.
func (s *Server) renderDataset(w http.ResponseWriter, r *request, page *datasetPage) error {
	if page.Life.Open {
		w.Header().Set("Content-Security-Policy", s.uploadPolicy)
	}
	return s.render(w, r, "dataset", page)
}

// onDataset shows the dataset's page again with what could not be done.
func (s *Server) onDataset(w http.ResponseWriter, r *request, cause error) error {
	if !told(cause) || portal.KindOf(cause) == portal.KindNotFound {
		return cause
	}
	page, err := s.datasetPage(r)
	if err != nil {
		return err
	}
	var e *portal.Error
	errors.As(cause, &e)
	page.Status = statuses[e.Kind]
	page.Problems = append(page.Problems, Problem{Field: e.Field, Message: e.Message})
	return s.renderDataset(w, r, page)
}

func (s *Server) removeFile(w http.ResponseWriter, r *request) error {
	if err := s.datasets.Remove(r.Context(), *r.who, datasetOf(r), []string{r.fields.one("path")}); err != nil {
		return s.onDataset(w, r, err)
	}
	return s.redirect(w, r, pathDataset(datasetOf(r)), noticeFileRemoved)
}

func (s *Server) sealDataset(w http.ResponseWriter, r *request) error {
	if _, err := s.datasets.Seal(r.Context(), *r.who, datasetOf(r)); err != nil {
		return s.onDataset(w, r, err)
	}
	return s.redirect(w, r, pathDataset(datasetOf(r)), noticeDatasetSealed)
}

func (s *Server) setRetention(w http.ResponseWriter, r *request) error {
	after, age := readWindow(r.fields.one("after_training")), readWindow(r.fields.one("max_age"))
	if _, err := s.datasets.SetRetention(r.Context(), *r.who, datasetOf(r), after, age); err != nil {
		return s.onDataset(w, r, err)
	}
	return s.redirect(w, r, pathDataset(datasetOf(r)), noticeRetentionSet)
}

func (s *Server) askErase(w http.ResponseWriter, r *request) error {
	page, err := s.datasetPage(r)
	if err != nil {
		return err
	}
	if !page.Life.Erasable {
		return s.redirect(w, r, pathDataset(page.ID), "")
	}
	page.Title, page.Live = "Erase a dataset", false
	return s.render(w, r, "dataset_erase", page)
}

func (s *Server) eraseDataset(w http.ResponseWriter, r *request) error {
	_, err := s.datasets.Erase(r.Context(), *r.who, datasetOf(r), r.fields.one("cancel") == "1")
	if err == nil {
		return s.redirect(w, r, pathDataset(datasetOf(r)), noticeDatasetErasing)
	}
	var used *portal.DatasetInUse
	if !errors.As(err, &used) {
		return err
	}
	page, again := s.datasetPage(r)
	if again != nil {
		return again
	}
	page.Title, page.Live = "Erase a dataset", false
	return s.again(w, r, "dataset_erase", page, err)
}
