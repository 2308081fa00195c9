package receipts_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
)

const system = "lethe-system"

func cluster(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

func ensure(t *testing.T, c client.Client) *receipts.Key {
	t.Helper()
	key, err := receipts.EnsureKey(t.Context(), c, system, rand.Reader)
	if err != nil {
		t.Fatalf("ensure key: %v", err)
	}
	return key
}

func publicOf(t *testing.T, s crypto.Signer) ed25519.PublicKey {
	t.Helper()
	key, ok := s.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("it is not an Ed25519 key")
	}
	return key
}

func idOf(t *testing.T, s crypto.Signer) string {
	t.Helper()
	return objectkey.KeyID(publicOf(t, s))
}

func TestEnsureKeyMakesOneAndKeepsIt(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	first, second := ensure(t, c), ensure(t, c)
	if idOf(t, first) != idOf(t, second) {
		t.Error("the second is another one")
	}
	if third := ensure(t, cluster(t)); idOf(t, first) == idOf(t, third) {
		t.Error("two clusters have the same key")
	}
	var secret corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: system, Name: receipts.KeySecret}, &secret); err != nil {
		t.Fatal(err)
	}
	if secret.Type != receipts.KeySecretType || secret.Immutable == nil || !*secret.Immutable {
		t.Errorf("Secret has type %s and can be changed: %v", secret.Type, secret.Immutable)
	}
	keys, err := objectkey.ParsePublicKeys(secret.Data[receipts.KeyPublic])
	if err != nil || len(keys) != 1 || objectkey.KeyID(keys[0]) != idOf(t, first) {
		t.Errorf("its public key is %v, %v", keys, err)
	}
	data, _, err := objectkey.Sign(first, withPlace(receipt(1)))
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	if _, err := objectkey.Verify(data, keys); err != nil {
		t.Errorf("verify: %v", err)
	}
}

func withPlace(r objectkey.EraseReceipt) objectkey.EraseReceipt {
	r.Sequence = 1
	return r
}

func TestEnsureKeyTakesTheKeyOfTheReplicaThatWasFirst(t *testing.T) {
	t.Parallel()
	other := cluster(t)
	winner := ensure(t, other)
	missed := false
	c := interceptor.NewClient(other, interceptor.Funcs{Get: func(
		ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption,
	) error {
		if !missed {
			missed = true
			key.Name = "not-there-yet"
		}
		return c.Get(ctx, key, object, o...)
	}})
	if got := ensure(t, c); !missed || idOf(t, got) != idOf(t, winner) {
		t.Error("two replicas have two keys")
	}
}

func TestEnsureKeyDoesNotUseWhatIsWrong(t *testing.T) {
	t.Parallel()
	private := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := private(signer(1))
	for name, data := range map[string][]byte{
		"nothing":             nil,
		"junk":                []byte("junk"),
		"a key of other kind": private(other),
		"half a key":          good[:len(good)/2],
		"a public key":        objectkey.EncodePublicKey(public(1)),
		"a key and more":      append(good[:len(good):len(good)], good...),
		"garbage in PEM":      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("garbage")}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster(t, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: receipts.KeySecret},
				Data:       map[string][]byte{receipts.KeyPrivate: data},
			})
			key, err := receipts.EnsureKey(t.Context(), c, system, rand.Reader)
			if key != nil || err == nil || !strings.Contains(err.Error(), "delete it") || !strings.Contains(err.Error(), receipts.KeySecret) {
				t.Errorf("got key %v and error %v, want one that says what to do", key, err)
			}
		})
	}
}

func TestEnsureKeyReportsWhatItCanNotDo(t *testing.T) {
	t.Parallel()
	away := errors.New("the API server is away")
	for name, funcs := range map[string]interceptor.Funcs{
		"reading": {Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return away
		}},
		"creating": {Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return away }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := receipts.EnsureKey(t.Context(), interceptor.NewClient(cluster(t), funcs), system, rand.Reader); !errors.Is(err, away) {
				t.Errorf("got error %v, want %v", err, away)
			}
		})
	}
	if _, err := receipts.EnsureKey(t.Context(), cluster(t), system, strings.NewReader("too short")); err == nil {
		t.Error("made a key without randomness")
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	seed := bytes.Repeat([]byte{0xab}, ed25519.SeedSize)
	key, err := receipts.EnsureKey(t.Context(), cluster(t), system, bytes.NewReader(seed))
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(key) //nolint:staticcheck // SA9005: that nothing of it is shown is what is tested.
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", key, key, key, key, key, key), string(asJSON)} {
		for _, secret := range []string{hex.EncodeToString(seed[:4]), "171 171", "0xab", base64.StdEncoding.EncodeToString(seed)[:8]} {
			if strings.Contains(text, secret) {
				t.Errorf("it prints as %s", text)
			}
		}
	}
	if want := "receipt key " + idOf(t, key); key.String() != want {
		t.Errorf("it is called %q, want %q", key, want)
	}
}

func configMap(keys string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: receipts.PublicNamespace, Name: receipts.PublicName},
		Data:       map[string]string{receipts.PublicKeys: keys},
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	one, two := string(objectkey.EncodePublicKey(public(1))), string(objectkey.EncodePublicKey(public(2)))
	for name, c := range map[string]struct {
		objects []client.Object
		want    []ed25519.PublicKey // nil: an error
	}{
		"nothing is published yet": {nil, []ed25519.PublicKey{}},
		"an empty ConfigMap":       {[]client.Object{configMap("")}, []ed25519.PublicKey{}},
		"keys":                     {[]client.Object{configMap(one + two)}, []ed25519.PublicKey{public(1), public(2)}},
		"junk":                     {[]client.Object{configMap("junk")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := receipts.Published(cluster(t, c.objects...))(t.Context())
			if (err != nil) != (c.want == nil) {
				t.Errorf("error is %v", err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
	away := errors.New("the API server is away")
	c := interceptor.NewClient(cluster(t), interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return away
	}})
	if _, err := receipts.Published(c)(t.Context()); !errors.Is(err, away) {
		t.Errorf("got error %v, want %v", err, away)
	}
}
