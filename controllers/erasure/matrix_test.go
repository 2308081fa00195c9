package erasure_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest/faultproxy"
)

const (
	// lanesOfKind work at once on each kind of bucket: a cell mostly waits for retries.
	lanesOfKind = 6
	// patience ends a cell that hangs, and cutAfter one that is to be cut off, once its
	// fault was met.
	patience, cutAfter = 30 * time.Second, 200 * time.Millisecond
)

// stage is one of the calls that end a dataset's life, in their order.
type stage int

const (
	stageIdentity stage = iota
	stageInventory
	stageErase
	stageVerify
	stageReceipt
	stageNote
)

// step is the part of an erase whose requests meet a fault. The fault begins with the
// stage and lasts.
type step struct {
	stage stage
	// audit: the requests are the auditor's.
	audit  bool
	bucket func(*lane) string
	// requests to the bucket that are meant; the path "P" is the target's prefix.
	requests []faultproxy.Match
	// fast: the engine has the fast path, and there are no uploads, whose removal looks
	// the same.
	fast bool
	// effect: the requests change something. body: their answers have one.
	effect, body bool
	// once: the step does not know of versions.
	once bool
}

func datasetsOf(l *lane) string { return l.datasets }
func receiptsOf(l *lane) string { return l.receipts }
func ledgerOf(l *lane) string   { return l.ledger }
func listing(query string) []faultproxy.Match {
	return []faultproxy.Match{{Method: http.MethodGet, Query: query}}
}

var identityRead = []faultproxy.Match{{Method: http.MethodGet, Path: objectkey.IdentityKey}}

var steps = map[string]step{
	"identity": {stage: stageIdentity, bucket: datasetsOf, requests: identityRead, body: true, once: true},
	"facts": {stage: stageInventory, bucket: datasetsOf, body: true, once: true, requests: slices.Concat(
		listing("versioning"), listing("object-lock"), listing("replication"), listing("notification"), listing("lifecycle"))},
	"inventory of uploads":    {stage: stageInventory, bucket: datasetsOf, requests: listing("uploads"), body: true},
	"inventory of versions":   {stage: stageInventory, bucket: datasetsOf, requests: listing("versions"), body: true},
	"list uploads":            {stage: stageErase, bucket: datasetsOf, requests: listing("uploads"), body: true},
	"list versions":           {stage: stageErase, bucket: datasetsOf, requests: listing("versions"), body: true},
	"list versions, fast":     {stage: stageErase, bucket: datasetsOf, requests: listing("versions"), body: true, fast: true},
	"abort uploads":           {stage: stageErase, bucket: datasetsOf, requests: []faultproxy.Match{{Method: http.MethodDelete, Query: "uploadId"}}, effect: true},
	"remove versions":         {stage: stageErase, bucket: datasetsOf, requests: []faultproxy.Match{{Method: http.MethodPost, Query: "delete"}}, effect: true, body: true},
	"remove prefix":           {stage: stageErase, bucket: datasetsOf, requests: []faultproxy.Match{{Method: http.MethodDelete, Path: "P"}}, effect: true, fast: true},
	"verify identity":         {stage: stageVerify, audit: true, bucket: datasetsOf, requests: identityRead, body: true, once: true},
	"verify versions":         {stage: stageVerify, audit: true, bucket: datasetsOf, requests: listing("versions"), body: true},
	"verify objects":          {stage: stageVerify, audit: true, bucket: datasetsOf, requests: listing("list-type"), body: true},
	"verify uploads":          {stage: stageVerify, audit: true, bucket: datasetsOf, requests: listing("uploads"), body: true},
	"receipt, what is there":  {stage: stageReceipt, bucket: receiptsOf, requests: []faultproxy.Match{{Method: http.MethodGet}}, body: true, once: true},
	"receipt, a place for it": {stage: stageReceipt, bucket: receiptsOf, requests: []faultproxy.Match{{Method: http.MethodPut, Path: "chain/"}}, effect: true, once: true},
	"receipt, its copy":       {stage: stageReceipt, bucket: receiptsOf, requests: []faultproxy.Match{{Method: http.MethodPut, Path: "ns/"}}, effect: true, once: true},
	"ledger note":             {stage: stageNote, bucket: ledgerOf, requests: []faultproxy.Match{{Method: http.MethodPut}}, effect: true, once: true},
}

