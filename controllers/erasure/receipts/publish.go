package receipts

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// Where the public keys are published.
const (
	// PublicNamespace is the namespace of the ConfigMap; every authenticated user may
	// read it there.
	PublicNamespace = "kube-public"
	// PublicName is the name of the ConfigMap.
	PublicName = "lethe-receipts"
	// PublicKeys holds all public keys that receipts were ever signed with, PEM.
	PublicKeys = "keys.pem"
)

const (
	// lookAgain is when what was published is looked at again; it is not worth a watch.
	lookAgain = 10 * time.Minute
	// tryAgain follows a failure.
	tryAgain = 5 * time.Second
)

// Published gives a function for Options.Former that reads the published keys, live.
// A ConfigMap that is not there, or empty, has none.
func Published(live client.Reader) func(context.Context) ([]ed25519.PublicKey, error) {
	return func(ctx context.Context) ([]ed25519.PublicKey, error) {
		var public corev1.ConfigMap
		err := live.Get(ctx, client.ObjectKey{Namespace: PublicNamespace, Name: PublicName}, &public)
		if apierrors.IsNotFound(err) || (err == nil && public.Data[PublicKeys] == "") {
			return []ed25519.PublicKey{}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read ConfigMap %s/%s: %w", PublicNamespace, PublicName, err)
		}
		keys, err := objectkey.ParsePublicKeys([]byte(public.Data[PublicKeys]))
		if err != nil {
			return nil, fmt.Errorf("use ConfigMap %s/%s: %w; take out of its %s what is not a public key",
				PublicNamespace, PublicName, err, PublicKeys)
		}
		return keys, nil
	}
}

// Publisher adds the public key of the signing key to those that are published, and
// takes none away: receipts outlive the keys that signed them. The ConfigMap is made
// by the installation, so that the operator needs no right to create one.
type Publisher struct {
	// Client reads and writes live, not through a cache.
	Client client.Client
	// Key is the signing key.
	Key *Key
	// Clock waits between two looks.
	Clock clock.Clock
	// Log takes failures, which are tried again.
	Log logr.Logger
}

// NeedLeaderElection makes one replica write.
func (p *Publisher) NeedLeaderElection() bool { return true }

// Start publishes, and keeps published, until the context ends. A failure never ends
// the operator: erasing goes on, and receipts can be verified later.
func (p *Publisher) Start(ctx context.Context) error {
	for {
		pause := lookAgain
		if err := p.publish(ctx); err != nil && ctx.Err() == nil {
			p.Log.Error(err, "Could not publish the public key of receipts; nobody can verify new receipts before that")
			pause = tryAgain
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.Clock.After(pause):
		}
	}
}

func (p *Publisher) publish(ctx context.Context) error {
	var public corev1.ConfigMap
	if err := p.Client.Get(ctx, client.ObjectKey{Namespace: PublicNamespace, Name: PublicName}, &public); err != nil {
		return fmt.Errorf("read ConfigMap %s/%s: %w", PublicNamespace, PublicName, err)
	}
	before := public.DeepCopy()
	own := string(objectkey.EncodePublicKey(p.Key.public()))
	all := public.Data[PublicKeys]
	if strings.Contains(all, own) {
		return nil
	}
	if all != "" && !strings.HasSuffix(all, "\n") {
		all += "\n"
	}
	if public.Data == nil {
		public.Data = map[string]string{}
	}
	public.Data[PublicKeys] = all + own
	// With the lock, two writers can not take each other's key away.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := p.Client.Patch(ctx, &public, patch); err != nil {
		return fmt.Errorf("patch ConfigMap %s/%s: %w", PublicNamespace, PublicName, err)
	}
	return nil
}
