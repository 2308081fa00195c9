package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

const (
	bucket = "bucket"
	prefix = "team/uid/"
	mib    = 1 << 20
	life   = 2 * time.Hour // of the fake broker's credentials
)

// bubble is the clock that testing/synctest puts in the place of the real one.
var bubble = clock.RealClock{}

// call is one request to the fake store.
type call struct {
	op             string // "get" or "put"
	key            string
	offset, length int64
	// try counts the calls with the same operation and key, from 1.
	try int
}

// fault is what the fake store does wrong with a call.
type fault struct {
	err   error         // refuse at once with this
	tear  int           // break off after so many bytes
	flip  bool          // give other bytes than were stored
	slow  time.Duration // wait so long before each read
	stall bool          // give nothing until the caller gives up
}

// errRange is what the store says to a range behind an object's end.
var errRange = errors.New("get object: refused by the store (InvalidRange)")

// memoryStore is a store in memory.
type memoryStore struct {
	mu         sync.Mutex
	objects    map[string][]byte
	order      []string // keys in the order in which they were put
	calls      []call
	busy, most int
	faults     func(call) fault
	accepts    func(accessKey string) bool
}

// memoryClient asks for credentials at each call.
type memoryClient struct {
	*memoryStore
	credentials agent.CredentialsFunc
}

func (m memoryClient) Get(ctx context.Context, b, key string, offset, length int64) (io.ReadCloser, error) {
	f, done, err := m.begin(ctx, b, call{op: "get", key: key, offset: offset, length: length})
	if err != nil {
		done()
		return nil, err
	}
	m.mu.Lock()
	data, found := m.objects[key]
	m.mu.Unlock()
	if !found {
		done()
		return nil, fmt.Errorf("get: %w", objectstore.ErrNotFound)
	}
	if length < 0 {
		length = math.MaxInt64 - offset
	}
	if offset > 0 && offset >= int64(len(data)) {
		done()
		return nil, errRange
	}
	data = data[offset:]
	data = slices.Clone(data[:min(length, int64(len(data)))])
	if f.flip && len(data) > 0 {
		data[len(data)/2] ^= 1
	}
	return &memoryBody{ctx: ctx, data: data, fault: f, done: sync.OnceFunc(done)}, nil
}