// errAny stands for an error that is worth another try and has no name. Where nil is
// among what is wanted, the calls may also end well.
var errAny = errors.New("any error")

// fault is what the requests of a step meet.
type fault struct {
	// on says which steps it makes sense for; nil for all.
	on func(name string, s step) bool
	// arm begins it, and gives how many requests have met it.
	arm func(c *cell) (met func() int)
	// lie is what the operator is told instead, if it is that.
	lie func(c *cell) lie
	// cut: the caller loses its patience.
	cut bool
	// want has one of the errors that there may be, of each step that has others.
	want map[string][]error
	all  []error
}

func effects(_ string, s step) bool   { return s.effect }
func bodies(_ string, s step) bool    { return s.body }
func operators(_ string, s step) bool { return !s.audit }
func auditors(_ string, s step) bool  { return s.audit }

func only(names ...string) func(string, step) bool {
	return func(name string, _ step) bool { return slices.Contains(names, name) }
}

func every(f faultproxy.Fault) func(*cell) func() int {
	return func(c *cell) func() int { return c.fail(f) }
}

var (
	canceled    = []error{context.Canceled}
	unavailable = []error{objectstore.ErrUnavailable}
	denied      = []error{objectstore.ErrDenied}
	incomplete  = []error{erasure.ErrIncomplete}
	unnamed     = []error{errAny}
	fine        = []error{nil}
)

// faults by what they are. A request for the prefix that is denied is no error, since
// the other path is taken then; and the fast path needs no listing to be right.
var faults = map[string]fault{
	"no answer":               {arm: every(faultproxy.Silence()), cut: true, all: canceled},
	"no answer, but done":     {arm: every(faultproxy.SilenceAfter()), cut: true, all: canceled, on: effects},
	"busy":                    {arm: every(faultproxy.Refuse(http.StatusServiceUnavailable, "SlowDown")), all: unavailable},
	"busy, but done":          {arm: every(faultproxy.RefuseAfter(http.StatusServiceUnavailable, "SlowDown")), all: unavailable, on: effects},
	"slow":                    {arm: every(faultproxy.Slow(150 * time.Millisecond)), all: fine},
	"connection reset":        {arm: every(faultproxy.Reset()), all: unavailable},
	"connection reset, done":  {arm: every(faultproxy.ResetAfter()), all: unavailable, on: effects},
	"the answer breaks off":   {arm: every(faultproxy.BreakOff()), all: unavailable, on: bodies, want: map[string][]error{"receipt, what is there": {nil, objectstore.ErrUnavailable}}},
	"half an answer":          {arm: every(faultproxy.Shorten()), all: unavailable, on: bodies, want: halfAnswers},
	"a request out of time":   {arm: every(faultproxy.Refuse(http.StatusForbidden, "RequestTimeTooSkewed")), all: denied, want: map[string][]error{"remove prefix": fine}},
	"a wrong clock":           {arm: wrongClock, all: denied, on: only("identity", "facts", "abort uploads", "verify identity", "receipt, what is there", "ledger note")},
	"the operator is revoked": {arm: (*cell).revoke, all: denied, on: operators},
	"the auditor is revoked":  {arm: (*cell).revoke, all: denied, on: auditors},

	"keys not removed, InternalError":   keyErrors("InternalError", unavailable),
	"keys not removed, SlowDown":        keyErrors("SlowDown", unavailable),
	"keys not removed, AccessDenied":    keyErrors("AccessDenied", denied),
	"keys not removed, NoSuchVersion":   keyErrors("NoSuchVersion", fine),
	"keys not removed, InvalidArgument": keyErrors("InvalidArgument", fine),
	"keys not mentioned":                {arm: every(faultproxy.KeySilence("data/b")), all: fine, on: only("remove versions")},

	"keys stay, not mentioned":      keysStay("", http.StatusNoContent, incomplete),
	"keys stay, InternalError":      keysStay("InternalError", http.StatusInternalServerError, unavailable),
	"keys stay, AccessDenied":       keysStay("AccessDenied", http.StatusForbidden, denied),
	"keys stay, ObjectLocked":       keysStay("ObjectLocked", http.StatusForbidden, denied),
	"keys stay, NoSuchVersion":      keysStay("NoSuchVersion", http.StatusNotFound, incomplete),
	"keys stay, InvalidArgument":    keysStay("InvalidArgument", http.StatusBadRequest, unnamed),
	"keys stay, called removed":     {lie: calledRemoved, all: incomplete, on: only("remove versions")},
	"the listing leaves some out":   {lie: leaveOut, all: incomplete, on: only("list versions", "list versions, fast", "list uploads"), want: map[string][]error{"list versions, fast": fine}},
	"the inventory leaves some out": {lie: leaveOut, all: incomplete, on: only("inventory of versions", "inventory of uploads")},
	"the listing has no end":        {lie: noEnd, cut: true, all: []error{context.Canceled, objectstore.ErrUnavailable}, on: only("list versions", "inventory of versions")},
	"the uploads have no end":       {lie: noEnd, all: []error{erasure.ErrIncomplete, objectstore.ErrUnavailable}, on: only("list uploads", "inventory of uploads")},
}

