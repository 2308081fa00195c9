package web

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// runFilesPage lists one kind of a run's files.
type runFilesPage struct {
	Page
	Run   portal.Run
	Kind  portal.FileKind
	Found portal.RunFiles
	// Next is the path after which the next page begins; "" for none.
	Next string
}

// attemptOf reads which attempt is meant; 0 is the last.
func attemptOf(r *request) (int, error) {
	text := r.URL.Query().Get("attempt")
	if text == "" {
		return 0, nil
	}
	attempt, err := strconv.Atoi(text)
	if err != nil || attempt < 1 {
		return 0, portal.ErrNotFound
	}
	return attempt, nil
}

// fileKind reads which files are meant; artifacts when nothing is said.
func fileKind(r *request) (portal.FileKind, error) {
	switch kind := portal.FileKind(r.URL.Query().Get("kind")); kind {
	case "":
		return portal.FileArtifact, nil
	case portal.FileArtifact, portal.FileLog, portal.FileCheckpoint:
		return kind, nil
	default:
		return "", portal.ErrNotFound
	}
}

func (s *Server) runFiles(w http.ResponseWriter, r *request) error {
	kind, err := fileKind(r)
	if err != nil {
		return err
	}
	view, err := s.live.View(r.Context(), *r.who, portal.RunID(r.PathValue("id")))
	if err != nil {
		return err
	}
	var found portal.RunFiles
	if kind == portal.FileLog {
		var attempt int
		if attempt, err = attemptOf(r); err != nil {
			return err
		}
		found, err = s.live.Logs(r.Context(), *r.who, view.Run.ID, attempt)
	} else {
		found, err = s.live.Files(r.Context(), *r.who, view.Run.ID, kind, r.URL.Query().Get("after"), runFilesPageLength)
	}
	if err != nil {
		return err
	}
	title := map[portal.FileKind]string{portal.FileArtifact: "Results", portal.FileLog: "Logs", portal.FileCheckpoint: "Checkpoint"}[kind]
	page := &runFilesPage{Page: s.newPage(r, title+" of "+view.Run.Name), Run: view.Run, Kind: kind, Found: found}
	if found.More {
		page.Next = found.Files[len(found.Files)-1].Path
	}
	return s.render(w, r, "run_files", page)
}

// runDownload hands a file out: by a link to the store that is good for a minute.
func (s *Server) runDownload(w http.ResponseWriter, r *request) error {
	kind, err := fileKind(r)
	if err != nil {
		return err
	}
	content, err := s.live.Download(r.Context(), *r.who, portal.RunID(r.PathValue("id")), kind, r.URL.Query().Get("path"))
	if err != nil {
		return err
	}
	if content.Link != "" {
		http.Redirect(w, r.Request, content.Link, http.StatusSeeOther)
		return nil
	}
	defer func() { _ = content.Body.Close() }() // It was only read.
	attach(w, content.Name, "application/octet-stream")
	if content.Size >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(content.Size, 10))
	}
	w.WriteHeader(http.StatusOK)
	if _, err := io.Copy(s.patient(w), content.Body); err != nil {
		panic(http.ErrAbortHandler) // half a file must not look like a whole one
	}
	return nil
}

func attach(w http.ResponseWriter, name, mediaType string) {
	value := mime.FormatMediaType("attachment", map[string]string{"filename": name})
	if value == "" {
		value = "attachment"
	}
	w.Header().Set("Content-Disposition", value)
	w.Header().Set("Content-Type", mediaType)
}

// runZip sends all artifacts of a run in one archive, made as it is sent: the portal holds
// no more of it than a piece.
func (s *Server) runZip(w http.ResponseWriter, r *request) error {
	id := portal.RunID(r.PathValue("id"))
	view, err := s.live.View(r.Context(), *r.who, id)
	if err != nil {
		return err
	}
	files, err := s.live.Files(r.Context(), *r.who, id, portal.FileArtifact, "", runFilesPageLength)
	if err != nil {
		return err
	}
	if len(files.Files) == 0 {
		return &portal.Error{Kind: portal.KindNotFound, Message: "This run has no results yet."}
	}
	attach(w, string(view.Run.ID)+".zip", "application/zip")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if err := s.pack(w, r, id, files); err != nil {
		s.away(r, err)
		panic(http.ErrAbortHandler) // half an archive must not look like a whole one
	}
	return nil
}

func (s *Server) pack(w http.ResponseWriter, r *request, id portal.RunID, files portal.RunFiles) error {
	archive := zip.NewWriter(s.patient(w))
	for {
		for _, file := range files.Files {
			if err := s.packOne(archive, r, id, file); err != nil {
				return err
			}
		}
		if !files.More {
			return archive.Close()
		}
		var err error
		last := files.Files[len(files.Files)-1].Path
		if files, err = s.live.Files(r.Context(), *r.who, id, portal.FileArtifact, last, runFilesPageLength); err != nil {
			return err
		}
	}
}

func (s *Server) packOne(archive *zip.Writer, r *request, id portal.RunID, file portal.RunFile) error {
	content, err := s.live.Open(r.Context(), *r.who, id, file.Kind, file.Path)
	if err != nil {
		return err
	}
	defer func() { _ = content.Body.Close() }() // It was only read.
	// Weights don't get smaller: packing them would only take time.
	entry, err := archive.CreateHeader(&zip.FileHeader{Name: file.Path, Method: zip.Store, Modified: s.now().UTC()})
	if err != nil {
		return fmt.Errorf("begin a file of an archive: %w", err)
	}
	n, err := io.Copy(entry, content.Body)
	if err != nil {
		return fmt.Errorf("pack a file: %w", err)
	}
	if n != file.Size {
		return errors.New("pack a file: it is not as long as the manifest says")
	}
	return nil
}

// patient is an answer that may take as long as it goes on: each piece has its own limit.
func (s *Server) patient(w http.ResponseWriter) io.Writer {
	return &patientWriter{w: w, controller: http.NewResponseController(w), now: s.now}
}

type patientWriter struct {
	w          io.Writer
	controller *http.ResponseController
	now        func() time.Time
}

// pieceLimit is how long one piece of a file may take: 32 KiB at 1 KiB/s.
const pieceLimit = 30 * time.Second

func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.controller.SetWriteDeadline(p.now().Add(pieceLimit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}

// fileList is what the part "filelist" shows.
type fileList struct {
	Run   portal.RunID
	Files []portal.RunFile
}

// Href is where a file is handed out.
func (l fileList) Href(f portal.RunFile) string {
	return pathRun(l.Run) + "/download?" + url.Values{"kind": {string(f.Kind)}, "path": {f.Path}}.Encode()
}

// ListOf gives files for the part "filelist".
func (p *runPage) ListOf(files portal.RunFiles) fileList { return fileList{p.Run.ID, files.Files} }

// List gives the files for the part "filelist".
func (p *runFilesPage) List() fileList { return fileList{p.Run.ID, p.Found.Files} }
