package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

// maxJSON bounds what a script sends, in bytes: a batch of files with long paths.
const maxJSON = 2 << 20

// largeBody reports whether what is posted may be larger than a form. It is read only by
// handlers of scripts, after it was seen who asks.
func largeBody(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == "application/json" && strings.HasPrefix(r.URL.Path, pathDatasets+"/")
}

// uploadWorker is the script that computes digests, in a thread of its own.
const uploadWorker = "upload-worker.js"

// workerPolicy lets that script, and no page, compile WebAssembly. It reaches nothing.
const workerPolicy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'"

// uploadPolicy also allows requests to the stores.
func uploadPolicy(origins []string) (string, error) {
	allowed := "connect-src 'self'"
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.Scheme+"://"+u.Host != origin || strings.ContainsAny(u.Host, " ;,'\"*") {
			return "", fmt.Errorf("make the pages: %q is no origin of a store", origin)
		}
		allowed += " " + origin
	}
	return strings.Replace(contentSecurityPolicy, "connect-src 'self'", allowed, 1), nil
}

// scriptProblem is an error for a script of ours.
type scriptProblem struct {
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
	// RetryAfter is in seconds; 0 when trying again does not help.
	RetryAfter int `json:"retryAfter,omitempty"`
}

// failJSON answers a script.
func (s *Server) failJSON(w http.ResponseWriter, r *request, cause error) {
	kind := portal.KindOf(cause)
	if kind == portal.KindInternal || kind == portal.KindUnavailable {
		s.log.ErrorContext(r.Context(), "Request failed", "requestID", r.client.RequestID, "route", r.Pattern, "error", cause)
	}
	problem := scriptProblem{Message: errorWords[statuses[kind]][1]}
	var e *portal.Error
	if errors.As(cause, &e) && kind != portal.KindInternal {
		problem.Message, problem.Field = e.Message, e.Field
		retryAfter(w, e)
	}
	if kind == portal.KindInternal || kind == portal.KindUnavailable || kind == portal.KindTooMany {
		problem.RetryAfter = 2
		if after, err := strconv.Atoi(w.Header().Get("Retry-After")); err == nil {
			problem.RetryAfter = after
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statuses[kind])
	// What goes wrong here is the connection's.
	_ = json.NewEncoder(w).Encode(problem)
}

// readJSON reads what a script sends.
func readJSON(r *request, into any) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return portal.Invalid("", "This is not JSON.")
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return &portal.Error{Kind: portal.KindInvalid, Message: "What was sent could not be read, or is too large.", Err: err}
	}
	return nil
}

func datasetOf(r *request) portal.DatasetID { return portal.DatasetID(r.PathValue("id")) }

func (s *Server) addFiles(w http.ResponseWriter, r *request) error {
	var ask struct {
		Files []portal.FileClaim `json:"files"`
	}
	if err := readJSON(r, &ask); err != nil {
		return err
	}
	plans, err := s.datasets.AddFiles(r.Context(), *r.who, datasetOf(r), ask.Files)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"files": plans})
}

func (s *Server) signFiles(w http.ResponseWriter, r *request) error {
	var ask struct {
		Files []portal.WantedParts `json:"files"`
	}
	if err := readJSON(r, &ask); err != nil {
		return err
	}
	signed, err := s.datasets.Sign(r.Context(), *r.who, datasetOf(r), ask.Files)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"requests": signed})
}

func (s *Server) finishFiles(w http.ResponseWriter, r *request) error {
	var ask struct {
		Files []portal.FileDone `json:"files"`
	}
	if err := readJSON(r, &ask); err != nil {
		return err
	}
	results, err := s.datasets.Finish(r.Context(), *r.who, datasetOf(r), ask.Files)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"files": results})
}