// halfAnswers are those that are no XML, or are a receipt whose signature is wrong then.
var halfAnswers = map[string][]error{
	"identity":               {erasure.ErrUnknownStore},
	"verify identity":        unnamed,
	"receipt, what is there": {nil, erasure.ErrRefused, objectstore.ErrUnavailable},
}

// keyErrors calls keys not removed that were. Of keysStay nothing is removed.
func keyErrors(code string, want []error) fault {
	return fault{arm: every(faultproxy.KeyErrors("data/b", code)), all: want, on: only("remove versions")}
}

func keysStay(code string, status int, want []error) fault {
	return fault{lie: keep(code, status), all: want, on: only("remove versions")}
}

func wrongClock(c *cell) func() int {
	c.lane.partyOf(c.step).proxy.SetClock(time.Hour)
	return func() int { return 1 }
}

// lane is a world with a proxy for the operator and one for the auditor, in which one
// cell is tried after the other.
type lane struct {
	*world
	server            *objectstoretest.MinIO
	operator, auditor *party
	// uid is the present cell's; done counts them.
	uid  string
	done int
}

// party is somebody with credentials that can be revoked.
type party struct {
	proxy *faultproxy.Proxy
	own   objectstore.Credentials
	// revoked says how many requests have met that. They are the store's own refusals
	// from the second on.
	revoked atomic.Pointer[func() int]
}

func (p *party) credentials(context.Context) (objectstore.Credentials, error) {
	if met := p.revoked.Load(); met != nil && (*met)() > 0 {
		return objectstore.Credentials{AccessKeyID: "nobody-any-more", SecretAccessKey: p.own.SecretAccessKey}, nil
	}
	return p.own, nil
}

func (p *party) config() objectstore.Config {
	cfg := p.proxy.Config(p.own)
	cfg.Credentials = p.credentials
	return cfg
}

func (p *party) heal() {
	p.revoked.Store(nil)
	p.proxy.Heal()
}

