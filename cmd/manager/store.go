package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// storeSecret is the mounted Secret with the facts about the store.
type storeSecret struct {
	dir   string
	clock clock.PassiveClock

	mu     sync.Mutex
	cached objectstore.Credentials
	readAt time.Time
}

// reread is how long credentials are kept before the files are looked at again:
// the kubelet takes about a minute to update a mounted Secret anyway.
const reread = 30 * time.Second

func (s *storeSecret) file(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return nil, fmt.Errorf("read the store's %s: %w", name, err)
	}
	return bytes.TrimSpace(data), nil
}

// endpoint is the store's URL.
func (s *storeSecret) endpoint() (string, error) {
	data, err := s.file("endpoint")
	return string(data), err
}

// caBundle is nil when the system's certificates serve.
func (s *storeSecret) caBundle() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, "ca.crt"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the store's ca.crt: %w", err)
	}
	return data, nil
}

// credentials reads the operator's own key, again every half minute, so that a
// rotated Secret takes effect without a restart.
func (s *storeSecret) credentials(context.Context) (objectstore.Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.clock.Now(); s.readAt.IsZero() || now.Sub(s.readAt) > reread {
		id, err := s.file("accessKey")
		if err != nil {
			return objectstore.Credentials{}, err
		}
		secret, err := s.file("secretKey")
		if err != nil {
			return objectstore.Credentials{}, err
		}
		s.cached = objectstore.Credentials{AccessKeyID: string(id), SecretAccessKey: string(secret)}
		s.readAt = now
	}
	return s.cached, nil
}
