package main

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // G501: S3 demands it of this request.
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"
	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
)

// childName is the argument by which a process of the benchmark is a method.
const childName = "erase-method"

// methodMemory is the engine on a formula.
const methodMemory = "memory"

// order is what a child is to do, as JSON in its environment.
type order struct {
	Method      string
	Endpoint    string
	CA          string // a file
	Credentials objectstore.Credentials
	Target      erasure.Target
	Versions    int // of the formula
}

// orderVariable holds the order.
const orderVariable = "LETHE_BENCH_ORDER"

// answer is what a child writes.
type answer struct {
	// Seconds of what is measured, without the process around it.
	Seconds float64
	// Removed one by one.
	Removed int64
	// Listing is how many seconds a method needed to learn what there is, if that is not
	// among the other ones.
	Listing float64
}

func runChild(ctx context.Context, args []string, env environment) error {
	var o order
	if err := json.Unmarshal([]byte(env.getenv(orderVariable)), &o); err != nil || len(args) > 0 {
		return errors.New("this is for the benchmark itself")
	}
	methods := map[string]func(context.Context, order) (answer, error){
		portable: eraseByEngine, fast: eraseByEngine, bare: eraseBare, methodMemory: eraseFormula,
	}
	method, ok := methods[o.Method]
	if !ok {
		return fmt.Errorf("there is no method %q", o.Method)
	}
	a, err := method(ctx, o)
	if err != nil {
		return err
	}
	return json.NewEncoder(env.stdout).Encode(a)
}

func (o order) client() (*objectstore.Client, []byte, error) {
	ca, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, nil, fmt.Errorf("read authority: %w", err)
	}
	client, err := objectstore.New(objectstore.Config{
		Endpoint: o.Endpoint, CABundle: ca, Credentials: objectstore.Static(o.Credentials),
	})
	return client, ca, err
}

func eraseByEngine(ctx context.Context, o order) (answer, error) {
	client, ca, err := o.client()
	if err != nil {
		return answer{}, err
	}
	auditor, err := audit.New(audit.Config{Endpoint: o.Endpoint, CABundle: ca, Credentials: objectstore.Static(o.Credentials)})
	if err != nil {
		return answer{}, err
	}
	return eraseAndVerify(ctx, o, client, auditor)
}

func eraseFormula(ctx context.Context, o order) (answer, error) {
	f := newFormula(o.Versions)
	o.Target.Store = formulaStore
	return eraseAndVerify(ctx, o, f, f)
}

func eraseAndVerify(ctx context.Context, o order, store erasure.Store, auditor erasure.Auditor) (answer, error) {
	engine, err := erasure.New(erasure.Options{
		Store: store, Auditor: auditor, FastPath: o.Method == fast,
		ReceiptsBucket: "receipts", LedgerBucket: "ledger",
	})
	if err != nil {
		return answer{}, err
	}
	start := time.Now()
	removed, err := engine.Erase(ctx, o.Target, func(erasure.Inventory) {})
	if err != nil {
		return answer{}, err
	}
	empty, err := engine.Verify(ctx, o.Target)
	if err != nil || !empty {
		return answer{}, fmt.Errorf("verify says %v: %w", empty, err)
	}
	return answer{Seconds: time.Since(start).Seconds(), Removed: removed.Versions}, nil
}

// deletion is the body of DeleteObjects.
type deletion struct {
	XMLName xml.Name `xml:"Delete"`
	Quiet   bool
	Object  []deletedObject
}

type deletedObject struct {
	Key       string
	VersionID string `xml:"VersionId,omitempty"`
}

// eraseBare knows all that it removes, and all of its requests, before it begins.
func eraseBare(ctx context.Context, o order) (answer, error) {
	client, ca, err := o.client()
	if err != nil {
		return answer{}, err
	}
	var known []deletedObject
	begin := time.Now()
	for v, err := range client.ListVersions(ctx, o.Target.Bucket, o.Target.Prefix) {
		if err != nil {
			return answer{}, err
		}
		if v.ID == "null" {
			v.ID = ""
		}
		known = append(known, deletedObject{Key: v.Key, VersionID: v.ID})
	}
	listing := time.Since(begin)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	s := bareSender{order: o, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 4,
	}}}
	var bodies [][]byte
	for batch := range slices.Chunk(known, objectstore.MaxBatch) {
		body, err := xml.Marshal(deletion{Quiet: true, Object: batch})
		if err != nil {
			return answer{}, fmt.Errorf("encode request: %w", err)
		}
		bodies = append(bodies, body)
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, body := range bodies {
		group.Go(func() error { return s.send(ctx, body) })
	}
	err = group.Wait()
	return answer{Seconds: time.Since(start).Seconds(), Removed: int64(len(known)), Listing: listing.Seconds()}, err
}

type bareSender struct {
	order order
	http  *http.Client
}

func (s bareSender) send(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.order.Endpoint+"/"+s.order.Target.Bucket+"?delete=", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	sum, check := sha256.Sum256(body), md5.Sum(body) //nolint:gosec // G401: S3 demands it of this request.
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	request.Header.Set("Content-Md5", base64.StdEncoding.EncodeToString(check[:]))
	c := s.order.Credentials
	response, err := s.http.Do(signer.SignV4(*request, c.AccessKeyID, c.SecretAccessKey, c.SessionToken, "us-east-1"))
	if err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode != http.StatusOK || bytes.Contains(text, []byte("<Error>")) {
		return fmt.Errorf("the server answers %s: %.200s", response.Status, text)
	}
	return nil
}