// looking allows what an auditor needs, and nothing else.
const looking = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":["s3:ListBucket","s3:ListBucketVersions","s3:ListBucketMultipartUploads"],"Resource":["arn:aws:s3:::*"]},
	{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::*/lethe-identity.json"]}]}`

func newLane(t *testing.T, server *objectstoretest.MinIO, kind objectstoretest.Kind) *lane {
	t.Helper()
	l := &lane{world: onMinIO(t, server, kind), server: server}
	auditor, err := server.Client(t, server.Root).AssumeRole(t.Context(), looking, objectstore.MinSessionLife)
	if err != nil {
		t.Fatalf("make an auditor: %v", err)
	}
	l.operator = &party{proxy: faultproxy.Start(t, server), own: server.Root}
	l.auditor = &party{proxy: faultproxy.Start(t, server), own: auditor}
	cfg := l.auditor.config()
	if l.world.auditor, err = audit.New(audit.Config{Endpoint: cfg.Endpoint, CABundle: cfg.CABundle, Credentials: cfg.Credentials}); err != nil {
		t.Fatalf("make an auditor: %v", err)
	}
	return l
}

func (l *lane) partyOf(s step) *party {
	if s.audit {
		return l.auditor
	}
	return l.operator
}

// item is a version, a marker or an unfinished upload.
type item struct {
	bucket, key, id string
	size            int64
	kind            string
	contents        string // of what must not change
}

// beside is the name of the data that must stay as it is, to the byte.
const beside = "/data/not-mine"

// everything is what root sees past the proxies.
func (l *lane) everything(t *testing.T) map[item]bool {
	t.Helper()
	all := map[item]bool{}
	for _, bucket := range []string{l.datasets, l.artifacts, l.receipts, l.ledger} {
		for v, err := range l.ListVersions(t.Context(), bucket, "") {
			if err != nil {
				t.Fatalf("list versions: %v", err)
			}
			i := item{bucket: bucket, key: v.Key, id: v.ID, size: v.Size, kind: "version"}
			switch {
			case v.Marker:
				i.kind = "marker"
			case strings.HasSuffix(v.Key, beside) && strings.Contains(v.Key, l.uid):
				i.contents = l.read(t, bucket, v.Key)
			}
			all[i] = true
		}
		for u, err := range l.ListUploads(t.Context(), bucket, "") {
			if err != nil {
				t.Fatalf("list uploads: %v", err)
			}
			all[item{bucket: bucket, key: u.Key, id: u.ID, kind: "upload"}] = true
		}
	}
	return all
}

func (l *lane) read(t *testing.T, bucket, key string) string {
	t.Helper()
	body, err := l.Get(t.Context(), bucket, key, 0, -1)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	data, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(data)
}

// cell is one fault at one step.
type cell struct {
	lane   *lane
	step   step
	target erasure.Target
	uid    string
	// before is what there is without the target's data.
	before map[item]bool

	engine *erasure.Engine
	book   *receipts.Book
	ledger *ledger.Ledger
	// front stands before the store for a fault that the proxy does not know.
	front *front
	// inventory is taken once, as for an object's status.
	inventory erasure.Inventory
	counted   bool
	digest    string
}

func (l *lane) newCell(t *testing.T, s step, f fault) *cell {
	t.Helper()
	l.done++
	l.uid = fmt.Sprintf("6f9619ff-8b86-4011-b42d-%012x", l.done)
	c := &cell{lane: l, step: s, uid: l.uid}
	c.target = erasure.Target{Bucket: l.datasets, Prefix: objectkey.OwnerPrefix("ns", c.uid), UID: c.uid, Store: l.target.Store}
	cfg := l.operator.config()
	if f.lie != nil {
		c.front = newFront(t, l.server, f.lie(c))
		cfg.Endpoint, cfg.CABundle = c.front.endpoint, c.front.ca
	}
	client, err := objectstore.New(cfg)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	c.engine = l.newEngine(t, client, func(o *erasure.Options) { o.FastPath = s.fast })
	signer := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	if c.book, err = receipts.New(receipts.Options{Store: client, Bucket: l.receipts, Signer: signer}); err != nil {
		t.Fatalf("make a book: %v", err)
	}
	if c.ledger, err = ledger.New(client, l.ledger); err != nil {
		t.Fatalf("make a ledger: %v", err)
	}
	if err := c.ledger.Open(t.Context(), objectkey.LedgerRecord{
		Resource: objectkey.ResourceDataset, Namespace: "ns", UID: c.uid,
		Store: c.target.Store, Bucket: l.datasets, Prefix: c.target.Prefix, CreatedTime: wall.Now(),
	}); err != nil {
		t.Fatalf("open an account: %v", err)
	}
	c.fill(t)
	return c
}

// fill stores what is the neighbours', and then the target's data, with a history.
func (c *cell) fill(t *testing.T) {
	t.Helper()
	c.lane.put(t, c.lane.artifacts, strings.TrimSuffix(c.target.Prefix, "/")+beside)
	for _, owner := range []string{"ns/" + c.uid + "x", "nsx/" + c.uid} {
		c.lane.put(t, c.lane.datasets, owner+beside)
		c.lane.BeginUpload(t, c.lane.datasets, owner+beside)
	}
	c.before = c.lane.everything(t)
	for _, key := range []string{"manifest.jsonl", "data/a", "data/b/ü+%41&<c>", "data/b/ü+%41&<c>"} {
		c.lane.put(t, c.lane.datasets, c.target.Prefix+key)
	}
	c.lane.put(t, c.lane.datasets, c.target.Prefix+"data/gone")
	c.lane.Delete(t, c.lane.datasets, c.target.Prefix+"data/gone")
	if !c.step.fast {
		c.lane.BeginUpload(t, c.lane.datasets, c.target.Prefix+"data/a")
		c.lane.BeginUpload(t, c.lane.datasets, c.target.Prefix+"data/b/unfinished")
	}
}

// fail has all requests of the step meet a fault.
func (c *cell) fail(f faultproxy.Fault) func() int {
	var all []func() int
	for _, m := range c.step.requests {
		m.Path = "/" + c.step.bucket(c.lane) + "/" + strings.Replace(m.Path, "P", c.target.Prefix, 1)
		all = append(all, c.lane.partyOf(c.step).proxy.Fail(m, f))
	}
	return func() (n int) {
		for _, met := range all {
			n += met()
		}
		return n
	}
}

// revoke has the store know the credentials no more from the step's first request on.
func (c *cell) revoke() func() int {
	met := c.fail(faultproxy.Refuse(http.StatusForbidden, "InvalidAccessKeyId"))
	c.lane.partyOf(c.step).revoked.Store(&met)
	return met
}

func (c *cell) heal() {
	if c.front != nil {
		c.front.lying.Store(false)
	}
	c.lane.operator.heal()
	c.lane.auditor.heal()
}

// finish does what the end of a dataset's life does, and says when each stage begins.
func (c *cell) finish(ctx context.Context, begin func(stage)) error {
	for at, do := range []func(context.Context) error{
		stageIdentity: func(ctx context.Context) error {
			id, err := c.engine.Identity(ctx, c.target.Bucket)
			if err == nil && id != c.target.Store {
				err = erasure.ErrUnknownStore
			}
			return err
		},
		stageInventory: func(ctx context.Context) (err error) {
			if !c.counted {
				c.inventory, err = c.engine.Inventory(ctx, c.target)
				c.counted = err == nil
			}
			return err
		},
		stageErase: func(ctx context.Context) error {
			_, err := c.engine.Erase(ctx, c.target, nil)
			return err
		},
		stageVerify: func(ctx context.Context) error {
			gone, err := c.engine.Verify(ctx, c.target)
			if err == nil && !gone {
				err = erasure.ErrIncomplete
			}
			return err
		},
		stageReceipt: c.writeReceipt,
		stageNote: func(ctx context.Context) error {
			e := objectkey.LedgerEvent{Event: objectkey.LedgerErased, Time: wall.Now(), ReceiptDigest: c.digest}
			return c.ledger.Note(ctx, "ns", c.uid, e)
		},
	} {
		begin(stage(at))
		if err := do(ctx); err != nil {
			return fmt.Errorf("stage %d: %w", at, err)
		}
	}
	return nil
}

func (c *cell) writeReceipt(ctx context.Context) (err error) {
	now := wall.Now()
	c.digest, err = c.book.Write(ctx, objectkey.EraseReceipt{
		Resource: objectkey.ResourceDataset, Namespace: "ns", UID: c.uid,
		Store: c.target.Store, Bucket: c.target.Bucket, Prefix: c.target.Prefix,
		Trigger: objectkey.TriggerDeleted, Methods: []string{objectkey.MethodObjectsRemoved},
		Versions: c.inventory.Versions, VersionBytes: c.inventory.Bytes, Uploads: c.inventory.Uploads,
		StartTime: now, EndTime: now,
	})
	return err
}

// suffer goes through all stages while the fault lasts, and gives how that ended.
func (c *cell) suffer(t *testing.T, f fault) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	met := func() int { return 0 }
	var watch sync.WaitGroup
	err := c.finish(ctx, func(at stage) {
		if at != c.step.stage {
			return
		}
		met = c.arm(f)
		if f.cut {
			watch.Go(func() { cutOff(ctx, cancel, met) })
		}
	})
	cancel()
	watch.Wait()
	if met() == 0 {
		t.Errorf("no request has met the fault; it ended with %v", err)
	}
	return err
}

