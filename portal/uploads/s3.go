package uploads

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/lethe-dev/lethe/portal"
)

// defaultRegion is what stores without regions call themselves.
const defaultRegion = "us-east-1"

const (
	// storeTimeout bounds a request of the portal's own, manifests aside.
	storeTimeout = 30 * time.Second
	// completeTimeout is for a store that has to put thousands of parts together.
	completeTimeout = 5 * time.Minute
	// slowest is the rate in bytes a second below which a store counts as away.
	slowest = 256 << 10
	// storeRetries are minio-go's, of requests that failed on the way.
	storeRetries = 3
)

// S3 is the object store by its API. Use NewS3.
type S3 struct {
	// public is where browsers reach the store; "" for where the portal does.
	public string
	now    func() time.Time
	// patience is how long a transfer may take, but for its bytes.
	patience time.Duration

	mu         sync.Mutex
	transports map[[sha256.Size]byte]*http.Transport
}

var _ Objects = (*S3)(nil)

// NewS3 makes it. public is the URL at which browsers reach the store; "" where it is the
// grant's own.
func NewS3(public string, now func() time.Time) *S3 {
	return &S3{public: public, now: now, patience: 2 * storeTimeout, transports: map[[sha256.Size]byte]*http.Transport{}}
}

// Presign signs a PUT with the length of its body, and with the key that the store is to
// keep it under. It is good until the grant ends.
func (s *S3) Presign(ctx context.Context, g portal.Grant, r Request) (portal.SignedRequest, error) {
	core, err := s.client(g, s.public)
	if err != nil {
		return portal.SignedRequest{}, err
	}
	life := g.ExpiresAt.Sub(s.now()).Truncate(time.Second)
	if life < time.Second {
		return portal.SignedRequest{}, &portal.Error{Kind: portal.KindUnavailable, Message: "Try again in a moment.", RetryAfter: time.Second}
	}
	headers, sent := http.Header{}, map[string]string{}
	if err := underKey(g, headers); err != nil {
		return portal.SignedRequest{}, err
	}
	for name := range headers {
		sent[name] = headers.Get(name)
	}
	// Who sends it can't choose this header but by the body.
	headers.Set("Content-Length", strconv.FormatInt(r.Length, 10))
	query := url.Values{}
	if r.Upload != "" {
		query.Set("uploadId", r.Upload)
		query.Set("partNumber", strconv.Itoa(r.Part))
	}
	signed, err := core.PresignHeader(ctx, http.MethodPut, g.Bucket, r.Key, life, query, headers)
	if err != nil {
		return portal.SignedRequest{}, fmt.Errorf("sign request: %w", err)
	}
	return portal.SignedRequest{
		Method: http.MethodPut, URL: signed.String(), Headers: sent, ExpiresAt: s.now().Add(life).UTC(),
	}, nil
}

// underKey sets the headers of SSE-C.
func underKey(g portal.Grant, headers http.Header) error {
	side, err := encryption(g)
	if err != nil || side == nil {
		return err
	}
	side.Marshal(headers)
	return nil
}

func encryption(g portal.Grant) (encrypt.ServerSide, error) {
	if len(g.Key) == 0 {
		return nil, nil //nolint:nilnil // None is what minio-go calls no encryption.
	}
	side, err := encrypt.NewSSEC(g.Key)
	if err != nil {
		return nil, errors.New("use key: it does not have 32 bytes")
	}
	return side, nil
}

// timeFor bounds a transfer of some bytes: a store that stops to read must not keep others
// waiting for ever.
func (s *S3) timeFor(size int64) time.Duration {
	return s.patience + time.Duration(size/slowest)*time.Second
}

// Put stores an object. Above 16 MiB it goes in parts, one in memory at a time.
func (s *S3) Put(ctx context.Context, g portal.Grant, key string, body io.Reader, size int64) error {
	core, err := s.client(g, "")
	if err != nil {
		return err
	}
	side, err := encryption(g)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeFor(size))
	defer cancel()
	_, err = core.Client.PutObject(ctx, g.Bucket, key, body, size, minio.PutObjectOptions{
		ServerSideEncryption: side, PartSize: SinglePut, NumThreads: 1, Checksum: minio.ChecksumFullObjectCRC32C,
	})
	return explain("put object", err)
}

// Begin begins an upload under the grant's key.
func (s *S3) Begin(ctx context.Context, g portal.Grant, key string) (string, error) {
	core, err := s.client(g, "")
	if err != nil {
		return "", err
	}
	side, err := encryption(g)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	upload, err := core.NewMultipartUpload(ctx, g.Bucket, key, minio.PutObjectOptions{ServerSideEncryption: side})
	return upload, explain("begin upload", err)
}

