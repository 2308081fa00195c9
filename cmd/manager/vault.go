package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/audit"
	"github.com/lethe-dev/lethe/controllers/staging/broker"
)

// storeConnections bounds the operator's connections to the store: four erases at
// once use most of them.
const storeConnections = 32

// identityRetry is the pause after a failure to name the store.
const identityRetry = 5 * time.Second

// vault is where data lies, and all that takes care of it there.
type vault struct {
	// direct reads and writes at the API server: the manager's own client reads from
	// a cache, which does not run yet and is to hold no Secret.
	direct client.Client
	// cluster is the UID of the namespace kube-system, which a cluster has for life.
	cluster string
	store   *objectstore.Client
	// place is what pods and people are told of the store.
	place  broker.Store
	keys   *datasetkey.Ring
	ledger *ledger.Ledger
	// ledgerBucket is where it lies.
	ledgerBucket string
	signer       *receipts.Key
	receipts     *receipts.Book
	engine       *erasure.Engine
}

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get

func newVault(ctx context.Context, cfg config, mgr ctrl.Manager, clk clock.Clock) (*vault, error) {
	v := &vault{}
	var err error
	v.direct, err = client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	var system corev1.Namespace
	if err := v.direct.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &system); err != nil {
		return nil, fmt.Errorf("find out which cluster this is: %w", err)
	}
	v.cluster = string(system.UID)
	auditor, err := v.connect(cfg, clk)
	if err != nil {
		return nil, err
	}
	v.keys, err = datasetkey.New(datasetkey.Options{
		Client: v.direct, Live: v.direct, Namespace: cfg.namespace, Random: rand.Reader,
	})
	if err != nil {
		return nil, err
	}
	v.ledgerBucket = cfg.ledger
	if v.ledger, err = ledger.New(v.store, cfg.ledger); err != nil {
		return nil, err
	}
	if v.signer, err = receipts.EnsureKey(ctx, v.direct, cfg.namespace, rand.Reader); err != nil {
		return nil, err
	}
	v.receipts, err = receipts.New(receipts.Options{
		Store: v.store, Bucket: cfg.receipts, Signer: v.signer, Former: receipts.Published(v.direct),
	})
	if err != nil {
		return nil, err
	}
	v.engine, err = erasure.New(erasure.Options{
		Store: v.store, Auditor: auditor, ReceiptsBucket: cfg.receipts, LedgerBucket: cfg.ledger,
		Cluster: v.cluster, Limit: rate.Limit(cfg.eraseRate), FastPath: cfg.eraseFast, Clock: clk,
	})
	return v, err
}

// connect makes the operator's client of the store, and the auditor with its own.
func (v *vault) connect(cfg config, clk clock.PassiveClock) (*audit.Auditor, error) {
	secret := &storeSecret{dir: cfg.storeDir}
	endpoint, err := secret.endpoint()
	if err != nil {
		return nil, err
	}
	bundle, err := secret.caBundle()
	if err != nil {
		return nil, err
	}
	v.store, err = objectstore.New(objectstore.Config{
		Endpoint: endpoint, CABundle: bundle, Region: cfg.region, AllowPlaintext: cfg.plaintextStore,
		Credentials: secret.operator(clk).credentials, MaxConnections: storeConnections,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the store: %w", err)
	}
	v.place = broker.Store{
		Endpoint: endpoint, CABundle: string(bundle), Region: cfg.region, InsecurePlaintext: cfg.plaintextStore,
		DatasetsBucket: cfg.datasets, ArtifactsBucket: cfg.artifacts,
	}
	auditor, err := audit.New(audit.Config{
		Endpoint: endpoint, CABundle: bundle, Region: cfg.region, AllowPlaintext: cfg.plaintextStore,
		Credentials: secret.auditor(clk).credentials,
	})
	if err != nil {
		return nil, fmt.Errorf("connect the auditor to the store: %w", err)
	}
	return auditor, nil
}

// nameStores makes the store say who it is, in each bucket of data and in the ledger's,
// before there is any. It tries until it can: the rest of the operator waits for
// it by itself.
func (v *vault) nameStores(ctx context.Context, clk clock.Clock) error {
	log := ctrl.Log.WithName("identity")
	for _, bucket := range []string{v.place.DatasetsBucket, v.place.ArtifactsBucket, v.ledgerBucket} {
		for {
			_, err := erasure.EnsureIdentity(ctx, v.store, bucket, v.cluster, rand.Reader)
			if err == nil {
				break
			}
			log.Error(err, "Could not read or write the store's identity; nothing is put there before that", "bucket", bucket)
			select {
			case <-ctx.Done():
				return nil
			case <-clk.After(identityRetry):
			}
		}
	}
	return nil
}
