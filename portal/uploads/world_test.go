package uploads_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/uploads"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// errKilled is what everything gives to a portal that was killed.
var errKilled = errors.New("killed")

var errAway = &portal.Error{Kind: portal.KindUnavailable, Message: "The cluster does not answer.", RetryAfter: time.Second}

// calls counts calls and kills the portal at one of them: nothing works from then on.
type calls struct {
	mu sync.Mutex
	// at is the call that is the last, before or after it took effect; 0 for none.
	at    int
	after bool
	made  int
	names []string
	dead  bool
}

func (c *calls) do(name string, f func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return errKilled
	}
	c.made++
	c.names = append(c.names, name)
	if c.made == c.at && !c.after {
		c.dead = true
		return errKilled
	}
	err := f()
	if c.made == c.at {
		c.dead = true
		return errKilled
	}
	return err
}

// object is a DatasetRetention.
type object struct {
	uid           string
	order         portal.DatasetOrder
	sealed        bool
	deleting      bool
	after, maxAge time.Duration
}

// world is a cluster and its store.
type world struct {
	t     *testing.T
	store portal.Store
	clock *portaltest.Clock
	calls *calls

	mu   sync.Mutex
	away bool
	// loses has the answer to the next create get lost, and refuses refuses each.
	loses   bool
	refuses error
	tenants map[string]portal.TenantOrder
	objects map[string]*object
	made    int
	// blobs by key, and uploads by ID.
	blobs     map[string]string
	uploads   map[string]map[int]string
	keys      map[string]string // of uploads
	begun     int
	grants    int
	cancelled []portal.RunID
	// meanwhile runs before the read of the database at which until comes to zero.
	until     atomic.Int64
	meanwhile func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{
		t: t, store: portaltest.Store(t), clock: &portaltest.Clock{}, calls: &calls{},
		tenants: map[string]portal.TenantOrder{}, objects: map[string]*object{},
		blobs: map[string]string{}, uploads: map[string]map[int]string{}, keys: map[string]string{},
	}
}

// service is a portal that was just started.
func (w *world) service(options uploads.Options) *uploads.Service {
	w.t.Helper()
	s, err := uploads.New(uploads.Dependencies{
		Store: killable{w.store, w.calls, w.reading}, Cluster: w, Broker: w, Objects: (*fakeStore)(w), Runs: w,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: w.clock.Now, Random: portaltest.Random(3),
	}, options)
	if err != nil {
		w.t.Fatalf("make the service: %v", err)
	}
	return s
}

// person is a verified account that is signed in.
func (w *world) person() portal.Principal {
	w.t.Helper()
	account := portaltest.Account()
	if err := w.store.Write(w.t.Context(), func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, account) }); err != nil {
		w.t.Fatalf("make a person: %v", err)
	}
	return portal.Principal{Account: account, Session: &portal.Session{Account: account.ID}}
}

// killable is the store of a portal that may be killed.
type killable struct {
	portal.Store
	calls *calls
	// reading is called before each read.
	reading func()
}

func (w *world) reading() {
	if w.until.Add(-1) == 0 {
		w.meanwhile()
	}
}

func (k killable) Write(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return k.calls.do("write", func() error { return k.Store.Write(ctx, f) })
}

func (k killable) Read(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	k.reading()
	return k.calls.do("read", func() error { return k.Store.Read(ctx, f) })
}

// call is one to the cluster or the store.
func (w *world) call(name string, f func() error) error {
	return w.calls.do(name, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.away {
			return errAway
		}
		return f()
	})
}

func place(namespace, name string) string { return namespace + "/" + name }

func (w *world) EnsureTenant(_ context.Context, order portal.TenantOrder) error {
	return w.call("tenant", func() error {
		if there, ok := w.tenants[order.Namespace]; ok {
			there.Label = order.Label
			order = there
		}
		w.tenants[order.Namespace] = order
		return nil
	})
}

func (w *world) CreateDataset(_ context.Context, order portal.DatasetOrder) (uid string, err error) {
	err = w.call("create", func() error {
		if w.refuses != nil {
			return w.refuses
		}
		at := place(order.Namespace, order.Object)
		if w.objects[at] == nil {
			w.made++
			w.objects[at] = &object{
				uid: fmt.Sprintf("00000000-0000-0000-0000-%012d", w.made), order: order, after: order.AfterTraining, maxAge: order.MaxAge,
			}
		}
		uid = w.objects[at].uid
		if w.loses {
			uid, w.loses = "", false
			return errAway
		}
		return nil
	})
	return uid, err
}

func (w *world) SealDataset(_ context.Context, namespace, name string) error {
	return w.call("seal", func() error {
		o := w.objects[place(namespace, name)]
		if o == nil {
			return portal.ErrNotFound
		}
		o.sealed = true
		return nil
	})
}

