package broker

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// What the operator's user and the auditor's user of the store may do is written down in
// hack/lab/store. The tests below live the life of a dataset and of a run's artifacts as
// these users, on a real store, with every action taken away once: nothing is missing in
// the policies, and nothing is in them that nobody needs.

// rightsFolder holds operator.json and auditor.json.
const rightsFolder = "../../../hack/lab/store/"

// storePolicy is a policy of the store.
type storePolicy struct {
	Version   string
	Statement []rightStatement
}

type rightStatement struct {
	Sid, Effect      string
	Action, Resource []string
}

func readRights(t *testing.T, file string) storePolicy {
	t.Helper()
	text, err := os.ReadFile(rightsFolder + file)
	if err != nil {
		t.Fatal(err)
	}
	var p storePolicy
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// without is the policy without one action of one statement.
func (p storePolicy) without(sid, action string) storePolicy {
	left := storePolicy{Version: p.Version}
	for _, s := range p.Statement {
		if s.Sid == sid {
			s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == action })
		}
		if len(s.Action) > 0 {
			left.Statement = append(left.Statement, s)
		}
	}
	return left
}

// on is the policy about a life's buckets instead of those of an installation.
func (p storePolicy) on(l *life) storePolicy {
	here := storePolicy{Version: p.Version}
	for _, s := range p.Statement {
		var resources []string
		for _, resource := range s.Resource {
			bucket, rest, _ := strings.Cut(strings.TrimPrefix(resource, "arn:aws:s3:::"), "/")
			for _, name := range map[string][]string{
				"lethe-datasets": {l.datasets, l.locked}, "lethe-artifacts": {l.artifacts}, "lethe-receipts": {l.receipts}, "lethe-ledger": {l.ledger},
			}[bucket] {
				resources = append(resources, strings.TrimSuffix("arn:aws:s3:::"+name+"/"+rest, "/"))
			}
		}
		s.Resource = resources
		here.Statement = append(here.Statement, s)
	}
	return here
}

// life is a store with a dataset and a run's artifacts on it, as the operator, the broker
// and the auditor see it.
type life struct {
	m                                     *objectstoretest.MinIO
	datasets, artifacts, receipts, ledger string
	// locked is a bucket for data that somebody has made with an object lock.
	locked       string
	operator     *objectstore.Client
	auditor      *audit.Auditor
	engine       *erasure.Engine
	book         *receipts.Book
	accounts     *ledger.Ledger
	dataset, run place
	identity     string
}

// newLife makes buckets of its own, and users whose policies say them.
func newLife(t *testing.T, m *objectstoretest.MinIO, name string, operator, auditor storePolicy) *life {
	t.Helper()
	l := &life{
		m: m, datasets: m.Bucket(t, objectstoretest.Versioned), artifacts: m.Bucket(t, objectstoretest.Versioned),
		receipts: m.Bucket(t, objectstoretest.Locked), ledger: m.Bucket(t, objectstoretest.Versioned),
		locked: m.Bucket(t, objectstoretest.Locked),
	}
	as := func(who string, p storePolicy) objectstore.Credentials {
		text, err := json.Marshal(p.on(l))
		must(t, err)
		return m.User(t, who+"-"+name, text)
	}
	l.operator = m.Client(t, as("operator", operator))
	var err error
	l.auditor, err = audit.New(audit.Config{Endpoint: m.Endpoint, CABundle: m.CA, Credentials: objectstore.Static(as("auditor", auditor))})
	must(t, err)
	l.engine, err = erasure.New(erasure.Options{
		Store: l.operator, Auditor: l.auditor, ReceiptsBucket: l.receipts, LedgerBucket: l.ledger,
		Cluster: "cluster", Clock: clock.RealClock{},
	})
	must(t, err)
	l.book, err = receipts.New(receipts.Options{
		Store: l.operator, Bucket: l.receipts, Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)),
	})
	must(t, err)
	l.accounts, err = ledger.New(l.operator, l.ledger)
	must(t, err)
	l.dataset, err = newPlace(l.datasets, namespace, datasetUID)
	must(t, err)
	l.run, err = newPlace(l.artifacts, namespace, runUID)
	must(t, err)
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// step is a part of the life.
type step struct {
	name string
	do   func(context.Context) error
}

