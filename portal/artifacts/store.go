package artifacts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

const (
	dialTimeout   = 5 * time.Second
	answerTimeout = 30 * time.Second
	defaultRegion = "us-east-1"
	connections   = 32
	attempts      = 3
)

// Store reads from any store that a grant names. It keeps connections and nothing else.
// The zero value works.
type Store struct {
	// Public is where browsers reach the store, for links; "" for where the portal does.
	Public string

	mutex      sync.Mutex
	transports map[string]*http.Transport // by CA bundle
}

// client speaks to a grant's place.
func (s *Store) client(g portal.Grant) (*minio.Client, error) {
	u, err := url.Parse(g.Endpoint)
	if err != nil || u.Host == "" || u.Path != "" && u.Path != "/" {
		return nil, errors.New("use the store: its address is not one")
	}
	secure := u.Scheme == "https"
	if !secure && (u.Scheme != "http" || !g.InsecurePlaintext || len(g.Key) > 0) {
		return nil, errors.New("use the store: it has no TLS")
	}
	transport, err := s.transport(g.CABundle)
	if err != nil {
		return nil, err
	}
	region := g.Region
	if region == "" {
		region = defaultRegion // Else each client would have to ask for it.
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(g.AccessKeyID, g.SecretAccessKey, g.SessionToken),
		Secure: secure, Transport: transport, Region: region, MaxRetries: attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("use the store: %w", err)
	}
	return client, nil
}

func (s *Store) transport(ca string) (*http.Transport, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if t, ok := s.transports[ca]; ok {
		return t, nil
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("use the store: its CA bundle holds no certificate")
		}
	}
	t := &http.Transport{
		DialContext:     (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig: trust, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout,
		IdleConnTimeout: time.Minute, MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections,
		DisableCompression: true,
	}
	if s.transports == nil || len(s.transports) > 8 { // Bundles change when certificates do.
		s.transports = map[string]*http.Transport{}
	}
	s.transports[ca] = t
	return t, nil
}

// keyOf is the object's key of a file; portal.ErrNotFound for what can't be a file.
func keyOf(g portal.Grant, kind portal.FileKind, name string) (string, error) {
	if objectkey.ValidatePath(name) != nil {
		return "", portal.ErrNotFound
	}
	switch {
	case kind == portal.FileArtifact:
		return objectkey.Data(g.Prefix, name), nil
	case kind == portal.FileLog && strings.HasPrefix(g.Prefix+name, objectkey.LogsPrefix(g.Prefix)),
		kind == portal.FileCheckpoint && strings.HasPrefix(g.Prefix+name, objectkey.CheckpointsPrefix(g.Prefix)):
		return g.Prefix + name, nil
	default:
		return "", portal.ErrNotFound
	}
}

// Open reads a file.
func (s *Store) Open(ctx context.Context, g portal.Grant, kind portal.FileKind, name string) (portal.FileContent, error) {
	key, err := keyOf(g, kind, name)
	if err != nil {
		return portal.FileContent{}, err
	}
	return s.open(ctx, g, key)
}

func (s *Store) open(ctx context.Context, g portal.Grant, key string) (portal.FileContent, error) {
	client, err := s.client(g)
	if err != nil {
		return portal.FileContent{}, err
	}
	options, err := optionsOf(g)
	if err != nil {
		return portal.FileContent{}, err
	}
	body, info, _, err := minio.Core{Client: client}.GetObject(ctx, g.Bucket, key, options)
	if err != nil {
		return portal.FileContent{}, told(err)
	}
	return portal.FileContent{Body: body, Name: path.Base(key), Size: info.Size}, nil
}

// stat gives the size of a file.
func (s *Store) stat(ctx context.Context, g portal.Grant, key string) (int64, error) {
	client, err := s.client(g)
	if err != nil {
		return 0, err
	}
	options, err := optionsOf(g)
	if err != nil {
		return 0, err
	}
	info, err := client.StatObject(ctx, g.Bucket, key, options)
	if err != nil {
		return 0, told(err)
	}
	return info.Size, nil
}

func optionsOf(g portal.Grant) (minio.GetObjectOptions, error) {
	var options minio.GetObjectOptions
	if len(g.Key) == 0 {
		return options, nil
	}
	key, err := encrypt.NewSSEC(g.Key)
	if err != nil {
		return options, errors.New("use the key of the files: it is not one")
	}
	options.ServerSideEncryption = key
	return options, nil
}

// told turns an answer of the store into whose move it is. One that may not list gets a
// refusal for what is not there. The store's words may hold names of files: they are left
// out.
func told(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return unavailable
	}
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusForbidden:
		return portal.ErrNotFound
	default:
		return unavailable
	}
}

var unavailable = &portal.Error{Kind: portal.KindUnavailable, Message: "The store doesn't answer just now. Try again in a minute.", RetryAfter: 10 * time.Second}

// Link gives a file by a link to the store that is valid for life, or to be copied where a
// link can't open it.
func (s *Store) Link(ctx context.Context, g portal.Grant, kind portal.FileKind, name string, life time.Duration) (portal.FileContent, error) {
	if len(g.Key) > 0 {
		return s.Open(ctx, g, kind, name)
	}
	key, err := keyOf(g, kind, name)
	if err != nil {
		return portal.FileContent{}, err
	}
	size, err := s.stat(ctx, g, key)
	if err != nil {
		return portal.FileContent{}, err
	}
	if s.Public != "" {
		g.Endpoint = s.Public
	}
	client, err := s.client(g)
	if err != nil {
		return portal.FileContent{}, err
	}
	query := url.Values{
		"response-content-disposition": {Attachment(path.Base(key))},
		"response-content-type":        {"application/octet-stream"},
		"response-cache-control":       {"private, no-store"},
	}
	link, err := client.PresignedGetObject(ctx, g.Bucket, key, life, query)
	if err != nil {
		return portal.FileContent{}, fmt.Errorf("sign a link: %w", err)
	}
	return portal.FileContent{Link: link.String(), Name: path.Base(key), Size: size}, nil
}

// Attachment is the header Content-Disposition of a file that is to be kept, not shown.
func Attachment(name string) string {
	if value := mime.FormatMediaType("attachment", map[string]string{"filename": name}); value != "" {
		return value
	}
	return "attachment"
}

// read gives a whole small object.
func (s *Store) read(ctx context.Context, g portal.Grant, key string, most int64) ([]byte, error) {
	content, err := s.open(ctx, g, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Body.Close() }() // It was only read.
	data, err := io.ReadAll(io.LimitReader(content.Body, most+1))
	if err != nil {
		return nil, unavailable
	}
	if int64(len(data)) > most {
		return nil, errors.New("read an object: it is too long")
	}
	return data, nil
}
