package faultproxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest/faultproxy"
)

// private is what no error may contain: the name of somebody's file.
const private = "alice-diagnosis.pdf"

const key = "ns/uid/data/" + private

// scene is a bucket with something in it behind a proxy of its own.
type scene struct {
	proxy   *faultproxy.Proxy
	client  *objectstore.Client
	direct  *objectstore.Client
	auditor *audit.Auditor
	server  *objectstoretest.MinIO
	bucket  string
	upload  objectstore.Upload
}

func newScene(t *testing.T, server *objectstoretest.MinIO, objects int) *scene {
	t.Helper()
	p := faultproxy.Start(t, server)
	cfg := p.Config(server.Root)
	auditor, err := audit.New(audit.Config{Endpoint: cfg.Endpoint, CABundle: cfg.CABundle, Credentials: cfg.Credentials})
	if err != nil {
		t.Fatalf("make an auditor: %v", err)
	}
	s := &scene{
		proxy: p, server: server, client: p.Client(t, server.Root), direct: server.Client(t, server.Root), auditor: auditor,
		bucket: server.Bucket(t, objectstoretest.Versioned),
	}
	put(t, s.direct, s.bucket, key)
	const workers = 16
	var g sync.WaitGroup
	for worker := range min(workers, objects) {
		g.Go(func() {
			for i := worker; i < objects; i += workers {
				name := fmt.Sprintf("ns/uid/data/%05d", i)
				if err := s.direct.Put(t.Context(), s.bucket, name, strings.NewReader("x"), 1, objectstore.PutOptions{}); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	g.Wait()
	s.upload = server.BeginUpload(t, s.bucket, "ns/uid/data/unfinished")
	return s
}

func put(t *testing.T, c *objectstore.Client, bucket, key string) {
	t.Helper()
	if err := c.Put(t.Context(), bucket, key, strings.NewReader("contents"), 8, objectstore.PutOptions{}); err != nil {
		t.Fatalf("put: %v", err)
	}
}

func (s *scene) versions(ctx context.Context, c *objectstore.Client) (all []objectstore.Version, err error) {
	for v, err := range c.ListVersions(ctx, s.bucket, "ns/uid/") {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// operations are what a client does, each a single request, and with an answer that
// has a body or has none.
var operations = map[string]struct {
	answers bool
	do      func(ctx context.Context, s *scene) error
}{
	"list": {true, func(ctx context.Context, s *scene) error { return last(s.client.List(ctx, s.bucket, "ns/")) }},
	"list versions": {true, func(ctx context.Context, s *scene) error {
		return last(s.client.ListVersions(ctx, s.bucket, "ns/uid/"))
	}},
	"list uploads": {true, func(ctx context.Context, s *scene) error {
		return last(s.client.ListUploads(ctx, s.bucket, "ns/uid/"))
	}},
	"list owners": {true, func(ctx context.Context, s *scene) error { return last(s.client.ListOwners(ctx, s.bucket)) }},
	"facts": {true, func(ctx context.Context, s *scene) error {
		_, err := s.client.Facts(ctx, s.bucket)
		return err
	}},
	"get": {true, func(ctx context.Context, s *scene) error { return read(s.client.Get(ctx, s.bucket, key, 0, -1)) }},
	"put": {false, func(ctx context.Context, s *scene) error {
		return s.client.Put(ctx, s.bucket, key, strings.NewReader("x"), 1, objectstore.PutOptions{})
	}},
	"put under a key, in parts": {false, func(ctx context.Context, s *scene) error {
		k, err := objectstore.NewKey(bytes.Repeat([]byte{1}, objectstore.KeySize))
		if err != nil {
			return err
		}
		return s.client.UnderKey(k).Put(ctx, s.bucket, key, bytes.NewReader(make([]byte, 17<<20)), 17<<20, objectstore.PutOptions{})
	}},
	"remove": {true, func(ctx context.Context, s *scene) error {
		return s.client.RemoveVersions(ctx, s.bucket, []objectstore.Version{{Key: key, ID: "null"}})
	}},
	"remove a prefix": {false, func(ctx context.Context, s *scene) error { return s.client.RemovePrefix(ctx, s.bucket, "ns/uid/") }},
	"abort":           {false, func(ctx context.Context, s *scene) error { return s.client.AbortUpload(ctx, s.bucket, s.upload) }},
	"assume role": {true, func(ctx context.Context, s *scene) error {
		_, err := s.client.AssumeRole(ctx, `{"Version":"2012-10-17","Statement":[]}`, objectstore.MinSessionLife)
		return err
	}},
	"audit": {true, func(ctx context.Context, s *scene) error {
		empty, err := s.auditor.Empty(ctx, s.bucket, "ns/nobody/")
		if !empty && err == nil {
			return errors.New("not empty")
		}
		return err
	}},
}

func last[T any](entries func(yield func(T, error) bool)) (err error) {
	for _, err = range entries {
		if err != nil {
			return err
		}
	}
	return nil
}

func read(body io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	_, err = io.ReadAll(body)
	return errors.Join(err, body.Close())
}

func TestNothingFailsByItself(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	for name, op := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, server, 0)
			met := s.proxy.Fail(faultproxy.Match{}, faultproxy.Slow(20*time.Millisecond))
			if err := op.do(t.Context(), s); err != nil && name != "assume role" {
				t.Errorf("got error %v", err)
			}
			if met() == 0 {
				t.Error("no request came through the proxy")
			}
		})
	}
}

// TestFaultsOfEveryRequest lets each operation meet each fault at all of its
// requests: never is that a success, and never an error of another kind.
func TestFaultsOfEveryRequest(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	for name, c := range map[string]struct {
		fault   faultproxy.Fault
		want    error
		answers bool // It is about answers that have a body.
	}{
		"slow down":              {faultproxy.Refuse(http.StatusServiceUnavailable, "SlowDown"), objectstore.ErrUnavailable, false},
		"slow down, afterwards":  {faultproxy.RefuseAfter(http.StatusServiceUnavailable, "SlowDown"), objectstore.ErrUnavailable, false},
		"internal error":         {faultproxy.Refuse(http.StatusInternalServerError, "InternalError"), objectstore.ErrUnavailable, false},
		"bad gateway":            {faultproxy.Refuse(http.StatusBadGateway, ""), objectstore.ErrUnavailable, false},
		"denied":                 {faultproxy.Refuse(http.StatusForbidden, "AccessDenied"), objectstore.ErrDenied, false},
		"revoked":                {faultproxy.Refuse(http.StatusForbidden, "InvalidAccessKeyId"), objectstore.ErrDenied, false},
		"expired":                {faultproxy.Refuse(http.StatusBadRequest, "ExpiredToken"), objectstore.ErrDenied, false},
		"wrong clock":            {faultproxy.Refuse(http.StatusForbidden, "RequestTimeTooSkewed"), objectstore.ErrDenied, false},
		"reset":                  {faultproxy.Reset(), objectstore.ErrUnavailable, false},
		"reset, afterwards":      {faultproxy.ResetAfter(), objectstore.ErrUnavailable, false},
		"answers that break off": {faultproxy.BreakOff(), objectstore.ErrUnavailable, true},
		"answers cut short":      {faultproxy.Shorten(), objectstore.ErrUnavailable, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var g sync.WaitGroup // Most of the time they wait before they try again.
			for op, o := range operations {
				if c.answers && !o.answers || (name == "answers cut short" && op == "get") {
					continue // Nobody can tell half an object from a small one; the manifest does.
				}
				want := c.want
				if op == "remove a prefix" && errors.Is(want, objectstore.ErrDenied) {
					want = objectstore.ErrUnsupported // It may not read the configuration.
				}
				s := newScene(t, server, 0)
				met := s.proxy.Fail(faultproxy.Match{}, c.fault)
				g.Go(func() {
					err := o.do(t.Context(), s)
					if !errors.Is(err, want) || met() == 0 {
						t.Errorf("%s: got error %v, want %v", op, err, want)
					}
					if err != nil && strings.Contains(err.Error(), private) {
						t.Errorf("%s: the error names a key: %v", op, err)
					}
				})
			}
			g.Wait()
		})
	}
}

func TestSilenceEndsWithTheContext(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	for name, fault := range map[string]faultproxy.Fault{"before": faultproxy.Silence(), "afterwards": faultproxy.SilenceAfter()} {
		for op, o := range operations {
			t.Run(op+", "+name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, server, 0)
				s.proxy.Fail(faultproxy.Match{}, fault)
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				if err := o.do(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
				}
			})
		}
	}
}

