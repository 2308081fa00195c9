package receipts

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// The Secret of the signing key, in the operator's namespace.
const (
	// KeySecret is its name, and KeySecretType its type.
	KeySecret                       = "lethe-receipt-key"
	KeySecretType corev1.SecretType = "lethe.dev/receipt-key"
	// KeyPrivate holds the key (PKCS #8, PEM), and KeyPublic its public key, for people.
	KeyPrivate = "private.pem"
	KeyPublic  = "public.pem"
)

const pemPrivateKey = "PRIVATE KEY"

// Key signs receipts. Printing one gives its name and nothing else.
type Key struct{ private ed25519.PrivateKey }

// Public gives the ed25519.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.public() }

// Sign signs a message, which is not a hash. It needs no randomness.
func (k *Key) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.private.Sign(random, message, opts)
}

// String names the key.
func (k *Key) String() string { return "receipt key " + objectkey.KeyID(k.public()) }

// GoString names the key.
func (k *Key) GoString() string { return k.String() }

func (k *Key) public() ed25519.PublicKey {
	return ed25519.PublicKey(k.private[ed25519.SeedSize:])
}

// +kubebuilder:rbac:groups="",namespace=lethe-system,resources=secrets,verbs=get;create

// EnsureKey reads the signing key from its Secret, or makes one when there is none.
// When several replicas start at once, the first to write wins and the others take
// its key. The client reads live. A Secret that can not be used is an error that
// says what to do; it is never replaced by itself.
func EnsureKey(ctx context.Context, live client.Client, namespace string, random io.Reader) (*Key, error) {
	name := client.ObjectKey{Namespace: namespace, Name: KeySecret}
	var secret corev1.Secret
	err := live.Get(ctx, name, &secret)
	if err == nil {
		return parseKey(&secret)
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	fresh, err := newKey(name, random)
	if err != nil {
		return nil, err
	}
	if err := live.Create(ctx, fresh); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("create Secret %s: %w", name, err)
	}
	// What is there counts, also when it is what was just made.
	if err := live.Get(ctx, name, &secret); err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	return parseKey(&secret)
}

func newKey(name client.ObjectKey, random io.Reader) (*corev1.Secret, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("generate the key of receipts: %w", err)
	}
	key := &Key{private: ed25519.NewKeyFromSeed(seed)}
	der, err := x509.MarshalPKCS8PrivateKey(key.private)
	if err != nil {
		return nil, fmt.Errorf("encode the key of receipts: %w", err)
	}
	immutable := true
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
		Type:       KeySecretType,
		Immutable:  &immutable,
		Data: map[string][]byte{
			KeyPrivate: pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}),
			KeyPublic:  objectkey.EncodePublicKey(key.public()),
		},
	}, nil
}

// parseKey keeps what it read out of its errors.
func parseKey(secret *corev1.Secret) (*Key, error) {
	block, rest := pem.Decode(secret.Data[KeyPrivate])
	if block != nil && block.Type == pemPrivateKey && len(rest) == 0 {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		private, ok := parsed.(ed25519.PrivateKey)
		if err == nil && ok {
			return &Key{private: private}, nil
		}
	}
	return nil, fmt.Errorf("use Secret %s/%s: %w", secret.Namespace, secret.Name, errKey)
}

var errKey = errors.New("it does not hold an Ed25519 key; restore it, or delete it and restart the operator to get a new one: " +
	"receipts that the old one has signed are verified with its public key in ConfigMap " + PublicNamespace + "/" + PublicName)
