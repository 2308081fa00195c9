package rest

import (
	"context"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Datasets is what the API needs of the use cases of datasets and receipts.
type Datasets interface {
	DatasetActs
	DatasetFiles
	DatasetLists
}

// DatasetActs change datasets.
type DatasetActs interface {
	// Create gives the same dataset for the same ID.
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

// DatasetLists read datasets and receipts.
type DatasetLists interface {
	List(ctx context.Context, p portal.Principal, erased bool, after portal.PageCursor) ([]portal.DatasetView, portal.PageCursor, error)
	Get(ctx context.Context, p portal.Principal, id portal.DatasetID) (portal.DatasetView, error)
	Receipts(ctx context.Context, p portal.Principal, after portal.PageCursor) ([]portal.Receipt, portal.PageCursor, error)
	Receipt(ctx context.Context, p portal.Principal, uid string) (portal.Receipt, error)
}

const (
	readDatasets  = Access(portal.ScopeDatasetsRead)
	writeDatasets = Access(portal.ScopeDatasetsWrite)
)

const pathDatasets = "/api/v1/datasets"

func (s *Server) datasetRoutes() []Route {
	if s.Datasets == nil {
		return nil
	}
	return []Route{
		{"GET", pathDatasets, readDatasets, s.listDatasets},
		{"POST", pathDatasets, writeDatasets, s.createDataset},
		{"GET", pathDatasets + "/{id}", readDatasets, s.dataset},
		{"PATCH", pathDatasets + "/{id}", writeDatasets, s.setRetention},
		{"DELETE", pathDatasets + "/{id}", writeDatasets, s.eraseDataset},
		{"POST", pathDatasets + "/{id}/seal", writeDatasets, s.sealDataset},
		{"GET", pathDatasets + "/{id}/files", readDatasets, s.listFiles},
		{"POST", pathDatasets + "/{id}/files", writeDatasets, s.addFiles},
		{"POST", pathDatasets + "/{id}/files/sign", writeDatasets, s.signFiles},
		{"POST", pathDatasets + "/{id}/files/finish", writeDatasets, s.finishFiles},
		{"POST", pathDatasets + "/{id}/files/remove", writeDatasets, s.removeFiles},
		{"GET", "/api/v1/receipts", readDatasets, s.listReceipts},
		{"GET", "/api/v1/receipts/keys.pem", readDatasets, s.receiptPublicKeys},
		{"GET", "/api/v1/receipts/{uid}", readDatasets, s.receipt},
		{"GET", "/api/v1/receipts/{uid}/envelope", readDatasets, s.receiptEnvelope},
	}
}

// Dataset is what a person uploaded.
type Dataset struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
	// Reason and Message are why it is in its state, as far as there is something to say.
	Reason    string    `json:"reason,omitempty"`
	Message   string    `json:"message,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	Files     int64     `json:"files"`
	Bytes     int64     `json:"bytes"`
	// CompleteFiles are those of an open one that are in the store.
	CompleteFiles *int64 `json:"completeFiles,omitempty"`
	// Manifest is the digest of what was sealed.
	Manifest             string     `json:"manifest,omitempty"`
	AfterTrainingSeconds int64      `json:"afterTrainingSeconds"`
	MaxAgeSeconds        int64      `json:"maxAgeSeconds"`
	ErasedBy             *time.Time `json:"erasedBy,omitempty"`
	ErasedAt             *time.Time `json:"erasedAt,omitempty"`
	// Receipt is its UID.
	Receipt string   `json:"receipt,omitempty"`
	Hold    *Hold    `json:"hold,omitempty"`
	Erase   *Erase   `json:"erase,omitempty"`
	Runs    []UsedBy `json:"runs,omitempty"`
}

// Hold keeps data from being erased.
type Hold struct {
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
}

// Erase is how far one has come.
type Erase struct {
	StartedAt       time.Time `json:"startedAt"`
	Versions        int64     `json:"versions"`
	RemovedVersions int64     `json:"removedVersions"`
}

// UsedBy is a run that uses a dataset and has not ended.
type UsedBy struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// DatasetPage is the answer to GET /api/v1/datasets, newest first.
type DatasetPage struct {
	Datasets []Dataset `json:"datasets"`
	Next     string    `json:"next,omitempty"`
}

// States of datasets that the cluster does not tell: it has not made it yet, or it is gone.
const (
	datasetWaiting = "Waiting"
	datasetOpen    = "Open"
	datasetSealing = "Sealing"
	datasetErasing = "Erasing"
	datasetErased  = "Erased"
)

// DatasetStates are all of them.
func DatasetStates() []string {
	return []string{datasetWaiting, datasetOpen, datasetSealing, "Ready", "InUse", "Expiring", "Invalid", datasetErasing, datasetErased}
}

// datasetState is how far it is, also where the cluster has not followed a wish yet.
func datasetState(d portal.Dataset) string {
	state := d.Seen.State
	switch {
	case !d.ErasedAt.IsZero():
		return datasetErased
	case d.Wish == portal.WishErased:
		return datasetErasing
	case d.UID == "":
		return datasetWaiting
	case d.Wish == portal.WishSealed && (state == "" || state == datasetOpen):
		return datasetSealing
	case state == "":
		return datasetOpen
	}
	return state
}

func datasetOf(v portal.DatasetView) Dataset {
	after, age := v.Windows()
	d := Dataset{
		ID: string(v.ID), Name: v.Name, State: datasetState(v.Dataset), Reason: v.Seen.Reason, Message: v.Seen.Message,
		CreatedAt: v.CreatedAt.UTC(), Files: v.Files(), Bytes: v.Bytes(), Manifest: v.Seen.Manifest,
		AfterTrainingSeconds: int64(after / time.Second), MaxAgeSeconds: int64(age / time.Second),
		ErasedBy: moment(v.ErasedBy()), ErasedAt: moment(v.ErasedAt),
	}
	if d.State == datasetOpen || d.State == datasetWaiting {
		d.CompleteFiles = &v.Count.Complete
	}
	if v.Receipt != "" {
		d.Receipt = v.UID
	}
	if !v.Seen.HoldUntil.IsZero() {
		d.Hold = &Hold{Until: v.Seen.HoldUntil.UTC(), Reason: v.Seen.HoldReason}
	}
	if !v.Seen.EraseStartedAt.IsZero() {
		d.Erase = &Erase{StartedAt: v.Seen.EraseStartedAt.UTC(), Versions: v.Seen.Versions, RemovedVersions: v.Seen.RemovedVersions}
	}
	d.Runs = usedBy(v.Runs)
	return d
}

func usedBy(runs []portal.Run) []UsedBy {
	var list []UsedBy
	for _, run := range runs {
		list = append(list, UsedBy{ID: string(run.ID), Name: run.Name})
	}
	return list
}

// datasetAnswer is the answer of what changes or shows one.
func datasetAnswer(v portal.DatasetView, err error) (any, error) {
	if err != nil {
		return nil, pointing(err)
	}
	return datasetOf(v), nil
}

func datasetID(r *request) portal.DatasetID { return portal.DatasetID(r.PathValue("id")) }

// listDatasets handles GET /api/v1/datasets.
func (s *Server) listDatasets(r *request) (any, error) {
	after, err := pageCursor(r)
	if err != nil {
		return nil, err
	}
	erased, err := flag(r, "erased")
	if err != nil {
		return nil, err
	}
	list, next, err := s.Datasets.List(r.Context(), r.who, erased, after)
	if err != nil {
		return nil, err
	}
	page := DatasetPage{Datasets: make([]Dataset, len(list)), Next: cursorText(next)}
	for i, v := range list {
		page.Datasets[i] = datasetOf(v)
	}
	return page, nil
}

// NewDataset is the body of POST /api/v1/datasets.
type NewDataset struct {
	Name string `json:"name"`
	// AfterTrainingSeconds and MaxAgeSeconds are as on the page when they are not there.
	AfterTrainingSeconds *int64 `json:"afterTrainingSeconds"`
	MaxAgeSeconds        *int64 `json:"maxAgeSeconds"`
}

// What a dataset gets whose windows are not said: the API's own defaults.
const (
	defaultAfterTraining = 24 * time.Hour
	defaultMaxAge        = 720 * time.Hour
)

// createDataset handles POST /api/v1/datasets.
func (s *Server) createDataset(r *request) (any, error) {
	body, err := decodeBody[NewDataset](r, maxBody)
	if err != nil {
		return nil, err
	}
	id, err := keyedID[portal.DatasetID](r, "dataset")
	if err != nil {
		return nil, err
	}
	order := portal.NewDataset{ID: id, Name: body.Name, AfterTraining: defaultAfterTraining, MaxAge: defaultMaxAge}
	if body.AfterTrainingSeconds != nil {
		order.AfterTraining = duration(*body.AfterTrainingSeconds)
	}
	if body.MaxAgeSeconds != nil {
		order.MaxAge = duration(*body.MaxAgeSeconds)
	}
	made, err := s.Datasets.Create(r.Context(), r.who, order)
	if err != nil {
		return nil, pointing(err)
	}
	if made.Name != strings.TrimSpace(body.Name) {
		return nil, &portal.Error{Kind: portal.KindConflict, Field: keyHeader, Message: "Another dataset was made with this Idempotency-Key. Choose a new one for each dataset."}
	}
	return created(pathDatasets+"/"+string(made.ID), datasetOf(made)), nil
}

// dataset handles GET /api/v1/datasets/{id}.
func (s *Server) dataset(r *request) (any, error) {
	return datasetAnswer(s.Datasets.Get(r.Context(), r.who, datasetID(r)))
}

// sealDataset handles POST /api/v1/datasets/{id}/seal.
func (s *Server) sealDataset(r *request) (any, error) {
	return datasetAnswer(s.Datasets.Seal(r.Context(), r.who, datasetID(r)))
}

// Retention is the body of PATCH /api/v1/datasets/{id}: what is not there stays.
type Retention struct {
	AfterTrainingSeconds *int64 `json:"afterTrainingSeconds"`
	MaxAgeSeconds        *int64 `json:"maxAgeSeconds"`
}

// setRetention handles PATCH /api/v1/datasets/{id}.
func (s *Server) setRetention(r *request) (any, error) {
	body, err := decodeBody[Retention](r, maxBody)
	if err != nil {
		return nil, err
	}
	// Who may write a dataset may be told of it by what the write answers, so this is no
	// way around the scope to read.
	owner := r.who
	owner.Token = nil
	view, err := s.Datasets.Get(r.Context(), owner, datasetID(r))
	if err != nil {
		return nil, err
	}
	after, age := view.Windows()
	if body.AfterTrainingSeconds != nil {
		after = duration(*body.AfterTrainingSeconds)
	}
	if body.MaxAgeSeconds != nil {
		age = duration(*body.MaxAgeSeconds)
	}
	return datasetAnswer(s.Datasets.SetRetention(r.Context(), r.who, datasetID(r), after, age))
}

// eraseDataset handles DELETE /api/v1/datasets/{id}.
func (s *Server) eraseDataset(r *request) (any, error) {
	cancel, err := flag(r, "cancel")
	if err != nil {
		return nil, err
	}
	return datasetAnswer(s.Datasets.Erase(r.Context(), r.who, datasetID(r), cancel))
}