// Parts lists what the store has.
func (s *S3) Parts(ctx context.Context, g portal.Grant, key, upload string) ([]Part, error) {
	core, err := s.client(g, "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	const page = 1000
	var parts []Part
	for marker := 0; ; {
		found, err := core.ListObjectParts(ctx, g.Bucket, key, upload, marker, page)
		if err != nil {
			return nil, explain("list parts", err)
		}
		for _, part := range found.ObjectParts {
			parts = append(parts, Part{Number: part.PartNumber, Size: part.Size, ETag: part.ETag})
		}
		if !found.IsTruncated || found.NextPartNumberMarker <= marker {
			return parts, nil
		}
		marker = found.NextPartNumberMarker
	}
}

// Complete makes the object. The policy of a grant asks for the key here too.
func (s *S3) Complete(ctx context.Context, g portal.Grant, key, upload string, parts []Part) error {
	core, err := s.client(g, "")
	if err != nil {
		return err
	}
	side, err := encryption(g)
	if err != nil {
		return err
	}
	all := make([]minio.CompletePart, 0, len(parts))
	for _, part := range parts {
		all = append(all, minio.CompletePart{PartNumber: part.Number, ETag: part.ETag})
	}
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	_, err = core.CompleteMultipartUpload(ctx, g.Bucket, key, upload, all, minio.PutObjectOptions{ServerSideEncryption: side})
	return explain("complete upload", err)
}

// Abort removes the parts.
func (s *S3) Abort(ctx context.Context, g portal.Grant, key, upload string) error {
	core, err := s.client(g, "")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err = explain("abort upload", core.AbortMultipartUpload(ctx, g.Bucket, key, upload))
	if errors.Is(err, ErrNoUpload) {
		return nil
	}
	return err
}

// client makes a client, which is cheap; connections are kept by the transport.
func (s *S3) client(g portal.Grant, endpoint string) (*minio.Core, error) {
	if endpoint == "" {
		endpoint = g.Endpoint
	}
	at, err := url.Parse(endpoint)
	if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" {
		return nil, errors.New("use store: its address is no URL of http or https")
	}
	if at.Scheme == "http" && (len(g.Key) > 0 || !g.InsecurePlaintext) {
		return nil, errors.New("use store: its address has no TLS, over which neither key nor data may go")
	}
	transport, err := s.transport(g)
	if err != nil {
		return nil, err
	}
	region := g.Region
	if region == "" {
		region = defaultRegion
	}
	core, err := minio.NewCore(at.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(g.AccessKeyID, g.SecretAccessKey, g.SessionToken),
		Secure: at.Scheme == "https", Region: region, Transport: transport, MaxRetries: storeRetries,
		TrailingHeaders: true, // checksums of what is streamed
	})
	if err != nil {
		return nil, fmt.Errorf("use store: %w", err)
	}
	return core, nil
}

// transport keeps one for each bundle of authorities: they change seldom.
func (s *S3) transport(g portal.Grant) (*http.Transport, error) {
	id := sha256.Sum256([]byte(g.CABundle))
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept, ok := s.transports[id]; ok {
		return kept, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if g.CABundle != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(g.CABundle)) {
			return nil, errors.New("use store: its authorities are not readable")
		}
	}
	made := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: config, ForceAttemptHTTP2: true,
		DialContext:           (&net.Dialer{Timeout: storeTimeout}).DialContext,
		MaxIdleConnsPerHost:   listAtOnce,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   storeTimeout,
		ResponseHeaderTimeout: storeTimeout,
		// As minio-go has it: the store's bytes are taken as they are.
		DisableCompression: true,
	}
	s.transports[id] = made
	return made, nil
}

// without is what may be told of an error. The words of the store and of the client hold
// addresses, and so the names of people's files.
func without(err error, answer minio.ErrorResponse) string {
	var slow net.Error
	var trust *tls.CertificateVerificationError
	switch {
	case answer.StatusCode != 0:
		return fmt.Sprintf("the store answers %s, status %d", answer.Code, answer.StatusCode)
	case errors.As(err, &trust):
		return "the certificate of the store is not trusted"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return "the store did not answer in time"
	}
	return "the store did not answer"
}

// explain makes errors of the store into the person's.
func explain(act string, err error) error {
	if err == nil {
		return nil
	}
	answer := minio.ToErrorResponse(err)
	cause := fmt.Errorf("%s: %s", act, without(err, answer))
	switch {
	case answer.Code == minio.NoSuchUpload:
		return fmt.Errorf("%s: %w", act, ErrNoUpload)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", act, context.Canceled)
	case answer.Code == minio.AccessDenied:
		return &portal.Error{
			Kind: portal.KindConflict, Err: cause,
			Message: "The store did not take it. The dataset may have been closed in the meantime; reload the page.",
		}
	case answer.StatusCode == 0 || answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests:
		return &portal.Error{
			Kind: portal.KindUnavailable, Err: cause, RetryAfter: 2 * time.Second,
			Message: "The store does not answer. Nothing is lost; it is tried again.",
		}
	}
	return cause
}
