package datasetkey

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const (
	system = "lethe-system"
	uid    = types.UID("11111111-aaaa-4aaa-8aaa-000000000004")
)

var errBroken = errors.New("the API server does not answer")

// canary is the key of tests; no error may show it in any form.
func canary() []byte { return []byte("Canary-of-exactly-32-bytes-here!") }

func newRing(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) (*Ring, client.Client) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	plain := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	c := interceptor.NewClient(plain, funcs)
	ring, err := New(Options{Client: c, Live: c, Namespace: system, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return ring, plain
}

// stored is the Secret of the canary, with changes.
func stored(changes ...func(*corev1.Secret)) *corev1.Secret {
	immutable := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: system, Name: SecretName(uid), UID: "1", Labels: map[string]string{LabelUID: string(uid)},
		},
		Type: SecretType, Immutable: &immutable, Data: map[string][]byte{"key": canary()},
	}
	for _, change := range changes {
		change(secret)
	}
	return secret
}

func held(secret *corev1.Secret) { secret.Finalizers = []string{"example.com/hold"} }

// silent fails the test if an error shows the key.
func silent(t *testing.T, err error, raw []byte) {
	t.Helper()
	if err == nil {
		return
	}
	for _, form := range []string{string(raw), hex.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw), fmt.Sprintf("%d", raw)} {
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			if strings.Contains(text, form) {
				t.Errorf("the error shows the key: %s", text)
			}
		}
	}
}

func TestEnsureMakesAKeyOnceAndAsItShouldBe(t *testing.T) {
	t.Parallel()
	ring, kube := newRing(t, interceptor.Funcs{})
	first, err := ring.Ensure(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ring.Ensure(t.Context(), uid)
	if err != nil || second != first {
		t.Errorf("the second call gives the key %s, %v; want %s", second.ID(), err, first.ID())
	}
	got, err := ring.Get(t.Context(), uid)
	if err != nil || got != first {
		t.Errorf("Get gives the key %s, %v; want %s", got.ID(), err, first.ID())
	}
	other, err := ring.Ensure(t.Context(), "22222222-aaaa-4aaa-8aaa-000000000004")
	if err != nil || other == first {
		t.Errorf("another dataset has the same key, or none: %v", err)
	}
	var secret corev1.Secret
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: system, Name: "lethe-key-" + string(uid)}, &secret); err != nil {
		t.Fatal(err)
	}
	want := stored(func(s *corev1.Secret) {
		s.UID, s.ResourceVersion = secret.UID, secret.ResourceVersion
		s.Data["key"] = first.Bytes()
	})
	if diff := cmp.Diff(want, &secret); diff != "" {
		t.Errorf("Secret (-want +got):\n%s", diff)
	}
}

func TestEnsureGivesAllCallersOneKey(t *testing.T) {
	t.Parallel()
	ring, kube := newRing(t, interceptor.Funcs{})
	const callers = 16
	keys := make([]objectstore.Key, callers)
	var g sync.WaitGroup
	for i := range callers {
		g.Go(func() {
			var err error
			if keys[i], err = ring.Ensure(t.Context(), uid); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	for _, key := range keys {
		if key.IsZero() || key != keys[0] {
			t.Errorf("one caller has the key %s, another %s", keys[0].ID(), key.ID())
		}
	}
	var all corev1.SecretList
	if err := kube.List(t.Context(), &all); err != nil || len(all.Items) != 1 {
		t.Errorf("%d Secrets, %v; want 1", len(all.Items), err)
	}
}

// TestEnsureLosesARaceWell lets somebody else write between the look and the write.
func TestEnsureLosesARaceWell(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		winner *corev1.Secret
		gone   bool
		want   error
	}{
		"to another caller":                     {winner: stored()},
		"to a Secret that can not be used":      {winner: stored(func(s *corev1.Secret) { s.Data = nil }), want: ErrMalformed},
		"to one that was destroyed at once":     {winner: stored(), gone: true, want: ErrNotFound},
		"to one that is being destroyed, still": {winner: stored(held), gone: true, want: ErrRemains},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ring, _ := newRing(t, interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					if err := c.Create(ctx, tc.winner.DeepCopy()); err != nil {
						return err
					}
					err := c.Create(ctx, o, opts...)
					if tc.gone {
						err = errors.Join(err, c.Delete(ctx, tc.winner.DeepCopy()))
					}
					return err
				},
			})
			key, err := ring.Ensure(t.Context(), uid)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error: got %v, want %v", err, tc.want)
			}
			if tc.want == nil && !bytes.Equal(key.Bytes(), canary()) {
				t.Errorf("got the key %s, not the winner's", key.ID())
			}
			if tc.want != nil && !key.IsZero() {
				t.Error("there is a key along with the error")
			}
			silent(t, err, canary())
		})
	}
}