// TestListingsAreWholeOrFail lets one request in the middle of a listing fail.
func TestListingsAreWholeOrFail(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	const objects = objectstore.MaxBatch + 20
	s := newScene(t, server, objects)
	direct, err := s.versions(t.Context(), s.direct)
	if err != nil || len(direct) != objects+1 {
		t.Fatalf("listed %d versions: %v", len(direct), err)
	}
	for name, c := range map[string]struct {
		fault faultproxy.Fault
		times int
		want  error
	}{
		"a slow page":                      {faultproxy.Slow(50 * time.Millisecond), 1, nil},
		"a page that is refused once":      {faultproxy.Refuse(http.StatusServiceUnavailable, "SlowDown"), 1, nil},
		"a page whose connection breaks":   {faultproxy.Reset(), 1, nil},
		"a page that is refused for ever":  {faultproxy.Refuse(http.StatusServiceUnavailable, "SlowDown"), 0, objectstore.ErrUnavailable},
		"a page that breaks off":           {faultproxy.BreakOff(), 1, objectstore.ErrUnavailable},
		"a page that is cut short":         {faultproxy.Shorten(), 1, objectstore.ErrUnavailable},
		"credentials revoked after a page": {faultproxy.Refuse(http.StatusForbidden, "InvalidAccessKeyId"), 0, objectstore.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := *s
			own.proxy = faultproxy.Start(t, server)
			own.client = own.proxy.Client(t, server.Root)
			met := own.proxy.Fail(faultproxy.Match{Method: http.MethodGet, Query: "versions", First: 2, Times: c.times}, c.fault)
			got, err := own.versions(t.Context(), own.client)
			if !errors.Is(err, c.want) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
			if c.want == nil && !slices.Equal(got, direct) {
				t.Errorf("got %d versions, want %d", len(got), len(direct))
			}
			if c.want != nil && len(got) != objectstore.MaxBatch {
				t.Errorf("got %d versions before the error, want a page", len(got))
			}
			if met() == 0 {
				t.Error("no request met the fault")
			}
		})
	}
}

