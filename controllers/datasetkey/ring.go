package datasetkey

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// What a key's Secret looks like.
const (
	// SecretType is its type.
	SecretType corev1.SecretType = "lethe.dev/dataset-key"
	// LabelUID holds the UID of the dataset.
	LabelUID = "lethe.dev/dataset-uid"
	// dataKey is where in its data the key lies.
	dataKey = "key"
	// namePrefix comes before the UID in its name.
	namePrefix = "lethe-key-"
)

var (
	// ErrNotFound says that the dataset has no key: none was made, or it is destroyed.
	ErrNotFound = errors.New("the dataset has no key")
	// ErrMalformed says that the dataset's Secret is there and holds no usable key.
	ErrMalformed = errors.New("the Secret is not a dataset's key as Lethe wrote it")
	// ErrRemains says that a key could not be destroyed yet.
	ErrRemains = errors.New("the key is still there")
)

// Options of a Ring. All are required.
type Options struct {
	// Client writes Secrets.
	Client client.Client
	// Live reads Secrets from the API server itself, not from a cache.
	Live client.Reader
	// Namespace is the operator's.
	Namespace string
	// Random gives the keys; crypto/rand.Reader but in tests.
	Random io.Reader
}

// Ring makes, gives and destroys datasets' keys. It holds none of them and is safe
// for concurrent use, also by several processes.
type Ring struct {
	client    client.Client
	live      client.Reader
	namespace string
	random    io.Reader
}

// New makes a ring; it fails when an option is missing.
func New(o Options) (*Ring, error) {
	if o.Client == nil || o.Live == nil || o.Namespace == "" || o.Random == nil {
		return nil, errors.New("configure the datasets' keys: client, live reader, namespace and random are required")
	}
	return &Ring{client: o.Client, live: o.Live, namespace: o.Namespace, random: o.Random}, nil
}

// SecretName is the name of the Secret with a dataset's key.
func SecretName(uid types.UID) string { return namePrefix + string(uid) }

// +kubebuilder:rbac:groups="",namespace=lethe-system,resources=secrets,verbs=get;create;delete

// Ensure gives the dataset's key and makes it if there is none. Every call gives the
// same, also when several are made at once. It must not be called any more once the
// key is known to have been made (status.keyID): if it is gone then, it was destroyed.
// Errors: ErrMalformed, which is never mended by another key; ErrRemains while a key
// is on its way out. All others are worth another try.
func (r *Ring) Ensure(ctx context.Context, uid types.UID) (objectstore.Key, error) {
	secret, err := r.read(ctx, uid)
	if err == nil {
		return r.existing(secret, uid)
	}
	if !errors.Is(err, ErrNotFound) {
		return objectstore.Key{}, err
	}
	key, err := r.create(ctx, uid)
	if !apierrors.IsAlreadyExists(err) {
		return key, err
	}
	// Somebody else was first, and his is the key.
	if secret, err = r.read(ctx, uid); err != nil {
		return objectstore.Key{}, err
	}
	return r.existing(secret, uid)
}

// Get gives the dataset's key as it is now. Errors: ErrNotFound, also for a key that
// is on its way out; ErrMalformed. All others are worth another try.
func (r *Ring) Get(ctx context.Context, uid types.UID) (objectstore.Key, error) {
	secret, err := r.read(ctx, uid)
	if err != nil {
		return objectstore.Key{}, err
	}
	if secret.DeletionTimestamp != nil {
		return objectstore.Key{}, fmt.Errorf("%w: Secret %s is being deleted", ErrNotFound, r.name(uid))
	}
	return r.parse(secret, uid)
}

// Destroy deletes the dataset's key. It may be repeated, and gives nil only after the
// API server has said, live, that there is none: also when there never was one. The
// package's documentation says what that covers. ErrRemains: a finalizer or another
// Secret of the name holds it up. All errors are worth another try.
func (r *Ring) Destroy(ctx context.Context, uid types.UID) error {
	secret, err := r.read(ctx, uid)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// A Secret that took the name in between is looked at by the next try.
	err = r.client.Delete(ctx, secret, client.Preconditions{UID: &secret.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete Secret %s: %w", r.name(uid), err)
	}
	secret, err = r.read(ctx, uid)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case len(secret.Finalizers) > 0:
		return fmt.Errorf("delete Secret %s: %w, because of its finalizers %s; find out who set them, and remove them",
			r.name(uid), ErrRemains, strings.Join(secret.Finalizers, ", "))
	}
	return fmt.Errorf("delete Secret %s: %w", r.name(uid), ErrRemains)
}