func (m memoryClient) Put(
	ctx context.Context, b, key string, body io.Reader, size int64, options objectstore.PutOptions,
) error {
	f, done, err := m.begin(ctx, b, call{op: "put", key: key, length: size})
	defer done()
	if err != nil {
		return err
	}
	read := &memoryBody{ctx: ctx, fault: f, done: func() {}}
	if _, err := read.wait(); err != nil {
		return err
	}
	if f.tear > 0 {
		_, _ = io.CopyN(io.Discard, body, int64(f.tear))
		return fmt.Errorf("put: %w", objectstore.ErrUnavailable)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(body, data); err != nil {
		return fmt.Errorf("put: read body: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.objects[key]; found && options.IfAbsent {
		return fmt.Errorf("put: %w", objectstore.ErrPrecondition)
	}
	m.objects[key] = data
	m.order = append(m.order, key)
	return nil
}

func (m memoryClient) begin(ctx context.Context, b string, c call) (fault, func(), error) {
	held, errCredentials := m.credentials(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy++
	m.most = max(m.most, m.busy)
	for _, before := range m.calls {
		if before.op == c.op && before.key == c.key {
			c.try++
		}
	}
	c.try++
	m.calls = append(m.calls, c)
	done := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.busy--
	}
	switch {
	case errCredentials != nil:
		return fault{}, done, errCredentials
	case b != bucket:
		return fault{}, done, objectstore.ErrNotFound
	case m.accepts != nil && !m.accepts(held.AccessKeyID):
		return fault{}, done, fmt.Errorf("%s: %w", c.op, objectstore.ErrDenied)
	case m.faults == nil:
		return fault{}, done, nil
	}
	f := m.faults(c)
	return f, done, f.err
}

// count says how often keys with this suffix were called for.
func (m *memoryStore) count(op, suffix string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, c := range m.calls {
		if c.op == op && strings.HasSuffix(c.key, suffix) {
			n++
		}
	}
	return n
}

type memoryBody struct {
	ctx   context.Context //nolint:containedctx // a body belongs to its request
	data  []byte
	given int
	fault fault
	done  func()
}

func (b *memoryBody) wait() (int, error) {
	wait := time.After(b.fault.slow)
	if b.fault.stall {
		wait = nil
	}
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-wait:
		return 0, nil
	}
}

func (b *memoryBody) Read(p []byte) (int, error) {
	if n, err := b.wait(); err != nil {
		return n, err
	}
	if b.fault.tear > 0 {
		p = p[:min(len(p), b.fault.tear-b.given)]
		if len(p) == 0 {
			return 0, fmt.Errorf("read: %w: %w", objectstore.ErrUnavailable, io.ErrUnexpectedEOF)
		}
	}
	if b.given == len(b.data) {
		return 0, io.EOF
	}
	n := copy(p, b.data[b.given:])
	b.given += n
	return n, nil
}

func (b *memoryBody) Close() error {
	b.done()
	return nil
}

// scriptedBroker grants with a new key each time: key-1, key-2, ...
type scriptedBroker struct {
	mu       sync.Mutex
	digest   string
	granted  int
	asked    int
	refuse   func(ask int) error  // nil: grant
	keys     func(ask int) []byte // nil: none
	trainer  func(ask int) (staging.TrainerStatus, error)
	awaiting int
	resume   *staging.ResumeGrant
	newest   string
	gang     func(ask int) (staging.GangStatus, error)
	gathered int
	// beside guards what is told by and to the goroutines beside the trainer.
	beside   sync.Mutex
	told     []staging.ProgressRequest
	stored   []staging.CheckpointRequest
	progress func(staging.ProgressRequest) error
	store    func(staging.CheckpointRequest) error
	output   func(staging.LogRequest) (staging.LogAnswer, error)
}

func (b *scriptedBroker) Stage(_ context.Context, step staging.Step) (staging.StageGrant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.refuse != nil {
		if err := b.refuse(b.asked); err != nil {
			return staging.StageGrant{}, err
		}
	}
	b.granted++
	issued := bubble.Now().Add(-3 * time.Hour) // The broker's clock is wrong.
	grant := staging.StageGrant{Store: staging.StoreGrant{
		Bucket: bucket, Prefix: prefix, AccessKeyID: fmt.Sprintf("key-%d", b.granted),
		IssuedAt: issued, ExpiresAt: issued.Add(life),
	}}
	if b.keys != nil {
		grant.Store.EncryptionKey = b.keys(b.asked)
	}
	if step == staging.StepStageOut {
		grant.NewestCheckpoint = b.newest
		return grant, nil
	}
	grant.ManifestDigest = b.digest
	if b.resume != nil {
		resume := *b.resume
		resume.Store = grant.Store
		resume.Store.AccessKeyID += "-resume"
		grant.Resume = &resume
	}
	return grant, nil
}

func (b *scriptedBroker) Trainer(ctx context.Context) (staging.TrainerStatus, error) {
	b.mu.Lock()
	b.awaiting++
	ask, trainer := b.awaiting, b.trainer
	b.mu.Unlock()
	if trainer == nil {
		return staging.TrainerStatus{Ended: true}, ctx.Err()
	}
	return trainer(ask)
}

func (b *scriptedBroker) Gang(context.Context) (staging.GangStatus, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gathered++
	if b.gang == nil {
		return staging.GangStatus{Ready: true}, nil
	}
	return b.gang(b.gathered)
}

func (b *scriptedBroker) Progress(_ context.Context, told staging.ProgressRequest) error {
	b.beside.Lock()
	defer b.beside.Unlock()
	if b.progress != nil {
		if err := b.progress(told); err != nil {
			return err
		}
	}
	b.told = append(b.told, told)
	return nil
}

func (b *scriptedBroker) Checkpoint(_ context.Context, stored staging.CheckpointRequest) error {
	b.beside.Lock()
	defer b.beside.Unlock()
	if b.store != nil {
		if err := b.store(stored); err != nil {
			return err
		}
	}
	b.stored = append(b.stored, stored)
	return nil
}

func (b *scriptedBroker) Log(_ context.Context, asked staging.LogRequest) (staging.LogAnswer, error) {
	b.beside.Lock()
	defer b.beside.Unlock()
	if b.output == nil {
		return staging.LogAnswer{Last: asked.Since, Ended: true}, nil
	}
	return b.output(asked)
}

// world is a pod with its volume, broker and store.
type world struct {
	store     *memoryStore
	broker    *scriptedBroker
	log       bytes.Buffer
	folder    string // the volume's root or the artifacts folder
	patience  time.Duration
	free      agent.Space
	terminate chan struct{}
	parallel  agent.Parallel
	// artifacts is the artifacts folder in stage-in; empty for none.
	artifacts string
	node      agent.Node
	hosts     []string
	shard     bool
	// attempt, interval, grace and everyNode are stage-out's.
	attempt   int
	interval  time.Duration
	grace     time.Duration
	everyNode bool
}

func newWorld(folder string) *world {
	return &world{
		store:     &memoryStore{objects: map[string][]byte{}},
		broker:    &scriptedBroker{},
		folder:    folder,
		free:      agent.Space{Bytes: math.MaxInt64, Files: -1},
		terminate: make(chan struct{}),
		attempt:   1,
		interval:  10 * time.Minute,
		grace:     25 * time.Second,
	}
}

// seal puts a dataset into the store.
func (w *world) seal(t *testing.T, files map[string][]byte) {
	t.Helper()
	var manifest bytes.Buffer
	mw := objectkey.NewManifestWriter(&manifest)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		w.store.objects[objectkey.Data(prefix, path)] = files[path]
		if err := mw.Add(objectkey.Entry{Path: path, Size: int64(len(files[path])), SHA256: sum(files[path])}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mw.Close(); err != nil {
		t.Fatal(err)
	}
	w.pin(t, manifest.Bytes())
}

// pin makes any bytes the sealed manifest.
func (w *world) pin(t *testing.T, manifest []byte) {
	t.Helper()
	w.store.objects[objectkey.Manifest(prefix)] = manifest
	w.broker.digest = objectkey.Digest(manifest)
}

func (w *world) options() agent.Options {
	return agent.Options{
		Broker: w.broker,
		Connect: func(_ staging.StoreGrant, credentials agent.CredentialsFunc) (agent.Store, error) {
			return memoryClient{w.store, credentials}, nil
		},
		Log:      slog.New(slog.NewJSONHandler(&w.log, nil)),
		Clock:    bubble,
		Random:   func() float64 { return 0.5 },
		Patience: w.patience,
		Parallel: w.parallel,
		Node:     w.node,
	}
}

func (w *world) stageIn(ctx context.Context) (staging.Report, int) {
	report, err := agent.StageIn(ctx, agent.StageInOptions{
		Options:      w.options(),
		DatasetDir:   filepath.Join(w.folder, "dataset"),
		ArtifactsDir: w.artifacts,
		FreeSpace:    func(string) (agent.Space, error) { return w.free, nil },
		Shard:        w.shard,
		Hosts:        w.hosts,
		GPUs:         8,
	})
	return agent.Conclude(report, err), agent.ExitCode(err)
}

func (w *world) stageOut(ctx context.Context) (staging.Report, int) {
	report, err := agent.StageOut(ctx, agent.StageOutOptions{
		Options: w.options(), ArtifactsDir: w.folder, Terminated: w.terminate, Grace: w.grace,
		Attempt: w.attempt, Interval: w.interval, EveryNode: w.everyNode,
	})
	return agent.Conclude(report, err), agent.ExitCode(err)
}

// lines counts the log lines with this text.
func (w *world) lines(text string) int {
	return strings.Count(w.log.String(), text)
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// noise is data that does not repeat, so that mixed up ranges show.
func noise(n int) []byte {
	data := make([]byte, n)
	state := uint64(n) + 1
	for i := range data {
		state = state*6364136223846793005 + 1442695040888963407
		data[i] = byte(state >> 56)
	}
	return data
}

// tree reads a folder: path -> SHA-256 of a file, or what else it is.
func tree(t *testing.T, folder string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(folder, path)
		if !d.Type().IsRegular() {
			got[name] = d.Type().String()
			return nil
		}
		data, err := os.ReadFile(path)
		got[name] = sum(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// sums is what tree gives for these files below a folder.
func sums(below string, files map[string][]byte) map[string]string {
	want := map[string]string{}
	for path, data := range files {
		want[filepath.Join(below, path)] = sum(data)
	}
	return want
}

func problem(status int, reason string) error {
	return &brokerclient.ProblemError{Problem: staging.Problem{Status: status, Reason: reason, Detail: "said the broker."}}
}

func write(t *testing.T, folder string, files map[string][]byte) {
	t.Helper()
	for path, data := range files {
		name := filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
