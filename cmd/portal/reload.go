package main

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// reloadCheck bounds how often files are looked at: what reads them must not cost more
// for it, and strangers can make it be read thousands of times a second.
const reloadCheck = 5 * time.Second

// reloaded is what was read of files, and is read again when one of them changes, so that
// a renewal needs no restart.
type reloaded[T any] struct {
	// what names it in the log.
	what  string
	paths []string
	read  func() (T, error)
	now   func() time.Time
	log   *slog.Logger

	mu      sync.Mutex
	current T
	// seen are the files that were read, whether or not they could be used.
	seen    []fileVersion
	checked time.Time
}

// fileVersion tells whether a file is the one that was read.
type fileVersion struct {
	modified time.Time
	size     int64
}

// newReloaded reads for the first time. What can't be used is an error now, and only a
// line of the log later.
func newReloaded[T any](r *reloaded[T]) (*reloaded[T], error) {
	r.checked = r.now()
	var err error
	if r.seen, err = look(r.paths); err != nil {
		return nil, fmt.Errorf("read %s: %w", r.what, err)
	}
	if r.current, err = r.read(); err != nil {
		return nil, err
	}
	return r, nil
}

// get gives what is in the files now, or was in them when they could last be used.
func (r *reloaded[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Sub(r.checked) < reloadCheck {
		return r.current
	}
	r.checked = now
	// Looked at before they are read: what changes in between is seen the next time.
	found, err := look(r.paths)
	if err != nil || same(found, r.seen) {
		return r.current // A file that is away is being replaced.
	}
	r.seen = found
	fresh, err := r.read()
	if err != nil {
		r.log.Error("A file has changed and can not be used; what was read before stays in use", "what", r.what, "cause", err.Error())
		return r.current
	}
	r.log.Info("A file has changed and was read again", "what", r.what)
	r.current = fresh
	return fresh
}

func look(paths []string) ([]fileVersion, error) {
	all := make([]fileVersion, len(paths))
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		all[i] = fileVersion{info.ModTime(), info.Size()}
	}
	return all, nil
}

func same(a, b []fileVersion) bool {
	for i := range a {
		if !a[i].modified.Equal(b[i].modified) || a[i].size != b[i].size {
			return false
		}
	}
	return true
}
