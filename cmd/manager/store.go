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
type storeSecret struct{ dir string }

// login is one of the store's users, as two files of the Secret.
type login struct {
	secret  *storeSecret
	id, key string
	clock   clock.PassiveClock

	mu     sync.Mutex
	cached objectstore.Credentials
	readAt time.Time
}

// operator is the user that the operator works as.
func (s *storeSecret) operator(clk clock.PassiveClock) *login {
	return &login{secret: s, id: "accessKey", key: "secretKey", clock: clk}
}

// auditor is the user that lists what an erase has left, and can do nothing else.
func (s *storeSecret) auditor(clk clock.PassiveClock) *login {
	return &login{secret: s, id: "auditAccessKey", key: "auditSecretKey", clock: clk}
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

// credentials reads the files again every half minute, so that a rotated Secret
// takes effect without a restart.
func (l *login) credentials(context.Context) (objectstore.Credentials, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.clock.Now(); l.readAt.IsZero() || now.Sub(l.readAt) > reread {
		id, err := l.secret.file(l.id)
		if err != nil {
			return objectstore.Credentials{}, err
		}
		secret, err := l.secret.file(l.key)
		if err != nil {
			return objectstore.Credentials{}, err
		}
		l.cached = objectstore.Credentials{AccessKeyID: string(id), SecretAccessKey: string(secret)}
		l.readAt = now
	}
	return l.cached, nil
}