// TestMalformedSecretsAreNeverReplaced: data under the lost key would be lost
// without a word.
func TestMalformedSecretsAreNeverReplaced(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*corev1.Secret)
		says   string
	}{
		"no data":            {func(s *corev1.Secret) { s.Data = nil }, "0 bytes and not 32"},
		"too short a key":    {func(s *corev1.Secret) { s.Data["key"] = canary()[:31] }, "31 bytes and not 32"},
		"too long a key":     {func(s *corev1.Secret) { s.Data["key"] = append(canary(), 'x') }, "33 bytes and not 32"},
		"a key of zeros":     {func(s *corev1.Secret) { s.Data["key"] = make([]byte, 32) }, "can not be used"},
		"another type":       {func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, "type"},
		"no label":           {func(s *corev1.Secret) { s.Labels = nil }, "label"},
		"another UID's":      {func(s *corev1.Secret) { s.Labels[LabelUID] = "other" }, "label"},
		"a key by two names": {func(s *corev1.Secret) { s.Data = map[string][]byte{"Key": canary()} }, "0 bytes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := stored(tc.change)
			ring, kube := newRing(t, interceptor.Funcs{}, before)
			for what, ask := range map[string]func(context.Context, types.UID) (objectstore.Key, error){
				"Get": ring.Get, "Ensure": ring.Ensure,
			} {
				key, err := ask(t.Context(), uid)
				if !errors.Is(err, ErrMalformed) || !key.IsZero() || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s: got %v, want ErrMalformed with %q", what, err, tc.says)
				}
				silent(t, err, canary())
				silent(t, err, canary()[:31])
			}
			var after corev1.Secret
			if err := kube.Get(t.Context(), client.ObjectKeyFromObject(before), &after); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before.Data, after.Data); diff != "" {
				t.Errorf("the Secret was changed (-want +got):\n%s", diff)
			}
			// An erase does not stop at it.
			if err := ring.Destroy(t.Context(), uid); err != nil {
				t.Errorf("Destroy: %v", err)
			}
		})
	}
}

func TestGetKnowsWhatIsNotThere(t *testing.T) {
	t.Parallel()
	ring, kube := newRing(t, interceptor.Funcs{}, stored(held))
	if _, err := ring.Get(t.Context(), "22222222-aaaa-4aaa-8aaa-000000000004"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a key that was never made: %v, want ErrNotFound", err)
	}
	if err := kube.Delete(t.Context(), stored()); err != nil {
		t.Fatal(err)
	}
	if key, err := ring.Get(t.Context(), uid); !errors.Is(err, ErrNotFound) || !key.IsZero() {
		t.Errorf("a key on its way out: %v, want ErrNotFound", err)
	}
	if key, err := ring.Ensure(t.Context(), uid); !errors.Is(err, ErrRemains) || !key.IsZero() {
		t.Errorf("Ensure of a key on its way out: %v, want ErrRemains", err)
	}
}

func TestDestroyEndsWithALiveLook(t *testing.T) {
	t.Parallel()
	another := stored(func(s *corev1.Secret) { s.UID = "2" })
	cases := map[string]struct {
		before *corev1.Secret
		delete func(context.Context, client.Client) error // in place of the usual
		want   error
		says   string
	}{
		"a key":                           {before: stored()},
		"no key":                          {},
		"a key that somebody holds":       {before: stored(held), want: ErrRemains, says: "example.com/hold"},
		"a deletion that did not happen":  {before: stored(), delete: func(context.Context, client.Client) error { return nil }, want: ErrRemains},
		"a deletion that was not allowed": {before: stored(), delete: func(context.Context, client.Client) error { return errBroken }, want: errBroken},
		"a key that goes by itself": {before: stored(), delete: func(ctx context.Context, c client.Client) error {
			if err := c.Delete(ctx, stored()); err != nil {
				return err
			}
			return apierrors.NewNotFound(corev1.Resource("secrets"), SecretName(uid))
		}},
		"another Secret that takes the name": {before: stored(), want: ErrRemains, delete: func(ctx context.Context, c client.Client) error {
			if err := c.Delete(ctx, stored()); err != nil {
				return err
			}
			if err := c.Create(ctx, another.DeepCopy()); err != nil {
				return err
			}
			return apierrors.NewConflict(corev1.Resource("secrets"), SecretName(uid), errors.New("the UID differs"))
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var objects []client.Object
			if tc.before != nil {
				objects = append(objects, tc.before.DeepCopy())
			}
			ring, kube := newRing(t, interceptor.Funcs{
				Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
					var options client.DeleteOptions
					options.ApplyOptions(opts)
					if p := options.Preconditions; p == nil || p.UID == nil || *p.UID != o.GetUID() {
						t.Errorf("deleted without the UID that was read: %+v", p)
					}
					if tc.delete != nil {
						return tc.delete(ctx, c)
					}
					return c.Delete(ctx, o, opts...)
				},
			}, objects...)
			err := ring.Destroy(t.Context(), uid)
			if !errors.Is(err, tc.want) || (err != nil && !strings.Contains(err.Error(), tc.says)) {
				t.Fatalf("error: got %v, want %v with %q", err, tc.want, tc.says)
			}
			silent(t, err, canary())
			errRead := kube.Get(t.Context(), ring.name(uid), &corev1.Secret{})
			if gone := apierrors.IsNotFound(errRead); gone != (tc.want == nil) {
				t.Errorf("Destroy gives %v, and the Secret is gone: %v", err, gone)
			}
			if tc.want == nil {
				if err := ring.Destroy(t.Context(), uid); err != nil {
					t.Errorf("the same again: %v", err)
				}
			}
		})
	}
}