// TestRemovalsAreConfirmedOrFail: what the answer does not confirm is asked for again.
func TestRemovalsAreConfirmedOrFail(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	bulk := faultproxy.Match{Method: http.MethodPost, Query: "delete"}
	once := faultproxy.Match{Method: http.MethodPost, Query: "delete", Times: 1}
	for name, c := range map[string]struct {
		match faultproxy.Match
		fault faultproxy.Fault
		want  error
	}{
		"one key is denied":                {bulk, faultproxy.KeyErrors("00001", "AccessDenied"), objectstore.ErrDenied},
		"one key is locked":                {bulk, faultproxy.KeyErrors("00001", "InvalidRequest"), objectstore.ErrDenied},
		"one key fails":                    {bulk, faultproxy.KeyErrors("00001", "InternalError"), objectstore.ErrUnavailable},
		"all keys are to wait":             {bulk, faultproxy.KeyErrors("", "SlowDown"), objectstore.ErrUnavailable},
		"one key is not to be found":       {bulk, faultproxy.KeyErrors("00001", "NoSuchVersion"), nil},
		"one key is not understood":        {bulk, faultproxy.KeyErrors("00001", "InvalidArgument"), nil},
		"one key is not mentioned":         {bulk, faultproxy.KeySilence("00001"), nil},
		"none is mentioned":                {bulk, faultproxy.KeySilence(""), nil},
		"the answer is lost once":          {once, faultproxy.ResetAfter(), nil},
		"the answer is lost for ever":      {bulk, faultproxy.ResetAfter(), objectstore.ErrUnavailable},
		"the request is lost once":         {once, faultproxy.Reset(), nil},
		"the request is refused, once":     {once, faultproxy.Refuse(http.StatusServiceUnavailable, "SlowDown"), nil},
		"the answer breaks off":            {bulk, faultproxy.BreakOff(), objectstore.ErrUnavailable},
		"the answer is cut short":          {bulk, faultproxy.Shorten(), objectstore.ErrUnavailable},
		"the store's clock goes wrong":     {bulk, faultproxy.Refuse(http.StatusForbidden, "RequestTimeTooSkewed"), objectstore.ErrDenied},
		"the credentials are revoked then": {bulk, faultproxy.Refuse(http.StatusForbidden, "InvalidAccessKeyId"), objectstore.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, server, 5)
			all, err := s.versions(t.Context(), s.direct)
			if err != nil {
				t.Fatalf("list: %v", err)
			}
			met := s.proxy.Fail(c.match, c.fault)
			err = s.client.RemoveVersions(t.Context(), s.bucket, all)
			if !errors.Is(err, c.want) || (c.want != nil && err == nil) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
			if met() == 0 {
				t.Error("no request met the fault")
			}
			left, errList := s.versions(t.Context(), s.direct)
			if errList != nil {
				t.Fatalf("list: %v", errList)
			}
			if err == nil && len(left) > 0 {
				t.Errorf("success, and %d versions are left", len(left))
			}
			s.proxy.Heal()
			if err := s.client.RemoveVersions(t.Context(), s.bucket, all); err != nil {
				t.Errorf("the second time: %v", err)
			}
			if left, errList := s.versions(t.Context(), s.direct); len(left) > 0 || errList != nil {
				t.Errorf("%d versions are left: %v", len(left), errList)
			}
		})
	}
}