// steps in their order. One that failed does not keep the next from being tried.
func (l *life) steps(t *testing.T) []step {
	t.Helper()
	return []step{
		{"name the store", l.claim},
		{"open the accounts", l.open},
		{"grant an upload", func(ctx context.Context) error { return l.upload(ctx, t) }},
		{"check the seal", l.seal},
		{"grant a dataset", func(ctx context.Context) error { return l.stageIn(ctx, t) }},
		{"grant artifacts", func(ctx context.Context) error { return l.stageOut(ctx, t) }},
		{"prune checkpoints", l.prune},
		{"find owners", l.sweep},
		{"refuse a locked bucket", l.refuse},
		{"count", l.count},
		{"audit", func(ctx context.Context) error { return l.verify(ctx, false) }},
		{"erase", l.erase},
		{"audit again", func(ctx context.Context) error { return l.verify(ctx, true) }},
		{"write receipts", l.certify},
		{"read the accounts", l.balance},
	}
}

func (l *life) claim(ctx context.Context) error {
	for _, bucket := range []string{l.datasets, l.artifacts} {
		id, err := erasure.EnsureIdentity(ctx, l.operator, bucket, "cluster", strings.NewReader("sixteen bytes or"))
		if err != nil {
			return err
		}
		l.identity = id
	}
	return nil
}

func (l *life) open(ctx context.Context) error {
	for resource, at := range map[string]place{objectkey.ResourceDataset: l.dataset, objectkey.ResourceRun: l.run} {
		err := l.accounts.Open(ctx, objectkey.LedgerRecord{
			Resource: resource, Namespace: namespace, UID: uidOf(at), Store: l.identity, Bucket: at.bucket, Prefix: at.prefix,
			CreatedTime: born, EraseBy: born.Add(time.Hour),
		})
		if err != nil {
			return err
		}
	}
	return l.accounts.Note(ctx, namespace, datasetUID, objectkey.LedgerEvent{Event: objectkey.LedgerHeld, Time: born, Reason: "case 7", Until: born.Add(time.Hour)})
}

// born is when the life begins; the past, so that nothing of it is still to come.
var born = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func uidOf(at place) string {
	_, uid, _ := strings.Cut(strings.TrimSuffix(at.prefix, "/"), "/")
	return uid
}

// granted are the requests of somebody with credentials of that policy.
func (l *life) granted(ctx context.Context, t *testing.T, at place, policy string, err error) (uploads, error) {
	t.Helper()
	if err != nil {
		return uploads{}, err
	}
	credentials, err := l.operator.AssumeRole(ctx, policy, objectstore.MinSessionLife)
	if err != nil {
		return uploads{}, err
	}
	return uploads{t: t, core: coreClient(t, l.m, credentials), at: at}, nil
}

// write puts an object, one in parts, and leaves one unfinished; all twice, so that there
// are versions.
func (u uploads) write(ctx context.Context, keys ...string) error {
	for range 2 {
		for _, key := range keys {
			if err := u.put(key); err != nil {
				return fmt.Errorf("put: %w", err)
			}
		}
		if err := u.inParts(ctx, keys[0]); err != nil {
			return err
		}
	}
	_, err := u.begin(keys[0])
	return err
}

func (u uploads) inParts(ctx context.Context, key string) error {
	id, err := u.begin(key)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	part, err := u.part(key, id)
	if err != nil {
		return fmt.Errorf("send a part: %w", err)
	}
	if _, err := u.core.ListObjectParts(ctx, u.at.bucket, key, id, 0, 10); err != nil {
		return fmt.Errorf("list parts: %w", err)
	}
	if err := u.complete(key, id, part); err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	if id, err = u.begin(key); err != nil {
		return fmt.Errorf("begin again: %w", err)
	}
	if err := u.abort(key, id); err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	return nil
}

func (l *life) upload(ctx context.Context, t *testing.T) error {
	t.Helper()
	policy, err := uploadPolicy(l.dataset, clock.RealClock{}.Now().Add(time.Hour), false)
	u, err := l.granted(ctx, t, l.dataset, policy, err)
	if err != nil {
		return err
	}
	return u.write(ctx, objectkey.Data(l.dataset.prefix, "x"), objectkey.Manifest(l.dataset.prefix))
}

// seal does what the operator does with a sealed dataset: it looks at its bucket, lists,
// and reads the manifest.
func (l *life) seal(ctx context.Context) error {
	if _, err := l.operator.Facts(ctx, l.datasets); err != nil {
		return err
	}
	for _, err := range l.operator.List(ctx, l.datasets, objectkey.DataPrefix(l.dataset.prefix)) {
		if err != nil {
			return err
		}
	}
	return readWhole(l.operator.Get(ctx, l.datasets, objectkey.Manifest(l.dataset.prefix), 0, -1))
}

func readWhole(body io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // It is read to its end.
	_, err = io.Copy(io.Discard, body)
	return err
}

