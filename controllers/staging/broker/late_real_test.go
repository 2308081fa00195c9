package broker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// half of what a late writer sends; the other half comes after the erase.
var half = strings.Repeat("the data of a person ", 64<<10)

// late is a dataset on a real store with a writer who began in time.
type late struct {
	m      *objectstoretest.MinIO
	ring   *datasetkey.Ring
	key    objectstore.Key
	at     place
	object string
	core   *minio.Core
	// sse carries the dataset's key, and operator may do everything.
	sse      http.Header
	operator *objectstore.Client
}

func newLate(t *testing.T, m *objectstoretest.MinIO) *late {
	t.Helper()
	kube := fake.NewClientBuilder().WithScheme(testScheme(t)).Build()
	l := &late{m: m, ring: ringOf(t, kube), sse: http.Header{}, operator: m.Client(t, m.Root)}
	var err error
	if l.key, err = l.ring.Ensure(t.Context(), datasetUID); err != nil {
		t.Fatal(err)
	}
	if l.at, err = newPlace(m.Bucket(t, objectstoretest.Versioned), namespace, datasetUID); err != nil {
		t.Fatal(err)
	}
	l.object = objectkey.Data(l.at.prefix, "late")
	l.core = coreClient(t, m, grantUploads(t, m, l.at, clock.RealClock{}.Now().Add(time.Hour), true))
	customerKey(t, l.key).Marshal(l.sse)
	return l
}

// slow is a request whose body is sent half.
type slow struct {
	rest   io.WriteCloser
	answer chan error // nil for HTTP status 200
}

// begin sends a presigned PUT up to the middle of its body, and waits until the store
// has accepted it: it checks signature and policy before it asks for the body.
func (l *late) begin(t *testing.T, query url.Values) slow {
	t.Helper()
	address, err := l.core.PresignHeader(t.Context(), http.MethodPut, l.at.bucket, l.object, time.Hour, query, l.sse)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(accepted) }})
	body, rest := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, address.String(), body)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = int64(2 * len(half))
	request.Header = l.sse.Clone()
	request.Header.Set("Expect", "100-continue")
	way := transport(t, l.m)
	way.ExpectContinueTimeout = time.Minute
	s := slow{rest: rest, answer: make(chan error, 1)}
	go func() { s.answer <- send(way, request) }()
	select {
	case <-accepted:
	case err := <-s.answer:
		t.Fatalf("the store did not accept the request: %v", err)
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
	if _, err := io.WriteString(rest, half); err != nil {
		t.Fatalf("send the first half: %v", err)
	}
	return s
}

func send(way *http.Transport, request *http.Request) error {
	answer, err := way.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return errors.New(answer.Status + ": " + string(text))
	}
	return nil
}

// finish sends the other half and gives the store's answer.
func (s slow) finish(t *testing.T) error {
	t.Helper()
	_, err := io.WriteString(s.rest, half)
	if err == nil {
		err = s.rest.Close()
	}
	return errors.Join(err, <-s.answer)
}

// erase destroys the key and empties the place, as an erase does.
func (l *late) erase(t *testing.T) {
	t.Helper()
	if err := l.ring.Destroy(t.Context(), datasetUID); err != nil {
		t.Fatal(err)
	}
	for upload, err := range l.operator.ListUploads(t.Context(), l.at.bucket, "") {
		if err == nil {
			err = l.operator.AbortUpload(t.Context(), l.at.bucket, upload)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.operator.RemoveVersions(t.Context(), l.at.bucket, l.versions(t)); err != nil {
		t.Fatal(err)
	}
	if left := l.versions(t); len(left) > 0 {
		t.Fatalf("%d versions are left after the erase", len(left))
	}
}

func (l *late) versions(t *testing.T) []objectstore.Version {
	t.Helper()
	var all []objectstore.Version
	for version, err := range l.operator.ListVersions(t.Context(), l.at.bucket, l.at.prefix) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, version)
	}
	return all
}

