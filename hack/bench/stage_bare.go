package main

import (
	"context"
	"crypto/md5" //nolint:gosec // G501: SSE-C demands it.
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
	"github.com/minio/minio-go/v7/pkg/signer"
	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/api/objectkey"
)

const (
	// bareSmall and bareParts are how many requests are under way at once: as many as
	// the stager's.
	bareSmall = 32
	bareParts = 4
	// barePart is the length of a range or part.
	barePart = 16 << 20
)

// bareStager speaks plain HTTP with signatures and the key, and does nothing with
// what it gets.
type bareStager struct {
	order   stageOrder
	http    *http.Client
	buffers sync.Pool
}

func newBareStager(o stageOrder) (*bareStager, error) {
	ca, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &bareStager{
		order: o,
		http: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableCompression: true,
			MaxIdleConnsPerHost: bareSmall, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		}},
		buffers: sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }},
	}, nil
}

// bareRequest is for an object whose key needs no escaping.
type bareRequest struct {
	method, key, query, byteRange string
	// send is the length of the body, which is zeros, and want that of the answer's.
	send, want int64
	// into is what the answer is read into; it is discarded if there is none.
	into []byte
}

// do sends one request and reads the answer to its end.
func (s *bareStager) do(ctx context.Context, r bareRequest) (http.Header, error) {
	var body io.Reader
	if r.send > 0 {
		body = io.LimitReader(zeros{}, r.send)
	}
	request, err := http.NewRequestWithContext(ctx, r.method, s.order.Endpoint+"/"+s.order.Bucket+"/"+r.key+r.query, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.ContentLength = r.send
	if r.byteRange != "" {
		request.Header.Set("Range", r.byteRange)
	}
	sum := md5.Sum(s.order.Key) //nolint:gosec // G401: SSE-C demands it.
	request.Header.Set("X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256")
	request.Header.Set("X-Amz-Server-Side-Encryption-Customer-Key", base64.StdEncoding.EncodeToString(s.order.Key))
	request.Header.Set("X-Amz-Server-Side-Encryption-Customer-Key-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	request.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	c := s.order.Credentials
	response, err := s.http.Do(signer.SignV4(*request, c.AccessKeyID, c.SecretAccessKey, c.SessionToken, "us-east-1"))
	if err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	n, err := s.read(response.Body, r.into)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode/100 != 2 || n != r.want {
		return nil, fmt.Errorf("the server answers %s and %d bytes", response.Status, n)
	}
	return response.Header, nil
}

// read reads to the end, and no more into a slice than it holds.
func (s *bareStager) read(body io.Reader, into []byte) (int64, error) {
	held, err := io.ReadFull(body, into)
	if err != nil {
		return int64(held), err
	}
	buffer, _ := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, *buffer)
	return n + int64(held), err
}

// each calls f for all numbers below n, some at once.
func each(ctx context.Context, n, atOnce int, f func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(n, atOnce) {
		group.Go(func() error {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := f(ctx, int(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (o stageOrder) load() load { return load{count: o.Count, size: o.Size} }

func (o stageOrder) parts() int { return int((o.Size + barePart - 1) / barePart) }

// bareIn reads objects that it knows. If it is to hash them, it does so for each file in
// order, as everybody must who wants to know that he got what he should.
func bareIn(ctx context.Context, o stageOrder) (stageAnswer, error) {
	s, err := newBareStager(o)
	if err != nil {
		return stageAnswer{}, err
	}
	start := time.Now()
	if o.parts() == 1 {
		err = each(ctx, o.Count, bareSmall, func(ctx context.Context, i int) error { return s.getWhole(ctx, i) })
	}
	for file := 0; err == nil && o.parts() > 1 && file < o.Count; file++ {
		err = s.getRanges(ctx, file)
	}
	return stageAnswer{Seconds: time.Since(start).Seconds()}, err
}

func (s *bareStager) getWhole(ctx context.Context, file int) error {
	r := bareRequest{method: http.MethodGet, key: objectkey.Data(s.order.Prefix, s.order.load().path(file)), want: s.order.Size}
	if s.order.Hash {
		r.into = make([]byte, s.order.Size)
	}
	_, err := s.do(ctx, r)
	_ = sha256.Sum256(r.into)
	return err
}

func (s *bareStager) getRanges(ctx context.Context, file int) error {
	o := s.order
	turns := make([]chan struct{}, o.parts()+1) // each is closed when all ranges before it are hashed
	for i := range turns {
		turns[i] = make(chan struct{})
	}
	close(turns[0])
	buffers := make(chan []byte, bareParts)
	for range bareParts {
		buffers <- make([]byte, barePart)
	}
	h := sha256.New()
	return each(ctx, o.parts(), bareParts, func(ctx context.Context, i int) error {
		offset := int64(i) * barePart
		length := min(barePart, o.Size-offset)
		r := bareRequest{
			method: http.MethodGet, key: objectkey.Data(o.Prefix, o.load().path(file)), want: length,
			byteRange: fmt.Sprintf("bytes=%d-%d", offset, offset+length-1),
		}
		if !o.Hash {
			_, err := s.do(ctx, r)
			return err
		}
		buffer := <-buffers
		defer func() { buffers <- buffer }()
		r.into = buffer[:length]
		if _, err := s.do(ctx, r); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-turns[i]:
		}
		_, _ = h.Write(r.into) // Never fails.
		close(turns[i+1])
		return nil
	})
}

// zeros is a body that costs nothing.
type zeros struct{}

// Read gives what p holds.
func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// bareOut writes objects of no interest.
func bareOut(ctx context.Context, o stageOrder) (stageAnswer, error) {
	s, err := newBareStager(o)
	if err != nil {
		return stageAnswer{}, err
	}
	start := time.Now()
	if o.parts() == 1 {
		err = each(ctx, o.Count, bareSmall, func(ctx context.Context, i int) error {
			key := objectkey.Data(o.Prefix, o.load().path(i))
			_, err := s.do(ctx, bareRequest{method: http.MethodPut, key: key, send: o.Size})
			return err
		})
	}
	for file := 0; err == nil && o.parts() > 1 && file < o.Count; file++ {
		err = s.putParts(ctx, objectkey.Data(o.Prefix, o.load().path(file)))
	}
	return stageAnswer{Seconds: time.Since(start).Seconds()}, err
}

func (s *bareStager) putParts(ctx context.Context, key string) error {
	address, err := url.Parse(s.order.Endpoint)
	if err != nil {
		return fmt.Errorf("read endpoint: %w", err)
	}
	c := s.order.Credentials
	core, err := minio.NewCore(address.Host, &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKeyID, c.SecretAccessKey, c.SessionToken), Secure: true,
		Transport: s.http.Transport, Region: "us-east-1",
	})
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	side, err := encrypt.NewSSEC(s.order.Key)
	if err != nil {
		return fmt.Errorf("use key: %w", err)
	}
	options := minio.PutObjectOptions{ServerSideEncryption: side}
	id, err := core.NewMultipartUpload(ctx, s.order.Bucket, key, options)
	if err != nil {
		return fmt.Errorf("begin upload: %w", err)
	}
	parts := make([]minio.CompletePart, s.order.parts())
	err = each(ctx, len(parts), bareParts, func(ctx context.Context, i int) error {
		length := min(barePart, s.order.Size-int64(i)*barePart)
		query := fmt.Sprintf("?partNumber=%d&uploadId=%s", i+1, url.QueryEscape(id))
		header, err := s.do(ctx, bareRequest{method: http.MethodPut, key: key, query: query, send: length})
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: header.Get("Etag")}
		return err
	})
	if err != nil {
		return err
	}
	_, err = core.CompleteMultipartUpload(ctx, s.order.Bucket, key, id, slices.Clip(parts), options)
	if err != nil {
		return fmt.Errorf("complete upload: %w", err)
	}
	return nil
}