func (l *life) stageIn(ctx context.Context, t *testing.T) error {
	t.Helper()
	policy, err := readPolicy(l.dataset)
	u, err := l.granted(ctx, t, l.dataset, policy, err)
	if err != nil {
		return err
	}
	body, _, _, err := u.core.GetObject(ctx, l.datasets, objectkey.Manifest(l.dataset.prefix), minio.GetObjectOptions{})
	return readWhole(body, err)
}

func (l *life) stageOut(ctx context.Context, t *testing.T) error {
	t.Helper()
	policy, err := gatherPolicy(l.run)
	u, err := l.granted(ctx, t, l.run, policy, err)
	if err != nil {
		return err
	}
	old, recent := objectkey.CheckpointPrefix(l.run.prefix, oldCheckpoint)+"x", objectkey.CheckpointPrefix(l.run.prefix, newCheckpoint)+"x"
	if err := u.write(ctx, objectkey.Data(l.run.prefix, "model"), old, recent); err != nil {
		return err
	}
	body, _, _, err := u.core.GetObject(ctx, l.artifacts, recent, minio.GetObjectOptions{})
	return readWhole(body, err)
}

// Names of checkpoints.
const (
	oldCheckpoint = "0001-000001"
	newCheckpoint = "0001-000002"
)

func (l *life) targets() []erasure.Target {
	var all []erasure.Target
	for _, at := range []place{l.dataset, l.run} {
		all = append(all, erasure.Target{Bucket: at.bucket, Prefix: at.prefix, UID: uidOf(at), Store: l.identity})
	}
	return all
}

func (l *life) prune(ctx context.Context) error {
	removed, err := l.engine.Prune(ctx, l.targets()[1], []string{newCheckpoint})
	if err == nil && removed == 0 {
		return errors.New("the older checkpoint stays")
	}
	return err
}

// sweep looks for what nobody owns.
func (l *life) sweep(ctx context.Context) error {
	for _, bucket := range []string{l.datasets, l.artifacts} {
		found := 0
		for _, err := range l.operator.ListOwners(ctx, bucket) {
			if err != nil {
				return err
			}
			found++
		}
		if found == 0 {
			return errors.New("no owner is found")
		}
	}
	return nil
}

// refuse wants to be told until when a bucket with an object lock keeps what is in it.
func (l *life) refuse(ctx context.Context) error {
	id, err := erasure.EnsureIdentity(ctx, l.operator, l.locked, "cluster", strings.NewReader("sixteen bytes or"))
	if err != nil {
		return err
	}
	err = l.operator.Put(ctx, l.locked, objectkey.Data(l.dataset.prefix, "x"), strings.NewReader("x"), 1, objectstore.PutOptions{})
	if err != nil {
		return err
	}
	_, err = l.engine.Inventory(ctx, erasure.Target{Bucket: l.locked, Prefix: l.dataset.prefix, UID: datasetUID, Store: id})
	var locked *erasure.LockedError
	if !errors.As(err, &locked) || locked.Until.IsZero() {
		return fmt.Errorf("it is not told until when: %w", err)
	}
	return nil
}

func (l *life) count(ctx context.Context) error {
	for _, target := range l.targets() {
		there, err := l.engine.Inventory(ctx, target)
		if err != nil {
			return err
		}
		if there.Versions < 2 || there.Uploads != 1 {
			return fmt.Errorf("%+v are counted, want versions and an upload", there)
		}
	}
	return nil
}

func (l *life) erase(ctx context.Context) error {
	for _, target := range l.targets() {
		if _, err := l.engine.Erase(ctx, target, nil); err != nil {
			return err
		}
	}
	return nil
}

