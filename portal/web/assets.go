package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

//go:embed static
var staticFiles embed.FS

// assets are the files that pages refer to, each under a name that holds a hash of its
// content, so that a browser may keep it for ever.
type assets struct {
	paths map[string]string // file below static -> path of the URL
	files map[string]file   // path of the URL below /static/ -> file
}

type file struct {
	mediaType string
	content   []byte
}

// mediaTypes are those of the files that are served; others, such as licences, are not.
var mediaTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

func loadAssets() (*assets, error) {
	a := &assets{paths: map[string]string{}, files: map[string]file{}}
	err := fs.WalkDir(staticFiles, "static", func(name string, entry fs.DirEntry, err error) error {
		mediaType, served := mediaTypes[path.Ext(name)]
		if err != nil || entry.IsDir() || !served {
			return err
		}
		content, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		name = strings.TrimPrefix(name, "static/")
		ext := path.Ext(name)
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a.paths[name] = "/static/" + hashed
		a.files[hashed] = file{mediaType, content}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the static files: %w", err)
	}
	return a, nil
}

// path gives the URL of a file, for templates.
func (a *assets) path(name string) (string, error) {
	p, ok := a.paths[name]
	if !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return p, nil
}

func (s *Server) static(w http.ResponseWriter, r *request) error {
	f, ok := s.assets.files[r.PathValue("file")]
	if !ok {
		return portal.ErrNotFound
	}
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if r.URL.Path == s.assets.paths[uploadWorker] {
		h.Set("Content-Security-Policy", workerPolicy)
	}
	_, err := w.Write(f.content)
	return err
}