func (l *late) read(ctx context.Context, key objectstore.Key) ([]byte, error) {
	body, err := l.operator.UnderKey(key).Get(ctx, l.at.bucket, l.object, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // It was only read.
	return io.ReadAll(body)
}

// unreadable wants what came late to be of no use to anybody, the store's own root
// user included. That it is there, and is the data, shows with the key that only this
// test has kept.
func (l *late) unreadable(t *testing.T) {
	t.Helper()
	if got := len(l.versions(t)); got != 1 {
		t.Fatalf("%d versions came late, want 1 for this test to mean something", got)
	}
	if _, err := l.ring.Get(t.Context(), datasetUID); !errors.Is(err, datasetkey.ErrNotFound) {
		t.Errorf("the key: %v, want ErrNotFound", err)
	}
	other, err := l.ring.Ensure(t.Context(), "22222222-aaaa-4aaa-8aaa-000000000004")
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]objectstore.Key{"no key": {}, "another dataset's key": other} {
		if data, err := l.read(t.Context(), key); !errors.Is(err, objectstore.ErrKey) || len(data) > 0 {
			t.Errorf("with %s: read %d bytes, %v; want ErrKey", name, len(data), err)
		}
	}
	if data, err := l.read(t.Context(), l.key); err != nil || !bytes.HasPrefix(data, []byte(half)) {
		t.Errorf("with the destroyed key: read %d bytes, %v; want the data", len(data), err)
	}
}

// TestLateWritersLeaveNothingReadable: the store checks a request when it begins, so
// one that was accepted can end after any deadline, and after the erase. What it
// brings then is under a key that is gone.
func TestLateWritersLeaveNothingReadable(t *testing.T) {
	t.Parallel()
	m := objectstoretest.StartMinIO(t)
	t.Run("by a presigned PUT that was under way", func(t *testing.T) {
		t.Parallel()
		l := newLate(t, m)
		put := l.begin(t, nil)
		l.erase(t)
		if err := put.finish(t); err != nil {
			t.Fatalf("the late PUT: %v", err)
		}
		l.unreadable(t)
	})
	t.Run("by a part that was under way", func(t *testing.T) {
		t.Parallel()
		l := newLate(t, m)
		u := uploads{t: t, core: l.core, at: l.at, key: customerKey(t, l.key)}
		id, err := u.begin(l.object)
		if err != nil {
			t.Fatal(err)
		}
		part := l.begin(t, url.Values{"uploadId": {id}, "partNumber": {"1"}})
		l.erase(t)
		// The store may take the part or not; the upload that it belongs to is gone.
		t.Logf("the late part: %v", part.finish(t))
		if err := u.complete(l.object, id, minio.CompletePart{PartNumber: 1, ETag: "00000000000000000000000000000000"}); err == nil {
			t.Error("an upload that was aborted could be completed")
		}
		if left := l.versions(t); len(left) > 0 {
			t.Errorf("%d versions came late", len(left))
		}
	})
	t.Run("by an upload that begins after it", func(t *testing.T) {
		t.Parallel()
		l := newLate(t, m)
		l.erase(t)
		u := uploads{t: t, core: l.core, at: l.at, key: customerKey(t, l.key)}
		id, err := u.begin(l.object)
		if err != nil {
			t.Fatal(err)
		}
		part := l.begin(t, url.Values{"uploadId": {id}, "partNumber": {"1"}})
		if err := part.finish(t); err != nil {
			t.Fatalf("the late part: %v", err)
		}
		parts, err := l.core.ListObjectParts(t.Context(), l.at.bucket, l.object, id, 0, 1)
		if err != nil || len(parts.ObjectParts) != 1 {
			t.Fatalf("%d parts, %v", len(parts.ObjectParts), err)
		}
		if err := u.complete(l.object, id, minio.CompletePart{PartNumber: 1, ETag: parts.ObjectParts[0].ETag}); err != nil {
			t.Fatalf("complete: %v", err)
		}
		l.unreadable(t)
	})
}