func TestClockAndRevocation(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	s := newScene(t, server, 0)
	for name, c := range map[string]struct {
		wrong time.Duration
		want  error
	}{
		"right":          {0, nil},
		"a little late":  {-10 * time.Minute, nil},
		"a little early": {10 * time.Minute, nil},
		"hours late":     {-2 * time.Hour, objectstore.ErrDenied},
		"days early":     {48 * time.Hour, objectstore.ErrDenied},
	} {
		s.proxy.SetClock(c.wrong)
		if _, err := s.versions(t.Context(), s.client); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
		want := time.Now().Add(c.wrong)
		if diff := dateOf(t, s).Sub(want).Abs(); diff > time.Minute {
			t.Errorf("%s: the Date is %s off", name, diff)
		}
	}
	s.proxy.Heal()
	s.proxy.Revoke()
	if _, err := s.versions(t.Context(), s.client); !errors.Is(err, objectstore.ErrDenied) {
		t.Errorf("got error %v, want %v", err, objectstore.ErrDenied)
	}
	s.proxy.Heal()
	got, err := s.versions(t.Context(), s.client)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	if diff := cmp.Diff(1, len(got)); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}

// dateOf asks for the health of the store, which takes no signature.
func dateOf(t *testing.T, s *scene) time.Time {
	t.Helper()
	client := httpClient(t, s.proxy.CA)
	response, err := client.Get(s.proxy.Endpoint + "/minio/health/live")
	if err != nil {
		t.Fatalf("ask for the date: %v", err)
	}
	_ = response.Body.Close()
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		t.Fatalf("read the date: %v", err)
	}
	return date
}

func httpClient(t *testing.T, ca []byte) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("the proxy's authority is not readable")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}
