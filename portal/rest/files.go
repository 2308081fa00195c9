package rest

import (
	"github.com/lethe-dev/lethe/portal"
)

// filesPerPage is how many files a page has at most.
const filesPerPage = 1000

// File is one of a dataset that is being uploaded.
type File struct {
	Path     string `json:"path"`
	Size     int64  `json:"size"`
	Complete bool   `json:"complete"`
	SHA256   string `json:"sha256,omitempty"`
}

// FilePage is the answer to GET /api/v1/datasets/{id}/files, by path.
type FilePage struct {
	Files []File `json:"files"`
	Next  string `json:"next,omitempty"`
}

// listFiles handles GET /api/v1/datasets/{id}/files. Its cursor is a path, which paths never
// look like.
func (s *Server) listFiles(r *request) (any, error) {
	limit, err := limitOf(r, filesPerPage)
	if err != nil {
		return nil, err
	}
	found, err := s.Datasets.Files(r.Context(), r.who, datasetID(r), r.URL.Query().Get("after"), limit+1)
	if err != nil {
		return nil, err
	}
	page := FilePage{Files: []File{}}
	if len(found) > limit {
		found = found[:limit]
		page.Next = found[limit-1].Path
	}
	for _, f := range found {
		page.Files = append(page.Files, File{Path: f.Path, Size: f.Size, Complete: f.Complete(), SHA256: f.SHA256})
	}
	return page, nil
}

// Bodies and answers about files.
type (
	claims struct {
		Files []portal.FileClaim `json:"files"`
	}
	wantedParts struct {
		Files []portal.WantedParts `json:"files"`
	}
	doneFiles struct {
		Files []portal.FileDone `json:"files"`
	}
	goneFiles struct {
		Files []string `json:"files"`
	}

	// FilePlans is the answer to POST /api/v1/datasets/{id}/files.
	FilePlans struct {
		Files []portal.FilePlan `json:"files"`
	}
	// SignedParts is the answer to POST /api/v1/datasets/{id}/files/sign.
	SignedParts struct {
		Requests []portal.SignedPart `json:"requests"`
	}
	// FileResults is the answer to POST /api/v1/datasets/{id}/files/finish.
	FileResults struct {
		Files []portal.FileResult `json:"files"`
	}
)

// addFiles handles POST /api/v1/datasets/{id}/files.
func (s *Server) addFiles(r *request) (any, error) {
	body, err := decodeBody[claims](r, maxFilesBody)
	if err != nil {
		return nil, err
	}
	plans, err := s.Datasets.AddFiles(r.Context(), r.who, datasetID(r), body.Files)
	if err != nil {
		return nil, pointing(err)
	}
	return FilePlans{Files: plans}, nil
}

// signFiles handles POST /api/v1/datasets/{id}/files/sign.
func (s *Server) signFiles(r *request) (any, error) {
	body, err := decodeBody[wantedParts](r, maxFilesBody)
	if err != nil {
		return nil, err
	}
	signed, err := s.Datasets.Sign(r.Context(), r.who, datasetID(r), body.Files)
	if err != nil {
		return nil, pointing(err)
	}
	for i := range signed {
		signed[i].ExpiresAt = signed[i].ExpiresAt.UTC()
	}
	return SignedParts{Requests: signed}, nil
}

// finishFiles handles POST /api/v1/datasets/{id}/files/finish.
func (s *Server) finishFiles(r *request) (any, error) {
	body, err := decodeBody[doneFiles](r, maxFilesBody)
	if err != nil {
		return nil, err
	}
	results, err := s.Datasets.Finish(r.Context(), r.who, datasetID(r), body.Files)
	if err != nil {
		return nil, pointing(err)
	}
	return FileResults{Files: results}, nil
}

// removeFiles handles POST /api/v1/datasets/{id}/files/remove.
func (s *Server) removeFiles(r *request) (any, error) {
	body, err := decodeBody[goneFiles](r, maxFilesBody)
	if err != nil {
		return nil, err
	}
	return nil, pointing(s.Datasets.Remove(r.Context(), r.who, datasetID(r), body.Files))
}