func (c *cell) arm(f fault) func() int {
	if f.lie == nil {
		return f.arm(c)
	}
	c.front.lying.Store(true)
	return func() int { return int(c.front.told.Load()) }
}

// cutOff loses patience a moment after the fault was met, in which it takes effect.
func cutOff(ctx context.Context, cancel context.CancelFunc, met func() int) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for met() == 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	time.AfterFunc(cutAfter, cancel)
}

// check holds the store against what was claimed: nobody says that all is gone while
// something is left, and nothing else was touched.
func (c *cell) check(t *testing.T, claimed bool) {
	t.Helper()
	now := c.lane.everything(t)
	added, missing := map[string][]string{}, maps.Clone(c.before)
	for i := range now {
		if !c.before[i] {
			added[i.bucket] = append(added[i.bucket], i.key)
		}
		delete(missing, i)
	}
	if len(missing) > 0 {
		t.Errorf("the neighbours are not as they were: %+v", missing)
	}
	left, books, notes := len(added[c.lane.datasets]), len(added[c.lane.receipts]), len(added[c.lane.ledger])
	if (left > 0 && (claimed || books+notes > 0)) || (notes > 0 && books < 2) {
		t.Errorf("claimed: %v, with %d things left, %d receipts and copies, and %d notes", claimed, left, books, notes)
	}
	if claimed {
		c.checkBooks(t, added)
	}
}

