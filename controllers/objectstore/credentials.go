package objectstore

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// rotating stands between CredentialsFunc and minio-go. minio-go would call a
// provider apart from the request's context and under a lock, so that one slow
// answer stops everybody beyond cancelling. So the function is asked before each
// operation, and after each request for the one that follows it in the same
// operation (the next page, the next part); minio-go only picks up the result.
type rotating struct {
	ask    CredentialsFunc
	next   http.RoundTripper
	latest atomic.Pointer[Credentials]
	// server is what the store called itself in its last answer.
	server atomic.Pointer[string]
	// given is the last value that minio-go got; guarded by its lock.
	given *Credentials
}

var (
	_ credentials.Provider = (*rotating)(nil)
	_ http.RoundTripper    = (*rotating)(nil)
)

// refresh asks for the credentials of the moment.
func (r *rotating) refresh(ctx context.Context) (Credentials, error) {
	if err := ctx.Err(); err != nil {
		return Credentials{}, err
	}
	c, err := r.ask(ctx)
	if err != nil {
		return Credentials{}, fmt.Errorf("get the store's credentials: %w", err)
	}
	if last := r.latest.Load(); last == nil || *last != c {
		r.latest.Store(&c)
	}
	return c, nil
}

// RoundTrip sends a request that is signed already, and then looks for newer
// credentials for the next one: a large part can take longer than its own were
// good for. When there are none to be had, the next may still succeed with the old.
func (r *rotating) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := r.next.RoundTrip(request)
	if err == nil {
		name := answer.Header.Get("Server")
		r.server.Store(&name)
	}
	_, _ = r.refresh(request.Context())
	return answer, err
}

// serverName gives what the store called itself in its last answer.
func (r *rotating) serverName() string {
	if name := r.server.Load(); name != nil {
		return *name
	}
	return ""
}

// IsExpired implements credentials.Provider.
func (r *rotating) IsExpired() bool { return r.given == nil || r.given != r.latest.Load() }

// RetrieveWithCredContext implements credentials.Provider.
func (r *rotating) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	r.given = r.latest.Load()
	return credentials.Value{
		AccessKeyID:     r.given.AccessKeyID,
		SecretAccessKey: r.given.SecretAccessKey,
		SessionToken:    r.given.SessionToken,
		Expiration:      r.given.ExpiresAt,
		SignerType:      credentials.SignatureV4,
	}, nil
}

// Retrieve implements credentials.Provider.
func (r *rotating) Retrieve() (credentials.Value, error) { return r.RetrieveWithCredContext(nil) }