func (w *world) SetRetention(_ context.Context, namespace, name string, after, maxAge time.Duration) error {
	return w.call("retention", func() error {
		o := w.objects[place(namespace, name)]
		if o == nil {
			return portal.ErrNotFound
		}
		o.after, o.maxAge = min(o.after, after), min(o.maxAge, maxAge)
		return nil
	})
}

func (w *world) DeleteDataset(_ context.Context, namespace, name, uid string) error {
	return w.call("delete", func() error {
		if o := w.objects[place(namespace, name)]; o != nil && (uid == "" || o.uid == uid) {
			o.deleting = true
		}
		return nil
	})
}

func (w *world) UploadGrant(_ context.Context, namespace, name string) (grant portal.Grant, err error) {
	err = w.call("grant", func() error {
		o := w.objects[place(namespace, name)]
		switch {
		case o == nil:
			return portal.ErrNotFound
		case o.sealed || o.deleting:
			return &portal.Error{Kind: portal.KindConflict, Message: "It takes no uploads any more."}
		}
		w.grants++
		now := w.clock.Now()
		grant = portal.Grant{Bucket: "bucket", Prefix: o.uid + "/", IssuedAt: now, ExpiresAt: now.Add(time.Minute)}
		return nil
	})
	return grant, err
}

func (w *world) Cancel(_ context.Context, _ portal.Principal, id portal.RunID) error {
	return w.call("cancel", func() error {
		w.cancelled = append(w.cancelled, id)
		return nil
	})
}

// fakeStore is the world's object store.
type fakeStore world

func (f *fakeStore) world() *world { return (*world)(f) }

func (f *fakeStore) Presign(_ context.Context, g portal.Grant, r uploads.Request) (portal.SignedRequest, error) {
	return portal.SignedRequest{
		Method: "PUT", URL: fmt.Sprintf("https://store/%s?upload=%s&part=%d&length=%d", r.Key, r.Upload, r.Part, r.Length), ExpiresAt: g.ExpiresAt,
	}, nil
}

func (f *fakeStore) Put(_ context.Context, _ portal.Grant, key string, body io.Reader, size int64) error {
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return f.world().call("put", func() error {
		if int64(len(content)) != size {
			return fmt.Errorf("a body of %d bytes, told of as %d", len(content), size)
		}
		f.blobs[key] = string(content)
		return nil
	})
}

func (f *fakeStore) Begin(_ context.Context, _ portal.Grant, key string) (id string, err error) {
	err = f.world().call("begin", func() error {
		f.begun++
		id = fmt.Sprintf("upload-%d", f.begun)
		f.uploads[id], f.keys[id] = map[int]string{}, key
		return nil
	})
	return id, err
}

func (f *fakeStore) Parts(_ context.Context, _ portal.Grant, key, id string) (parts []uploads.Part, err error) {
	err = f.world().call("parts", func() error {
		if f.uploads[id] == nil || f.keys[id] != key {
			return uploads.ErrNoUpload
		}
		for _, n := range slices.Sorted(maps.Keys(f.uploads[id])) {
			parts = append(parts, uploads.Part{Number: n, Size: int64(len(f.uploads[id][n])), ETag: fmt.Sprint(n)})
		}
		return nil
	})
	return parts, err
}

func (f *fakeStore) Complete(_ context.Context, _ portal.Grant, key, id string, parts []uploads.Part) error {
	return f.world().call("complete", func() error {
		if f.uploads[id] == nil {
			return uploads.ErrNoUpload
		}
		var all strings.Builder
		for _, part := range parts {
			all.WriteString(f.uploads[id][part.Number])
		}
		f.blobs[key] = all.String()
		delete(f.uploads, id)
		return nil
	})
}

func (f *fakeStore) Abort(_ context.Context, _ portal.Grant, _, id string) error {
	return f.world().call("abort", func() error {
		delete(f.uploads, id)
		return nil
	})
}

// send does what a browser does with a request: it takes no call of the portal's.
func (w *world) send(r portal.SignedPart, content string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var key, id string
	var part, length int
	address := strings.TrimPrefix(r.URL, "https://store/")
	key, address, _ = strings.Cut(address, "?upload=")
	id, address, _ = strings.Cut(address, "&part=")
	if _, err := fmt.Sscanf(address, "%d&length=%d", &part, &length); err != nil {
		w.t.Fatalf("read the signed address: %v", err)
	}
	if length != len(content) {
		w.t.Fatalf("part %d of %s is signed for %d bytes, and has %d", part, key, length, len(content))
	}
	if id == "" {
		w.blobs[key] = content
		return
	}
	if w.uploads[id] == nil {
		w.t.Fatalf("part %d of %s is signed for upload %q, which is not there", part, key, id)
	}
	w.uploads[id][part] = content
}