// checkBooks wants exactly one receipt and its note.
func (c *cell) checkBooks(t *testing.T, added map[string][]string) {
	t.Helper()
	copied := objectkey.Receipt("ns", c.uid)
	places := slices.DeleteFunc(slices.Sorted(slices.Values(added[c.lane.receipts])), func(key string) bool { return key == copied })
	if len(places) != 1 || len(added[c.lane.receipts]) != 2 {
		t.Fatalf("the receipts are %v, want one and its copy", added[c.lane.receipts])
	}
	inChain := c.lane.read(t, c.lane.receipts, places[0])
	if diff := cmp.Diff(inChain, c.lane.read(t, c.lane.receipts, copied)); diff != "" {
		t.Errorf("the copy of the receipt (-want +got):\n%s", diff)
	}
	key := objectkey.LedgerEventKey("ns", c.uid, objectkey.LedgerEvent{Event: objectkey.LedgerErased})
	if diff := cmp.Diff([]string{key}, added[c.lane.ledger]); diff != "" {
		t.Fatalf("the ledger (-want +got):\n%s", diff)
	}
	note, err := objectkey.DecodeLedgerEvent([]byte(c.lane.read(t, c.lane.ledger, key)))
	want := objectkey.Digest([]byte(inChain))
	if err != nil || note.ReceiptDigest != want || c.digest != want {
		t.Errorf("the note has receipt %q, the book gave %q, want %q: %v", note.ReceiptDigest, c.digest, want, err)
	}
}