func (r *Ring) name(uid types.UID) types.NamespacedName {
	return types.NamespacedName{Namespace: r.namespace, Name: SecretName(uid)}
}

// read reads the Secret live; ErrNotFound if there is none.
func (r *Ring) read(ctx context.Context, uid types.UID) (*corev1.Secret, error) {
	if uid == "" || len(validation.IsDNS1123Label(string(uid))) > 0 {
		return nil, fmt.Errorf("find the key of a dataset: %q is not the UID of one", uid)
	}
	var secret corev1.Secret
	err := r.live.Get(ctx, r.name(uid), &secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: there is no Secret %s", ErrNotFound, r.name(uid))
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", r.name(uid), err)
	}
	return &secret, nil
}

// existing gives the key of a Secret that was found where one was to be made.
func (r *Ring) existing(secret *corev1.Secret, uid types.UID) (objectstore.Key, error) {
	if secret.DeletionTimestamp != nil {
		return objectstore.Key{}, fmt.Errorf("make Secret %s: %w; it is being deleted", r.name(uid), ErrRemains)
	}
	return r.parse(secret, uid)
}

// parse gives the key of a Secret. Its errors carry nothing of the Secret's data.
func (r *Ring) parse(secret *corev1.Secret, uid types.UID) (objectstore.Key, error) {
	malformed := func(why string) (objectstore.Key, error) {
		return objectstore.Key{}, fmt.Errorf("use Secret %s: %w: %s; put back the one from before, if there is a copy. "+
			"Data that was written under the lost key can not be read: delete its dataset", r.name(uid), ErrMalformed, why)
	}
	switch {
	case secret.Type != SecretType:
		return malformed("its type is not " + string(SecretType))
	case secret.Labels[LabelUID] != string(uid):
		return malformed("its label " + LabelUID + " does not name the dataset")
	case len(secret.Data[dataKey]) != objectstore.KeySize:
		return malformed(fmt.Sprintf("its key has %d bytes and not %d", len(secret.Data[dataKey]), objectstore.KeySize))
	}
	key, err := objectstore.NewKey(secret.Data[dataKey])
	if err != nil {
		return malformed("its key can not be used")
	}
	return key, nil
}

// create makes a key and writes it with one request. When that is lost on its way,
// the next call finds either nothing or the key.
func (r *Ring) create(ctx context.Context, uid types.UID) (objectstore.Key, error) {
	raw := make([]byte, objectstore.KeySize)
	if _, err := io.ReadFull(r.random, raw); err != nil {
		return objectstore.Key{}, fmt.Errorf("make the key of a dataset: %w", err)
	}
	key, err := objectstore.NewKey(raw)
	if err != nil {
		return objectstore.Key{}, fmt.Errorf("make the key of a dataset: %w", err)
	}
	immutable := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.namespace,
			Name:      SecretName(uid),
			Labels:    map[string]string{LabelUID: string(uid)},
		},
		Type:      SecretType,
		Immutable: &immutable,
		Data:      map[string][]byte{dataKey: raw},
	}
	if err := r.client.Create(ctx, secret); err != nil {
		return objectstore.Key{}, fmt.Errorf("create Secret %s: %w", r.name(uid), withheld(err, raw))
	}
	return key, nil
}

// withheld keeps an error that repeats the key out of all that follows. The API
// server does not do that, but what else takes part in an admission may.
func withheld(err error, raw []byte) error {
	text := strings.ToLower(err.Error())
	forms := []string{
		string(raw), hex.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		strings.Trim(fmt.Sprintf("%d", raw), "[]"),
	}
	for _, form := range forms {
		if strings.Contains(text, strings.ToLower(form)) {
			return fmt.Errorf("refused with an answer that repeats the request, which is withheld (reason %q)",
				apierrors.ReasonForError(err))
		}
	}
	return err
}