// TestAnAPIServerThatDoesNotAnswerIsNoAbsence: neither is a key made in the place of
// one that could not be read, nor is one taken for destroyed.
func TestAnAPIServerThatDoesNotAnswerIsNoAbsence(t *testing.T) {
	t.Parallel()
	reads := 0
	ring, kube := newRing(t, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if reads++; reads != 4 { // The fourth lets Destroy see the Secret before it deletes.
				return errBroken
			}
			return c.Get(ctx, key, o, opts...)
		},
	}, stored())
	if _, err := ring.Get(t.Context(), uid); !errors.Is(err, errBroken) || errors.Is(err, ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if _, err := ring.Ensure(t.Context(), uid); !errors.Is(err, errBroken) {
		t.Errorf("Ensure: %v", err)
	}
	if err := ring.Destroy(t.Context(), uid); !errors.Is(err, errBroken) {
		t.Errorf("Destroy: %v", err)
	}
	if err := kube.Get(t.Context(), ring.name(uid), &corev1.Secret{}); err != nil {
		t.Errorf("the key: %v", err)
	}
	// The Secret is deleted, and the look that would confirm it fails.
	if err := ring.Destroy(t.Context(), uid); !errors.Is(err, errBroken) {
		t.Errorf("Destroy without the last look: %v, want an error", err)
	}
}

func TestErrorsOfAWriteDoNotRepeatTheKey(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]func([]byte) string{
		"raw":         func(raw []byte) string { return string(raw) },
		"hexadecimal": func(raw []byte) string { return strings.ToUpper(hex.EncodeToString(raw)) },
		"base64":      base64.StdEncoding.EncodeToString,
		"numbers":     func(raw []byte) string { return fmt.Sprintf("%d", raw) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ring, _ := newRing(t, interceptor.Funcs{
				Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
					return apierrors.NewBadRequest("a webhook does not like key: " + form(o.(*corev1.Secret).Data["key"]))
				},
			})
			ring.random = bytes.NewReader(canary())
			_, err := ring.Ensure(t.Context(), uid)
			if err == nil || !strings.Contains(err.Error(), "BadRequest") {
				t.Errorf("error: got %v, want one with its reason", err)
			}
			silent(t, err, canary())
			if err != nil && strings.Contains(err.Error(), form(canary())) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	ring, _ := newRing(t, interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return errBroken },
	})
	if _, err := ring.Ensure(t.Context(), uid); !errors.Is(err, errBroken) {
		t.Errorf("error: got %v, want the cause", err)
	}
}

func TestKeysNeedRandomnessAndAUID(t *testing.T) {
	t.Parallel()
	ring, kube := newRing(t, interceptor.Funcs{})
	for _, wrong := range []types.UID{"", "a/b", "..", "A*"} {
		if _, err := ring.Ensure(t.Context(), wrong); err == nil {
			t.Errorf("made a key for the UID %q", wrong)
		}
		if err := ring.Destroy(t.Context(), wrong); err == nil {
			t.Errorf("destroyed the key of the UID %q", wrong)
		}
	}
	for name, random := range map[string][]byte{"too little": canary()[:31], "zeros": make([]byte, 32)} {
		ring.random = bytes.NewReader(random)
		if _, err := ring.Ensure(t.Context(), uid); err == nil {
			t.Errorf("made a key of %s", name)
		}
	}
	var all corev1.SecretList
	if err := kube.List(t.Context(), &all); err != nil || len(all.Items) != 0 {
		t.Errorf("%d Secrets, %v; want none", len(all.Items), err)
	}
}

func TestNewWantsAllOptions(t *testing.T) {
	t.Parallel()
	ring, kube := newRing(t, interceptor.Funcs{})
	whole := Options{Client: kube, Live: ring.live, Namespace: system, Random: rand.Reader}
	for name, change := range map[string]func(*Options){
		"a client":    func(o *Options) { o.Client = nil },
		"a reader":    func(o *Options) { o.Live = nil },
		"a namespace": func(o *Options) { o.Namespace = "" },
		"randomness":  func(o *Options) { o.Random = nil },
	} {
		o := whole
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("a ring without %s was made", name)
		}
	}
}