// try is the test of one cell.
func (l *lane) try(t *testing.T, s step, f fault, want []error) {
	t.Helper()
	c := l.newCell(t, s, f)
	defer c.heal() // The next cell's lane is this one.
	err := c.suffer(t, f)
	wantNoKey(t, err)
	if !slices.ContainsFunc(want, func(one error) bool {
		return errors.Is(err, one) || (errors.Is(one, errAny) && err != nil && !errors.Is(err, context.DeadlineExceeded))
	}) {
		t.Errorf("got %v, want one of %v", err, want)
	}
	c.check(t, err == nil)
	c.heal()
	if err := c.finish(t.Context(), func(stage) {}); err != nil {
		t.Fatalf("once it is healed: %v", err)
	}
	c.check(t, true)
}

// plan is a cell that is to be tried.
type plan struct {
	name  string
	step  step
	fault fault
	want  []error
}

func plans(kind objectstoretest.Kind) []plan {
	var all []plan
	for stepName, s := range steps {
		for faultName, f := range faults {
			if (s.once && kind != objectstoretest.Versioned) || (f.on != nil && !f.on(stepName, s)) {
				continue
			}
			want, ok := f.want[stepName]
			if !ok {
				want = f.all
			}
			all = append(all, plan{name: stepName + "/" + faultName, step: s, fault: f, want: want})
		}
	}
	return all
}

// TestMatrix has every step of an erase meet every fault: while it lasts nobody says
// that data is gone which is not, and nothing else is touched; afterwards the same
// calls end well, with one receipt.
func TestMatrix(t *testing.T) {
	t.Parallel()
	server := objectstoretest.StartMinIO(t)
	var lanes sync.WaitGroup
	cells := 0
	for name, kind := range map[string]objectstoretest.Kind{"unversioned": objectstoretest.Unversioned, "versioned": objectstoretest.Versioned} {
		all := plans(kind)
		cells += len(all)
		open := make(chan plan, len(all))
		for _, p := range all {
			open <- p
		}
		close(open)
		for range lanesOfKind {
			l := newLane(t, server, kind)
			lanes.Go(func() { l.tryAll(t, name, open) })
		}
	}
	lanes.Wait()
	t.Logf("%d cells: %d steps, %d faults", cells, len(steps), len(faults))
}

// tryAll takes turns with other lanes. The cells are not parallel in the test's own
// sense, which allows only as many as there are cores, and they wait most of the time.
func (l *lane) tryAll(t *testing.T, kind string, open <-chan plan) {
	t.Helper()
	for p := range open {
		t.Run(kind+"/"+p.name, func(t *testing.T) { l.try(t, p.step, p.fault, p.want) })
	}
}

// front stands before the store and tells the operator a lie: one that is well-formed,
// and so no matter for the proxy, which breaks things.
type front struct {
	endpoint string
	ca       []byte
	lie      lie
	lying    atomic.Bool
	told     atomic.Int64
}

// lie is either an answer in the store's place, whose status is 0 if it is none, or a
// change of the store's own.
type lie struct {
	match   func(*http.Request) bool
	instead func(request string) (status int, answer string)
	change  func(answer string) string
}