// verify is the auditor's part.
func (l *life) verify(ctx context.Context, empty bool) error {
	for _, target := range l.targets() {
		found, err := l.engine.Verify(ctx, target)
		if err == nil && found != empty {
			err = fmt.Errorf("empty: %t, want %t", found, empty)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *life) certify(ctx context.Context) error {
	for resource, at := range map[string]place{objectkey.ResourceDataset: l.dataset, objectkey.ResourceRun: l.run} {
		digest, err := l.book.Write(ctx, objectkey.EraseReceipt{
			Resource: resource, Namespace: namespace, UID: uidOf(at), Store: l.identity, Bucket: at.bucket, Prefix: at.prefix,
			Trigger: objectkey.TriggerDeleted, Methods: []string{objectkey.MethodObjectsRemoved}, Versions: 1,
			StartTime: born, EndTime: born.Add(time.Minute),
		})
		if err != nil {
			return err
		}
		err = l.accounts.Note(ctx, namespace, uidOf(at), objectkey.LedgerEvent{Event: objectkey.LedgerErased, Time: born.Add(time.Minute), ReceiptDigest: digest})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *life) balance(ctx context.Context) error {
	closed := 0
	for account, err := range l.accounts.All(ctx) {
		if err != nil {
			return err
		}
		if _, erased := account.Last(objectkey.LedgerErased); erased {
			closed++
		}
	}
	if closed != 2 {
		return fmt.Errorf("%d accounts are closed, want 2", closed)
	}
	return nil
}

// live gives the first step that fails, and its error; "" if all is well.
func (l *life) live(t *testing.T) (failed string, err error) {
	t.Helper()
	for _, s := range l.steps(t) {
		if err := s.do(t.Context()); err != nil {
			return s.name, err
		}
	}
	return "", nil
}

// needed says which step can not do without an action: "statement action".
var needed = map[string]string{
	"FindData s3:ListBucket":                       "check the seal",
	"FindData s3:ListBucketMultipartUploads":       "prune checkpoints",
	"FindData s3:GetBucketVersioning":              "check the seal",
	"FindData s3:GetBucketObjectLockConfiguration": "check the seal",
	"FindData s3:GetReplicationConfiguration":      "check the seal",
	"FindData s3:GetBucketNotification":            "check the seal",
	"FindData s3:GetLifecycleConfiguration":        "check the seal",
	"HandleData s3:GetObject":                      "name the store",
	"HandleData s3:GetObjectRetention":             "refuse a locked bucket",
	"HandleData s3:PutObject":                      "name the store",
	"HandleData s3:DeleteObject":                   "prune checkpoints",
	"HandleData s3:ListMultipartUploadParts":       "grant an upload",
	"HandleData s3:AbortMultipartUpload":           "grant an upload",
	"FindRecords s3:ListBucket":                    "read the accounts",
	"KeepRecords s3:GetObject":                     "open the accounts",
	"KeepRecords s3:PutObject":                     "open the accounts",
	"LookForData s3:ListBucket":                    "audit again",
	"LookForData s3:ListBucketMultipartUploads":    "audit again",
	"KnowTheStore s3:GetObject":                    "audit",
}

// elsewhere are actions that S3 asks for, and MinIO takes others for.
var elsewhere = map[string]string{
	"FindData s3:ListBucketVersions":    "MinIO takes s3:ListBucket for it",
	"LookForData s3:ListBucketVersions": "MinIO takes s3:ListBucket for it",
	"HandleData s3:DeleteObjectVersion": "MinIO takes s3:DeleteObject for it",
}

// TestTheStoreUsersMayDoWhatTheyNeedAndNoMore takes every action of both policies away,
// one at a time.
func TestTheStoreUsersMayDoWhatTheyNeedAndNoMore(t *testing.T) {
	t.Parallel()
	m := objectstoretest.StartMinIO(t)
	operator, auditor := readRights(t, "operator.json"), readRights(t, "auditor.json")
	if failed, err := newLife(t, m, "whole", operator, auditor).live(t); failed != "" {
		t.Fatalf("with the whole policies: %s: %v", failed, err)
	}
	tried := map[string]bool{}
	for _, policy := range []struct {
		who   string
		whole storePolicy
		life  func(name string, without storePolicy) *life
	}{
		{"operator", operator, func(name string, without storePolicy) *life { return newLife(t, m, name, without, auditor) }},
		{"auditor", auditor, func(name string, without storePolicy) *life { return newLife(t, m, name, operator, without) }},
	} {
		for _, statement := range policy.whole.Statement {
			for _, action := range statement.Action {
				name := statement.Sid + " " + action
				tried[name] = true
				number := fmt.Sprintf("no%d", len(tried))
				t.Run(policy.who+" without "+name, func(t *testing.T) {
					t.Parallel()
					failed, err := policy.life(number, policy.whole.without(statement.Sid, action)).live(t)
					judge(t, name, failed, err)
				})
			}
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(needed)), slices.Collect(maps.Keys(elsewhere))) {
		if !tried[name] {
			t.Errorf("%s is in no policy", name)
		}
	}
}

// judge compares the step that failed without an action with the one that needs it.
func judge(t *testing.T, name, failed string, err error) {
	t.Helper()
	why, isElsewhere := elsewhere[name]
	switch {
	case isElsewhere && failed != "":
		t.Errorf("it fails in %q (%v), but %s", failed, err, why)
	case isElsewhere:
	case failed == "":
		t.Errorf("nobody misses %s: take it out of the policy in %s", name, rightsFolder)
	case failed != needed[name]:
		t.Errorf("it fails in %q (%v), want %q", failed, err, needed[name])
	}
}