func newFront(t *testing.T, server *objectstoretest.MinIO, l lie) *front {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatalf("parse the server's endpoint: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(server.CA)
	onward := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableCompression: true}
	f := &front{lie: l}
	pass := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }, // It is signed.
		Transport: onward, ErrorLog: log.New(io.Discard, "", 0), ModifyResponse: f.changed,
	}
	listener := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.answered(w, r) {
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		listener.CloseClientConnections()
		listener.Close()
		onward.CloseIdleConnections()
	})
	f.endpoint = listener.URL
	f.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: listener.Certificate().Raw})
	return f
}

// answered answers in the store's place.
func (f *front) answered(w http.ResponseWriter, r *http.Request) bool {
	if !f.lying.Load() || f.lie.instead == nil || !f.lie.match(r) {
		return false
	}
	request, _ := io.ReadAll(r.Body) // A client that hangs up gets no answer.
	status, answer := f.lie.instead(string(request))
	f.told.Add(1)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
	return true
}

// changed changes the store's answer.
func (f *front) changed(answer *http.Response) error {
	if !f.lying.Load() || f.lie.change == nil || !f.lie.match(answer.Request) {
		return nil
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	f.told.Add(1)
	changed := f.lie.change(string(body))
	answer.Body, answer.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
	answer.Header.Set("Content-Length", strconv.Itoa(len(changed)))
	return nil
}

// What is asked for and listed, and where a listing goes on.
var (
	asked      = regexp.MustCompile(`(?s)<Object>(.*?)</Object>`)
	listed     = regexp.MustCompile(`(?s)<(Version|DeleteMarker|Upload)>.*?</(Version|DeleteMarker|Upload)>`)
	lastMarker = regexp.MustCompile(`(?s)<(Next\w+Marker)>.*?</\w+>`)
)

func removals(r *http.Request) bool {
	return r.URL.Query().Has("delete") || (r.Method == http.MethodDelete && r.URL.Query().Has("versionId"))
}

// calledRemoved says of all keys that they were removed.
func calledRemoved(*cell) lie {
	return lie{match: removals, instead: func(request string) (int, string) {
		return http.StatusOK, "<DeleteResult>" + asked.ReplaceAllString(inner(request), "<Deleted>$1</Deleted>") + "</DeleteResult>"
	}}
}

// inner gives the objects that a request names, and nothing around them.
func inner(request string) string { return strings.Join(asked.FindAllString(request, -1), "") }

// keep removes nothing. The answer to one request for many keys has this code for some
// of them, or does not mention them; so does the answer to a request for one.
func keep(code string, status int) func(*cell) lie {
	return func(*cell) lie {
		return lie{match: removals, instead: func(request string) (int, string) {
			if request == "" {
				return status, "<Error><Code>" + code + "</Code></Error>"
			}
			return http.StatusOK, "<DeleteResult>" + asked.ReplaceAllStringFunc(inner(request), func(one string) string {
				key := asked.FindStringSubmatch(one)[1]
				if !strings.Contains(key, "data/b") {
					return "<Deleted>" + key + "</Deleted>"
				}
				if code == "" {
					return ""
				}
				return "<Error>" + key + "<Code>" + code + "</Code></Error>"
			}) + "</DeleteResult>"
		}}
	}
}

// leaveOut leaves some entries out of the step's listing, which says to be whole.
func leaveOut(c *cell) lie {
	return lie{
		match: func(r *http.Request) bool { return r.URL.Query().Has(c.step.requests[0].Query) },
		change: func(answer string) string {
			return listed.ReplaceAllStringFunc(answer, func(one string) string {
				if strings.Contains(one, c.uid) && strings.Contains(one, "data/b") {
					return ""
				}
				return one
			})
		},
	}
}

// noEnd leaves some out and says that there is more, but not where.
func noEnd(c *cell) lie {
	l := leaveOut(c)
	some := l.change
	l.change = func(answer string) string {
		answer = strings.Replace(some(answer), "<IsTruncated>false<", "<IsTruncated>true<", 1)
		return lastMarker.ReplaceAllString(answer, "<$1></$1>")
	}
	return l
}
